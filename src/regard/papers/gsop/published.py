"""Checkpoint mappings for second-order pooling: the residual bottleneck that contains it, and the networks."""

from __future__ import annotations

from torch import nn

from regard.networks.residual import BLOCKS
from regard.published.naming import network, torch_names
from regard.published.reference import Given, Reference, ResidualBlock, unsupported

_OFFICIAL = "gsop/ZilinGao.Global-Second-order-Pooling-Convolutional-Networks"
_FUSIONS = {"1": "channel", "2": "position", "+": "sum", "M": "max", "&": "concat"}
_CHANNEL = {
    "channel_reduce": "conv_for_DR",
    "channel_norm": "bn_for_DR",
    "channel_gate.norm": "row_bn",
    "channel_gate.rows": "row_conv_group",
    "channel_gate.out": "fc_adapt_channels",
}
_POSITION = {ours.replace("channel", "position"): f"{theirs}_for_spatial" for ours, theirs in _CHANNEL.items()}
_POSITION |= {"position_reduce": "conv_for_DR_spatial", "position_norm": "bn_for_DR_spatial"}
_CONCAT = {
    "channel_concat": "dilate_conv_for_concat1",
    "position_concat": "dilate_conv_for_concat2",
    "concat_norm": "bn_for_concat",
}
_ENDS = tuple(tuple("1" if i == count - 1 else "0" for i in range(count)) for count in BLOCKS[50])


def _projects(inplanes: int, planes: int, stride: int, downsample: object) -> bool:
    """Whether the published block projects its shortcut."""
    return bool(downsample) or stride != 1 or inplanes != 4 * planes


def _bottleneck(inplanes, planes, stride=1, downsample=None, attention="0", att_dim=128, DR_stride=None):
    if attention not in _FUSIONS:
        raise unsupported("attention", attention, f"one of {', '.join(_FUSIONS)} is accepted")
    fusion = _FUSIONS[attention]
    layers = ["conv1", "bn1", "conv2", "bn2", "conv3", "bn3"]
    layers += ["downsample"] if _projects(inplanes, planes, stride, downsample) else []
    parts = _CHANNEL if fusion != "position" else {}
    parts = {**parts, **(_POSITION if fusion != "channel" else {}), **(_CONCAT if fusion == "concat" else {})}
    names = {layer: layer for layer in layers} | {f"attention.{ours}": theirs for ours, theirs in parts.items()}
    return {
        "channels": 4 * planes,
        "hidden": att_dim,
        "stride": DR_stride or (1 if planes > 64 else 2),
        "fusion": fusion,
    }, names


def _in_bottleneck(module: nn.Module, args: Given) -> nn.Module:
    stride = args.get("stride", 1)
    project = _projects(args["inplanes"], args["planes"], stride, args.get("downsample"))
    return ResidualBlock(module, args["inplanes"], args["planes"], stride, project=project)


def _network(pretrained=False, att_position=_ENDS, att_dim=128, GSoP_mode=1, num_classes=1000):
    released = _ENDS if GSoP_mode == 1 else (*_ENDS[:3], ("0", "0", "0"))
    if tuple(map(tuple, att_position)) != released or att_dim != 128:
        raise unsupported("att_position, att_dim", (att_position, att_dim), f"{released} and 128 are accepted")
    names = torch_names(BLOCKS[50], _CHANNEL, "", bottleneck=True)
    names |= {"head.reduce": "layer_reduce", "head.norm": "layer_reduce_bn"} if GSoP_mode == 2 else {}
    return {"name": f"gsop_net{GSoP_mode}", "classes": num_classes}, names


REFERENCES = (
    Reference(
        f"{_OFFICIAL}/Bottleneck",
        "gsop",
        _bottleneck,
        host=_in_bottleneck,
        maps={
            "channel_gate": "attention/channel",
            "channel_cov": "attention/covariance",
            "position_gate_8x8": "attention/pooled",
        },
    ),
    network(f"{_OFFICIAL}/resnet50", _network),
)
