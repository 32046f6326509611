"""Checkpoint mappings for CBAM."""

from __future__ import annotations

from regard import published
from regard.networks.residual import BLOCKS
from regard.published.naming import network, torch_names
from regard.published.reference import Reference, unsupported


def _cbam(gate_channels, reduction_ratio=16, pool_types=("avg", "max"), no_spatial=False):
    names = {"reduce": "ChannelGate.mlp.1", "expand": "ChannelGate.mlp.3"}
    if not no_spatial:
        names |= {"conv": "SpatialGate.spatial.conv", "norm": "SpatialGate.spatial.bn"}
    arguments = {"channels": gate_channels, "reduction": reduction_ratio, "pools": tuple(pool_types)}
    return {**arguments, "spatial": not no_spatial}, names


def _cbam_channel(gate_channels, reduction_ratio=16, pool_types=("avg", "max")):
    arguments, _ = _cbam(gate_channels, reduction_ratio, pool_types, no_spatial=True)
    return arguments, {"reduce": "mlp.1", "expand": "mlp.3"}


_MAPS = {"channel_gate": "channel", "spatial_gate": "spatial"}


def _residual_net(network_type, depth, num_classes, att_type):
    end = {"ImageNet": "", "CIFAR10": "_cifar", "CIFAR100": "_cifar"}.get(network_type)
    if end is None or att_type not in ("CBAM", "BAM"):
        known = "ImageNet, CIFAR10 or CIFAR100 with CBAM or BAM is accepted"
        raise unsupported("network_type, att_type", (network_type, att_type), known)
    name = f"{att_type.lower()}_resnet{depth}{end}"
    if att_type == "CBAM":
        gate, attribute, behind = _cbam(16)[1], "cbam.", ""
    else:
        gate, attribute, behind = published.get("bam/Jongchan.attention-module/BAM").build(16)[1], "", "bam"
    names = torch_names(BLOCKS[depth], gate, attribute, bottleneck=depth > 34, behind=behind)
    return {"name": name, "classes": num_classes}, names


REFERENCES = (
    Reference("cbam/Jongchan.attention-module/CBAM", "cbam", _cbam, maps=_MAPS),
    Reference("cbam/Jongchan.attention-module/ChannelGate", "cbam", _cbam_channel, maps=_MAPS),
    network("cbam/Jongchan.attention-module/ResidualNet", _residual_net),
)
