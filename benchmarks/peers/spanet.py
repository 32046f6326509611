"""Spatial pyramid attention."""

from benchmarks.peers.floor import Floor
from benchmarks.peers.peer import Peer

PEERS = (
    Peer(
        entry="spa",
        place="13952522076/SPANet:models/spp_se_resnet.py",
        attribute="SPPSELayer",
        arguments=lambda shape: {"channel": shape.channels},
        reference="spanet/13952522076.SPANet/SPPSELayer",
    ),
    Peer(
        entry="spa_pre",
        place="13952522076/SPANet:models/p_spp_se_resnet.py",
        attribute="PSPPSELayer",
        arguments=lambda shape: {"in_cahnnel": shape.channels, "channel": shape.channels},  # as released
        known=lambda shape: {"in_channel": shape.channels, "channel": shape.channels},
        reference="spanet/13952522076.SPANet/PSPPSELayer",
    ),
)

FLOORS = (Floor("spa", 2),)
