"""Efficient channel attention."""

from torch import nn

from benchmarks.peers.floor import Floor
from benchmarks.peers.peer import Peer, Shape, load
from regard.papers.eca_net.mechanism import adaptive_kernel


def _timm(theirs: nn.Module, shape: Shape) -> nn.Module:
    state = theirs.state_dict()
    return load("eca", {"channels": shape.channels, "kernel_size": state["conv.weight"].shape[-1]}, state)


PEERS = (
    Peer(
        entry="eca",
        place="timm.layers",
        attribute="EcaModule",
        arguments=lambda shape: {"channels": shape.channels},
        twin=_timm,
    ),
    Peer(
        entry="eca",
        place="BangguWu/ECANet:models/eca_module.py",
        attribute="eca_layer",
        arguments=lambda shape: {"channel": shape.channels, "k_size": adaptive_kernel(shape.channels)},
        reference="eca/BangguWu.ECANet/eca_layer",
    ),
    Peer(
        entry="eca_ns",
        place="BangguWu/ECANet:models/eca_ns.py",
        attribute="eca_layer",
        arguments=lambda shape: {"channel": shape.channels, "k_size": adaptive_kernel(shape.channels)},
        reference="eca/BangguWu.ECANet/eca_ns_layer",
    ),
)

FLOORS = (Floor("eca", 2), Floor("eca_ns", 2))
