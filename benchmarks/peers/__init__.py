"""Who else publishes the same function: one file for each mechanism file, of the same name.

A peer enters the table only if it can be given the same weights and then computes the same function: what cannot pass
the gate cannot be compared. Each file has

    PEERS   the published modules, in the order of the table
    FLOORS  for each entry that memory bounds, how often its algebra has to read the input
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from types import ModuleType

from benchmarks.peers.floor import Floor
from benchmarks.peers.peer import NotFetched, Peer, Shape, code_of, load, renamed

__all__ = ["Floor", "NotFetched", "Peer", "Shape", "code_of", "floors", "load", "peers", "renamed"]


_PARTS = ("floor", "peer", "stand_ins")


@cache
def _files() -> tuple[ModuleType, ...]:
    names = [file.name for file in pkgutil.iter_modules(__path__) if file.name not in _PARTS]
    return tuple(importlib.import_module(f"{__name__}.{name}") for name in sorted(names))


def peers(entry: str | None = None) -> tuple[Peer, ...]:
    """Every peer, or those of one catalogue entry."""
    return tuple(peer for file in _files() for peer in file.PEERS if entry is None or peer.entry == entry)


def floors(entry: str | None = None) -> tuple[Floor, ...]:
    """Every floor, or that of one catalogue entry."""
    found = (floor for file in _files() for floor in getattr(file, "FLOORS", ()))
    return tuple(floor for floor in found if entry is None or floor.entry == entry)
