"""Squeeze-and-excitation; the authors' own code is Caffe."""

from benchmarks.peers.floor import Floor
from benchmarks.peers.peer import Peer

PEERS = (
    Peer(
        entry="se",
        place="timm.layers",
        attribute="SEModule",
        arguments=lambda shape: {"channels": shape.channels},
        reference="se/timm/SEModule",
    ),
    Peer(
        entry="se",
        place="torchvision.ops",
        attribute="SqueezeExcitation",
        arguments=lambda shape: {
            "input_channels": shape.channels,
            "squeeze_channels": max(shape.channels // 16, 1),
        },
        reference="se/torchvision/SqueezeExcitation",
    ),
    Peer(
        entry="se",
        place="moskomule/senet.pytorch:senet/se_module.py",
        attribute="SELayer",
        arguments=lambda shape: {"channel": shape.channels},
        reference="se/moskomule.senet.pytorch/SELayer",
    ),
)

FLOORS = (Floor("se", 2),)
