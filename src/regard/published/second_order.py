"""GSoP as its authors publish it: inside a residual bottleneck."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from regard.published.reference import Reference, ResidualBlock, unsupported

_FUSIONS = {"1": "channel", "2": "position", "+": "sum", "M": "max", "&": "concat"}


def _shortcut(inplanes: int, planes: int, stride: int, downsample: Any) -> bool:
    return bool(downsample) or stride != 1 or inplanes != 4 * planes


def _bottleneck(inplanes, planes, stride=1, downsample=None, attention="0", att_dim=128, DR_stride=None):
    if attention not in _FUSIONS:
        raise unsupported("attention", attention, f"one of {', '.join(_FUSIONS)} is")
    fusion = _FUSIONS[attention]
    kept = ["conv1", "bn1", "conv2", "bn2", "conv3", "bn3"]
    kept += ["downsample"] if _shortcut(inplanes, planes, stride, downsample) else []
    names = {name: name for name in kept}
    if fusion != "position":
        names |= {
            "attention.channel_reduce": "conv_for_DR",
            "attention.channel_norm": "bn_for_DR",
            "attention.channel_gate.norm": "row_bn",
            "attention.channel_gate.rows": "row_conv_group",
            "attention.channel_gate.out": "fc_adapt_channels",
        }
    if fusion != "channel":
        names |= {
            "attention.position_reduce": "conv_for_DR_spatial",
            "attention.position_norm": "bn_for_DR_spatial",
            "attention.position_gate.norm": "row_bn_for_spatial",
            "attention.position_gate.rows": "row_conv_group_for_spatial",
            "attention.position_gate.out": "fc_adapt_channels_for_spatial",
        }
    if fusion == "concat":
        names |= {
            "attention.channel_concat": "dilate_conv_for_concat1",
            "attention.position_concat": "dilate_conv_for_concat2",
            "attention.concat_norm": "bn_for_concat",
        }
    return {
        "channels": 4 * planes,
        "hidden": att_dim,
        "stride": DR_stride or (1 if planes > 64 else 2),
        "fusion": fusion,
    }, names


def _in_bottleneck(module: nn.Module, args: Mapping[str, Any]) -> nn.Module:
    stride = args.get("stride", 1)
    shortcut = _shortcut(args["inplanes"], args["planes"], stride, args.get("downsample"))
    return ResidualBlock(module, args["inplanes"], args["planes"], stride, project=shortcut)


REFERENCES = (
    Reference(
        "gsop/ZilinGao.Global-Second-order-Pooling-Convolutional-Networks/Bottleneck",
        "gsop",
        _bottleneck,
        host=_in_bottleneck,
        maps={
            "channel_gate": "attention/channel",
            "channel_cov": "attention/covariance",
            "position_gate_8x8": "attention/pooled",
        },
    ),
)
