"""Where the attention of queries goes: over one grid, over a pyramid of grids, or over the cross through the query.

pyramid   keys are the regions of several grids over the image, one grid after another: a weight is spread evenly
          over its region, as adaptive pooling cuts it
cross     keys are the H places of the query's column, then the W places of its row; of repeated passes the weights
          are multiplied, so that the second one reaches every place
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from regard.core import Grid, grids_of

CROSS = ("H", "W", "X")  # the axes of weights over the places of a cross


class Reach(Protocol):
    """The weights of all queries of one image."""

    @property
    def grid(self) -> tuple[int, int]:
        """H, W of the queries, and of the maps."""
        ...

    def received(self) -> Tensor:
        """What each place receives of all queries, their mean: one map for each head, `h H W`."""
        ...

    def of(self, query: int) -> Tensor:
        """Where one query attends to, the mean of the heads: `H W`."""
        ...

    def strongest(self) -> int:
        """The query with the largest single weight."""
        ...


@dataclass(frozen=True)
class Dense:
    """Weights over one grid of keys. Shapes: weights `h Q H W`."""

    weights: Tensor
    grid: tuple[int, int]

    def received(self) -> Tensor:
        return self.weights.mean(1)

    def of(self, query: int) -> Tensor:
        return self.weights[:, query].mean(0)

    def strongest(self) -> int:
        return int(self.weights.mean(0).flatten(1).amax(1).argmax())


@dataclass(frozen=True)
class Pyramid:
    """Weights over the regions of several grids. Shapes: weights `h Q S`."""

    weights: Tensor
    grid: tuple[int, int]
    levels: Sequence[tuple[int, ...]]

    def received(self) -> Tensor:
        return spread(self.weights.mean(1), self.levels, self.grid)

    def of(self, query: int) -> Tensor:
        return spread(self.weights[:, query].mean(0)[None], self.levels, self.grid)[0]

    def strongest(self) -> int:
        return int(self.weights.mean(0).amax(1).argmax())


@dataclass(frozen=True)
class Cross:
    """Weights over column and row, of one pass after the passes before it. Shapes: each pass `H W X`, X = H + W."""

    passes: Sequence[Tensor]

    @property
    def grid(self) -> tuple[int, int]:
        return tuple(self.passes[-1].shape[:2])  # type: ignore[return-value]

    def received(self) -> Tensor:
        height, width = self.grid
        even = self.passes[-1].new_full((height, width), 1 / (height * width))
        return self._through(even)[None]

    def of(self, query: int) -> Tensor:
        height, width = self.grid
        start = self.passes[-1].new_zeros(height * width)
        start[query] = 1
        return self._through(start.view(height, width))

    def strongest(self) -> int:
        return int(self.passes[-1].flatten(0, 1).amax(1).argmax())

    def _through(self, weights: Tensor) -> Tensor:
        for one in reversed(self.passes):
            weights = crossed(one, weights)
        return weights


def crossed(one: Tensor, weights: Tensor) -> Tensor:
    """The weights of places, each passed on to its column and its row: `H W X`, `H W` -> `H W`."""
    column, row = one.split(list(weights.shape), -1)
    return torch.einsum("hw,hwg->gw", weights, column) + torch.einsum("hw,hwv->hv", weights, row)


def spread(weights: Tensor, levels: Sequence[tuple[int, ...]], grid: tuple[int, int]) -> Tensor:
    """Weights of the regions of several grids, each spread evenly over its region: `h S` -> `h H W`."""
    height, width = grid
    spreading = []
    for rows, columns in levels:
        rows_of, columns_of = _bins(rows, height, weights), _bins(columns, width, weights)
        spreading.append(torch.einsum("ah,bw->abhw", rows_of, columns_of).flatten(0, 1))
    return torch.einsum("ns,shw->nhw", weights, torch.cat(spreading))


def _bins(count: int, length: int, like: Tensor) -> Tensor:
    """The share of each place in each of `count` bins along an axis, as adaptive pooling cuts them: `count length`."""
    found = like.new_zeros(count, length)
    for number in range(count):
        first, last = number * length // count, -(-(number + 1) * length // count)
        found[number, first:last] = 1 / (last - first)
    return found


def reach(
    look: Tensor, letters: tuple[str, ...], grids: Mapping[str, Grid], before: Sequence[Tensor] = ()
) -> Reach | None:
    """The weights of one image over a pyramid or a cross; None for other axes.

    Args:
        look: the map, with a batch of one.
        letters: its axes.
        grids: of flattened axes.
        before: earlier looks of the same axes, for repeated passes over one grid.
    """
    values = look[0].detach()
    values = values if values.dtype == torch.float64 else values.float()
    if letters[1:] == CROSS and values.shape[2] == sum(values.shape[:2]):
        same = [one[0].detach().to(values.dtype) for one in before if one.shape == look.shape]
        return Cross([*same, values])
    levels, queries = grids_of(grids.get(letters[-1], ())), plane_of(grids.get("Q"))
    if len(levels) < 2 or queries is None or "Q" not in letters[1:-1]:
        return None
    if any(len(level) != 2 for level in levels) or sum(map(math.prod, levels)) != values.shape[-1]:
        return None
    values = values.movedim(letters.index("Q") - 1, -2)
    return Pyramid(values.flatten(0, -3) if values.dim() > 2 else values[None], queries, levels)


def plane_of(grid: Grid | None) -> tuple[int, int] | None:
    """The height and the width of a flattened axis; None if it is no single grid of two axes."""
    grids = grids_of(grid or ())
    if len(grids) != 1 or len(grids[0]) != 2:
        return None
    height, width = grids[0]
    return height, width
