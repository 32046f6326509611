"""Squeeze-and-excitation over channels, positions and both."""

from benchmarks.peers.floor import Floor
from benchmarks.peers.peer import Peer

_PLACE = "ai-med/squeeze_and_excitation:squeeze_and_excitation/squeeze_and_excitation.py"

PEERS = (
    Peer(
        entry="cse",
        place=_PLACE,
        attribute="ChannelSELayer",
        arguments=lambda shape: {"num_channels": shape.channels},
        reference="scse/ai-med.squeeze_and_excitation/ChannelSELayer",
    ),
    Peer(
        entry="sse",
        place=_PLACE,
        attribute="SpatialSELayer",
        arguments=lambda shape: {"num_channels": shape.channels},
        reference="scse/ai-med.squeeze_and_excitation/SpatialSELayer",
    ),
    Peer(
        entry="scse",
        place=_PLACE,
        attribute="ChannelSpatialSELayer",
        arguments=lambda shape: {"num_channels": shape.channels},
        reference="scse/ai-med.squeeze_and_excitation/ChannelSpatialSELayer",
    ),
    Peer(
        entry="scse",
        place="qubvel-org/segmentation_models.pytorch:segmentation_models_pytorch/base/modules.py",
        attribute="SCSEModule",
        arguments=lambda shape: {"in_channels": shape.channels},
        reference="scse/qubvel-org.segmentation_models.pytorch/SCSEModule",
        pick=("SCSEModule",),
    ),
)

FLOORS = (Floor("cse", 2), Floor("sse", 1), Floor("scse", 2))
