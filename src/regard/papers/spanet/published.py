"""Checkpoint mappings for spatial pyramid attention: layers, residual blocks and networks."""

from __future__ import annotations

from torch import Tensor, nn

from regard.networks.residual import BLOCKS
from regard.published.naming import MOBILE_LAST, mobile_blocks, network, torch_names
from regard.published.reference import Build, Given, Reference

_OFFICIAL = "spanet/13952522076.SPANet"
_NAMES = {"gate.reduce": "fc.0", "gate.expand": "fc.2"}
_LAYERS = {"conv": "conv1.0", "norm": "conv1.1"}  # of the gates that convolve their input
_SE_NAMES = {"reduce": "fc.0", "expand": "fc.2"}
_MAPS = {"channel_gate": "channel"}


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
    return {**arguments, "convolve": True}, {**names, **(_LAYERS if in_channel != channel else {})}


def _convolved_one_level(in_channel, channel, reduction=16):
    arguments, names = _convolved(in_channel, channel, reduction)
    return {**arguments, "levels": (1,)}, names


def _survey(channel, reduction=16):
    return {"channels": channel, "hidden": 21 * channel // reduction}, _NAMES


class _Block(nn.Module):
    """A pre-activation block with a gate on its branch, computed from the branch's end or from the block's input."""

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

    def host(module: nn.Module, args: Given) -> nn.Module:
        return _Block(module, args["in_planes"], args["planes"], args.get("stride", 1), basic=basic, pre=pre)

    entry = "spa_pre" if pre else "spa"
    maps = {"channel_gate": "attention/channel"}
    return Reference(f"{_OFFICIAL}/{kind}{end}", entry, build, host=host, maps=maps)


_KINDS = (  # published name, what builds its gate, and whether the gate is computed from the block's input
    ("SPPSE", _own, False),
    ("SE", _own_one_level, False),
    ("PSPPSE", _pre, True),
    ("PSE", _pre_one_level, True),
    ("CPSPPSE", _convolved, True),
    ("CPSE", _convolved_one_level, True),
)


def _parts(kind: str) -> dict[str, str]:
    """The mechanism's parts in a network: in those called SE it is our squeeze-and-excitation."""
    return _SE_NAMES if kind == "SE" else _NAMES | _LAYERS


def _resnet(kind: str, depth: int) -> Build:
    def build(num_classes=10):
        name = f"se_preresnet{depth}" if kind == "SE" else f"{kind.lower()}_resnet{depth}"
        names = torch_names(
            BLOCKS[depth],
            _parts(kind),
            "se.",
            bottleneck=depth > 34,
            preactivation=True,
            head="linear",
            shortcut="shortcut.0",
        )
        return {"name": name, "classes": num_classes}, names

    return build


def _resnext(kind: str) -> Build:
    def build(num_classes=100):
        names = torch_names((3, 3, 3), _parts(kind), "se.", bottleneck=True, head="linear", shortcut="shortcut")
        return {"name": f"{kind.lower()}_resnext29", "classes": num_classes}, names

    return build


def _mobile(kind: str) -> Build:
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
            names |= {f"{ours}.attention.{part}": f"{theirs}.se.{layer}" for part, layer in _parts(kind).items()}
        return {"name": f"{kind.lower()}_mobilenetv2", "classes": num_classes}, names

    return build


REFERENCES = (
    *(_block(kind, end, make, pre=pre) for end in ("PreActBlock", "PreActBootleneck") for kind, make, pre in _KINDS),
    *(
        Reference(f"{_OFFICIAL}/{kind}Layer", "spa_pre" if pre else "spa", make, maps=_MAPS)
        for kind, make, pre in _KINDS
    ),
    Reference("spanet/survey", "spa_pre", _survey, maps=_MAPS, recording="a survey's listing"),
    *(
        network(f"{_OFFICIAL}/{kind}ResNet{depth}", _resnet(kind, depth))
        for kind in ("SE", "PSE", "CPSE", "SPPSE", "PSPPSE", "CPSPPSE")
        for depth in (18, 50, 101)
    ),
    *(
        network(f"{_OFFICIAL}/{kind}{trunk}", build(kind))
        for kind in ("SE", "SPPSE", "PSPPSE", "CPSPPSE")
        for trunk, build in (("ResNeXt29", _resnext), ("MobileNetV2", _mobile))
    ),
)
