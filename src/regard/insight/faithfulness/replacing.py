"""Replacing the maps of a network by maps that say less, to see whether what they say matters.

    even       the weights of a map that sums to 1 are equal, the values of a gate are their mean over the image
    mean       over its queries; of a map without queries over its positions, so that each channel or class keeps its
               level; of a map without either the same as even
    shuffled   the weights that sum to 1 in another order, of a gate its positions, without positions its channels; one
               order for all images, queries and heads
    images     the mean of the maps of all images of the batch
    swapped    the map of another image of the batch

The first three keep sums of 1 and the level of a gate. A network that does as well with even maps uses what stands
beside them: a map can be a picture of nothing that the network needs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from regard.core import Formed
from regard.ops.seeds import mixed
from regard.watching import listen

Replacement = Callable[[Formed, int], Tensor]

PLACES = ("H", "W", "D")


def even(formed: Formed, seed: int = 0) -> Tensor:
    """Equal weights, or the mean of a gate over the image."""
    map, summed = formed.map, _axes(formed, _letters(formed.sums))
    if summed:
        return torch.full_like(map, 1 / math.prod(map.shape[axis] for axis in summed))
    return map.mean(tuple(range(1, map.dim())), keepdim=True).expand_as(map)


def mean(formed: Formed, seed: int = 0) -> Tensor:
    """The mean over queries, or over positions."""
    axes = queries(formed)
    return formed.map.mean(axes, keepdim=True).expand_as(formed.map) if axes else even(formed)


def shuffled(formed: Formed, seed: int) -> Tensor:
    """The same values in another order."""
    map = formed.map
    axes = _axes(formed, _letters(formed.sums)) or _axes(formed, PLACES)
    axes = axes or tuple(axis for axis in range(1, map.dim()) if map.shape[axis] > 1)
    if not axes:
        return map
    sizes = [map.shape[axis] for axis in axes]
    generator = torch.Generator().manual_seed(mixed("shuffled", seed, formed.key))
    order = torch.randperm(math.prod(sizes), generator=generator).to(map.device)
    last = map.movedim(axes, tuple(range(-len(axes), 0)))
    moved: Tensor = last.flatten(-len(axes))[..., order].unflatten(-1, sizes)
    return moved.movedim(tuple(range(-len(axes), 0)), axes)


def images(formed: Formed, seed: int = 0) -> Tensor:
    """The mean over the images of the batch."""
    return formed.map.mean(0, keepdim=True).expand_as(formed.map)


def swapped(formed: Formed, seed: int = 0) -> Tensor:
    """The map of the image before, of the first that of the last."""
    return formed.map.roll(1, 0)


REPLACEMENTS: Mapping[str, Replacement] = {
    "even": even,
    "mean": mean,
    "shuffled": shuffled,
    "images": images,
    "swapped": swapped,
}


def queries(formed: Formed) -> tuple[int, ...]:
    """The axes over which `mean` is taken: those of queries, else those of positions; none where there are neither.

    Positions over which the weights sum to 1 are what is attended to, and no queries.
    """
    summed = _letters(formed.sums)
    return _axes(formed, ("Q",)) or tuple(
        axis for axis in _axes(formed, PLACES) if _letters(formed.axes)[axis] not in summed
    )


@contextmanager
def replacing(
    model: nn.Module, name: str, *, only: Collection[str] | None = None, seed: int = 0, foreign: bool = True
) -> Iterator[dict[str, Formed]]:
    """Replaces maps while the block runs.

    Args:
        model: the network.
        name: a name in `REPLACEMENTS`.
        only: the keys of the maps that are replaced; None replaces all.
        seed: of the order of shuffled maps.
        foreign: whether attention that no `regard.Attention` forms is replaced too.

    Yields: key -> the last map that was replaced, filled as the network runs.
    Raises: NothingSeen if the network has no attention.
    """
    met: dict[str, Formed] = {}

    def replace(formed: Formed) -> Tensor | None:
        if not formed.acts or (only is not None and formed.key not in only) or not formed.map.is_floating_point():
            return None
        met[formed.key] = formed
        return REPLACEMENTS[name](formed, seed).to(formed.map)

    with listen(model, replace, foreign=foreign, edits=True):
        yield met


def _letters(axes: str) -> list[str]:
    """The letter of each axis: of a multiple or a quotient, as 2H or H/2, only the letter; numbers as they are."""
    return [part if part.isdigit() else part.strip("0123456789/").upper() for part in axes.split()]


def _axes(formed: Formed, letters: Collection[str]) -> tuple[int, ...]:
    """The axes of these letters that are longer than one, the batch excepted."""
    named = _letters(formed.axes)
    return tuple(axis for axis in range(1, formed.map.dim()) if named[axis] in letters and formed.map.shape[axis] > 1)
