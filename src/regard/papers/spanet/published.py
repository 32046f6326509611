"""Spatial pyramid attention as others publish it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from regard.published.naming import BLOCKS, MOBILE_LAST, mobile_blocks, network, torch_names
from regard.published.reference import Build, Reference

_NAMES = {"gate.reduce": "fc.0", "gate.expand": "fc.2"}


def _own(channel, reduction=16):
    return {"channels": channel, "reduction": reduction}, _NAMES


def _own_one_level(channel, reduction=16):
    return {"channels": channel, "reduction": reduction, "levels": (1,)}, _NAMES


def _pre(in_channel, channel, reduction=16):
    return {"channels": in_channel, "out": channel, "reduction": reduction}, _NAMES


def _pre_one_level(in_channel, channel, reduction=16):
    arguments, names = _pre(in_channel, channel, reduction)
    return {**arguments, "levels": (1,)}, names


def _convolved(in_channel, channel, reduction=16):
    arguments, names = _pre(in_channel, channel, reduction)
    layers = {"conv": "conv1.0", "norm": "conv1.1"} if in_channel != channel else {}
    return {**arguments, "convolve": True}, {**names, **layers}


def _convolved_one_level(in_channel, channel, reduction=16):
    arguments, names = _convolved(in_channel, channel, reduction)
    return {**arguments, "levels": (1,)}, names


def _survey(channel, reduction=16):
    return {"channels": channel, "hidden": 21 * channel // reduction}, _NAMES


class _Block(nn.Module):
    """The pre-activation block that they are published in: a gate on the branch, from its end or from the input."""

    def __init__(
        self, attention: nn.Module, inplanes: int, planes: int, stride: int, *, basic: bool, pre: bool
    ) -> None:
        super().__init__()
        out = planes if basic else 4 * planes
        plan = [(inplanes, planes, 3, stride), (planes, planes, 3, 1)]
        if not basic:
            plan = [(inplanes, planes, 1, 1), (planes, planes, 3, stride), (planes, out, 1, 1)]
        self.convs = nn.ModuleList(nn.Conv2d(a, b, size, step, size // 2, bias=False) for a, b, size, step in plan)
        self.norms = nn.ModuleList(nn.BatchNorm2d(layer[0]) for layer in plan)
        self.attention = attention
        self.pre = pre
        self.shortcut = nn.Conv2d(inplanes, out, 1, stride, bias=False) if stride != 1 or inplanes != out else None

    def forward(self, x: Tensor) -> Tensor:
        h = self.norms[0](x).relu()
        shortcut = x if self.shortcut is None else self.shortcut(h)
        y = self.convs[0](h)
        for norm, conv in zip(self.norms[1:], self.convs[1:], strict=True):
            y = conv(norm(y).relu())
        return (self.attention(x, y) if self.pre else self.attention(y)) + shortcut


def _block(kind, end, make, *, pre):
    basic = end == "PreActBlock"

    def build(in_planes, planes, stride=1, reduction=16):
        out = planes if basic else 4 * planes
        arguments, gate = make(in_planes, out, reduction) if pre else make(out, reduction)
        names = {f"attention.{ours}": f"se.{theirs}" for ours, theirs in gate.items()}
        for i in range(2 if basic else 3):
            names |= {f"convs.{i}": f"conv{i + 1}", f"norms.{i}": f"bn{i + 1}"}
        return arguments, {**names, "shortcut": "shortcut.0"}

    def host(module: nn.Module, args: Mapping[str, Any]) -> nn.Module:
        return _Block(module, args["in_planes"], args["planes"], args.get("stride", 1), basic=basic, pre=pre)

    entry = "spa_pre" if pre else "spa"
    maps = {"channel_gate": "attention/channel"}
    return Reference(f"spanet/13952522076.SPANet/{kind}{end}", entry, build, host=host, maps=maps)


_BLOCKS = tuple(
    _block(kind, end, make, pre=pre)
    for end in ("PreActBlock", "PreActBootleneck")
    for kind, make, pre in (
        ("SPPSE", _own, False),
        ("SE", _own_one_level, False),
        ("PSPPSE", _pre, True),
        ("PSE", _pre_one_level, True),
        ("CPSPPSE", _convolved, True),
        ("CPSE", _convolved_one_level, True),
    )
)
_MAPS = {"channel_gate": "channel"}


_SPA = {"gate.reduce": "fc.0", "gate.expand": "fc.2", "conv": "conv1.0", "norm": "conv1.1"}

_SPA_SE = {"reduce": "fc.0", "expand": "fc.2"}


def _spa(kind: str, depth: int) -> Build:
    def build(num_classes=10):
        name = f"se_preresnet{depth}" if kind == "SE" else f"{kind.lower()}_resnet{depth}"
        gate = _SPA_SE if kind == "SE" else _SPA
        names = torch_names(
            BLOCKS[depth], gate, "se.", bottleneck=depth > 34, preactivation=True, head="linear", shortcut="shortcut.0"
        )
        return {"name": name, "classes": num_classes}, names

    return build


def _spa_resnext(kind: str) -> Build:
    def build(num_classes=100):
        gate = _SPA_SE if kind == "SE" else _SPA
        names = torch_names((3, 3, 3), gate, "se.", bottleneck=True, head="linear", shortcut="shortcut")
        return {"name": f"{kind.lower()}_resnext29", "classes": num_classes}, names

    return build


def _spa_mobile(kind: str) -> Build:
    def build(num_classes=10):
        names = {"stem.0": "conv1", "stem.1": "bn1", "classify": "linear"}
        names |= {f"{MOBILE_LAST}.0": "conv2", f"{MOBILE_LAST}.1": "bn2"}
        for number, ours, _ in mobile_blocks():
            theirs = f"layers.{number - 1}"
            for i in range(3):
                names |= {
                    f"{ours}.layers.{i}.0": f"{theirs}.conv{i + 1}",
                    f"{ours}.layers.{i}.1": f"{theirs}.bn{i + 1}",
                }
            names[f"{ours}.project"] = f"{theirs}.shortcut"
            gate = _SPA_SE if kind == "SE" else _SPA
            names |= {f"{ours}.attention.{part}": f"{theirs}.se.{layer}" for part, layer in gate.items()}
        return {"name": f"{kind.lower()}_mobilenetv2", "classes": num_classes}, names

    return build


REFERENCES = (
    *_BLOCKS,
    Reference("spanet/13952522076.SPANet/SPPSELayer", "spa", _own, maps=_MAPS),
    Reference("spanet/13952522076.SPANet/SELayer", "spa", _own_one_level, maps=_MAPS),
    Reference("spanet/13952522076.SPANet/PSPPSELayer", "spa_pre", _pre, maps=_MAPS),
    Reference("spanet/13952522076.SPANet/PSELayer", "spa_pre", _pre_one_level, maps=_MAPS),
    Reference("spanet/13952522076.SPANet/CPSPPSELayer", "spa_pre", _convolved, maps=_MAPS),
    Reference("spanet/13952522076.SPANet/CPSELayer", "spa_pre", _convolved_one_level, maps=_MAPS),
    Reference("spanet/survey", "spa_pre", _survey, maps=_MAPS),
    *(
        network(f"spanet/13952522076.SPANet/{kind}ResNet{depth}", _spa(kind, depth))
        for kind in ("SE", "PSE", "CPSE", "SPPSE", "PSPPSE", "CPSPPSE")
        for depth in (18, 50, 101)
    ),
    *(
        network(f"spanet/13952522076.SPANet/{kind}{trunk}", build(kind))
        for kind in ("SE", "SPPSE", "PSPPSE", "CPSPPSE")
        for trunk, build in (("ResNeXt29", _spa_resnext), ("MobileNetV2", _spa_mobile))
    ),
)
