"""Interaction, aggregation and update."""

import torch

from benchmarks.peers.peer import Peer

_FRAMES = 4

PEERS = (
    Peer(
        entry="iau",
        place="blue-blue272/ImgReID-IAnet:models/SIAU.py+models/IAU.py",
        attribute="IAU",
        arguments=lambda shape: {"in_channels": shape.channels},
        reference="iaunet/blue-blue272.ImgReID-IAnet/IAU",
        edits={".cuda()": ""},
    ),
    Peer(
        entry="iau",
        place="blue-blue272/ImgReID-IAnet:models/STIAU.py+models/IAU3D.py",
        attribute="IAUBlock3D",
        arguments=lambda shape: {"in_channels": shape.channels, "seq_len": _FRAMES},
        reference="iaunet/blue-blue272.ImgReID-IAnet/IAUBlock3D",
        inputs=lambda shape: [torch.randn(shape.batch, shape.channels, _FRAMES, *shape.grid)],
        setting="video",
        edits={".cuda()": ".to(x)"},
        largest=(2, 28, 28),
    ),
)
