"""What the axes of a map are to an edit: heads, queries, positions, and where a map has weight."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from regard.core import Grid, grids_of, summed

COUNTED = {"head": ("h",), "channel": ("C", "D"), "query": ("Q", "L")}  # what is ablated -> the letters that count it
CROSS = "X"  # places of no one grid, as those of a criss-cross


@dataclass(frozen=True)
class Shown:
    """What an edit knows of the map that it gets.

    Attributes:
        key, axes, grids, sums, places: as in `regard.core.Formed`.
        look: how many looks of the module came before.
    """

    key: str
    axes: str
    grids: Mapping[str, Grid]
    sums: str
    places: Tensor | None = None
    look: int = 0

    @property
    def parts(self) -> list[str]:
        return self.axes.split()

    @property
    def dims(self) -> tuple[int, ...]:
        """The dimensions over which the map sums to 1; none of a gate."""
        return summed(self.axes, self.sums)


def axis_of(name: str, shown: Shown) -> int:
    """The dimension that counts heads, channels or queries, a word of `COUNTED`.

    Raises: ValueError if the map has none.
    """
    for letter in COUNTED[name]:
        if letter in shown.parts and (name != "head" or letter in shown.parts[:2]):
            return shown.parts.index(letter)
    rows = shown.dims[0] - 1 if len(shown.dims) == 1 else 0
    if name == "query" and rows > 0 and shown.parts[rows] not in ("h", "1"):
        return rows  # the rows of a table, as of `B h T T`
    raise ValueError(f"ablate({name}=…): {shown.key} has the axes {shown.axes!r}, none of which counts the {name}s")


def share_of(
    map: Tensor, shown: Shown, inside: Callable[[tuple[int, ...], Tensor], Tensor]
) -> tuple[Tensor, tuple[int, ...]]:
    """How much of each place that is weighed lies in a region, to be multiplied with the map, and its dimensions.

    Args:
        map: the map.
        shown: what is known of it.
        inside: gets a grid and a tensor of the wanted kind, and returns the share of each cell.

    Raises: ValueError if no axis of the map are positions of an image.
    """
    if shown.places is not None and "K" in shown.grids:  # windows: each query has keys of its own
        flat = torch.cat([inside(grid, map).flatten() for grid in grids_of(shown.grids["K"])])
        dims = tuple(range(map.ndim - 2, map.ndim))
        return flat[shown.places.clamp(min=0)] * (shown.places >= 0), dims
    dims = _plane(shown)
    grids: tuple[tuple[int, ...], ...] = (tuple(map.shape[dim] for dim in dims),)
    summed_over = shown.sums.split()
    if not dims or (shown.dims and not set(dims) & set(shown.dims)):
        letters = [one for one in shown.grids if one in shown.parts and (one in summed_over or not summed_over)]
        if letters:
            dims, grids = summed(shown.axes, letters[0]), grids_of(shown.grids[letters[0]])
        elif CROSS in summed_over:
            dims = ()
    if not dims:
        raise ValueError(f"mask: {shown.key} has the axes {shown.axes!r}, none of which are positions of an image")
    shape = [map.shape[dim] if dim in dims else 1 for dim in range(map.ndim)]
    return torch.cat([inside(grid, map).flatten() for grid in grids]).view(shape), dims


def _plane(shown: Shown) -> tuple[int, ...]:
    """The dimensions of height and width; none if the map has no such axes."""
    for pair in (("H", "W"), ("h", "w"), ("H/2", "W/2"), ("H/4", "W/4")):
        if set(pair) <= set(shown.parts):
            return tuple(shown.parts.index(letter) for letter in pair)
    return ()


def support_of(map: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Where a map has weight, if it sums to 1 over one axis, as of words or keys that may be hidden.

    Everywhere if it is hard, or a plane, of which no place is hidden.
    """
    seen = map.detach()
    if len(dims) != 1:
        return torch.ones_like(seen, dtype=torch.bool)
    hard = ((seen == 0) | (seen == 1)).all()
    return (seen != 0) | hard


def renormalised(map: Tensor, dims: tuple[int, ...]) -> Tensor:
    """The map with sums of 1 over `dims`; what has no weight at all keeps none, and without `dims` nothing changes."""
    if not dims:
        return map
    total = map.sum(dims, keepdim=True)
    return map / torch.where(total == 0, 1, total)
