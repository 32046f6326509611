"""Interaction and aggregation."""

from benchmarks.peers.peer import Peer

PEERS = (
    Peer(
        entry="ia",
        place="blue-blue272/ImgReID-IAnet:models/IA.py",
        attribute="IABlock2D",
        arguments=lambda shape: {
            "in_channels": shape.channels,
            "height": shape.height,
            "width": shape.width,
            "alpha_x": 5,
            "alpha_y": 10,
        },
        reference="iaunet/blue-blue272.ImgReID-IAnet/IABlock2D",
        # the released distances are rounded to float32, which a comparison in float64 would see
        edits={".cuda()": ".to(x)", ".float()": ""},
        largest=(8, 28, 28),
    ),
)
