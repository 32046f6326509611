"""GSoP as its authors publish it: inside a residual bottleneck."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from regard.published.naming import BLOCKS, network, torch_names
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


_GSOP_ENDS = tuple(tuple("1" if i == count - 1 else "0" for i in range(count)) for count in BLOCKS[50])


def _gsop(pretrained=False, att_position=_GSOP_ENDS, att_dim=128, GSoP_mode=1, num_classes=1000):
    wanted = _GSOP_ENDS if GSoP_mode == 1 else (*_GSOP_ENDS[:3], ("0", "0", "0"))
    if tuple(map(tuple, att_position)) != wanted or att_dim != 128:
        raise unsupported("att_position, att_dim", (att_position, att_dim), f"released are {wanted} and 128")
    gate = {
        "channel_reduce": "conv_for_DR",
        "channel_norm": "bn_for_DR",
        "channel_gate.norm": "row_bn",
        "channel_gate.rows": "row_conv_group",
        "channel_gate.out": "fc_adapt_channels",
    }
    names = torch_names(BLOCKS[50], gate, "", bottleneck=True)
    names |= {"head.reduce": "layer_reduce", "head.norm": "layer_reduce_bn"} if GSoP_mode == 2 else {}
    return {"name": f"gsop_net{GSoP_mode}", "classes": num_classes}, names


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
    network("gsop/ZilinGao.Global-Second-order-Pooling-Convolutional-Networks/resnet50", _gsop),
)
