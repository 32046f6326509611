"""Gather-excite; the authors' own code is Caffe, and timm's with parameters cannot be built (1.0.31)."""

from benchmarks.peers.floor import Floor
from benchmarks.peers.peer import Peer


def _timm(setting: str, **arguments: int) -> Peer:
    return Peer(
        entry="ge",
        place="timm.layers",
        attribute="GatherExcite",
        arguments=lambda shape: {"channels": shape.channels, "use_mlp": False, **arguments},
        reference="ge/timm/GatherExcite",
        setting=setting,
    )


PEERS = (
    _timm("without parameters"),
    _timm("without parameters, extent 8", extent=8),
)

FLOORS = (Floor("ge", 2),)
