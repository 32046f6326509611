"""Convolutional block attention."""

from torch import nn

from benchmarks.peers.floor import Floor
from benchmarks.peers.peer import Peer, Shape, load, renamed


def _timm(theirs: nn.Module, shape: Shape) -> nn.Module:
    # timm leaves the bottleneck's biases out by default and stacks [mean; max].
    names = {"reduce": "channel.fc1", "expand": "channel.fc2", "conv": "spatial.conv.conv", "norm": "spatial.conv.bn"}
    weights = renamed(theirs.state_dict(), names)
    weights["conv.weight"] = weights["conv.weight"].flip(1)
    return load("cbam", {"channels": shape.channels, "hidden": weights["reduce.weight"].shape[0]}, weights)


PEERS = (
    Peer(
        entry="cbam",
        place="timm.layers.cbam",
        attribute="CbamModule",
        arguments=lambda shape: {"channels": shape.channels},
        twin=_timm,
    ),
    Peer(
        entry="cbam",
        place="Jongchan/attention-module:MODELS/cbam.py",
        attribute="CBAM",
        arguments=lambda shape: {"gate_channels": shape.channels},
        reference="cbam/Jongchan.attention-module/CBAM",
    ),
)

FLOORS = (Floor("cbam", 3),)
