"""How often an entry's algebra has to read its input, whatever the implementation."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from benchmarks.peers.peer import Arguments, Inputs, Shape, one_map
from regard import catalog


@dataclass(frozen=True)
class Floor:
    """An entry that memory bounds; one that arithmetic bounds has none.

    Args:
        entry: the catalogue's name.
        reads: how often the first input has to be read before the output can be written: once for each statistic over
            the whole map that a later one depends on, and once to apply the result.
        arguments: shape -> constructor arguments.
        inputs: shape -> inputs; all but the first are read once.
    """

    entry: str
    reads: int
    arguments: Arguments = lambda shape: {"channels": shape.channels}
    inputs: Inputs = one_map

    def build(self, shape: Shape) -> nn.Module:
        module: nn.Module = catalog.create(self.entry, **self.arguments(shape))
        return module.eval()
