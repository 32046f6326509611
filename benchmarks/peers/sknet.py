"""Selective kernels; the authors' own code is Caffe."""

from benchmarks.peers.peer import Peer

PEERS = (
    Peer(
        entry="sk",
        place="timm.layers",
        attribute="SelectiveKernel",
        arguments=lambda shape: {"in_channels": shape.channels, "groups": shape.channels // 8},
        reference="sk/timm/SelectiveKernel",
    ),
    Peer(
        entry="sk",
        place="pppLang/SKNet:sknet.py",
        attribute="SKConv",
        arguments=lambda shape: {
            "features": shape.channels,
            "WH": shape.height,
            "M": 2,
            "G": shape.channels // 8,
            "r": 16,
        },
        reference="sk/pppLang.SKNet/SKConv",
        edits={"unsqueeze_(": "unsqueeze("},  # autograd refuses the change in place
    ),
)
