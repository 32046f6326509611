"""Replacing the maps of a network by maps that say less, to see whether what they say matters.

    even       `regard.edits.uniform`: equal weights; the values of a gate are their mean over the image
    mean       over its queries; of a map without queries over its positions, so that each channel or class keeps its
               level; of a map without either the same as even
    shuffled   `regard.edits.shuffle`: the same values at random places
    images     the mean of the maps of all images of the batch
    swapped    the map of another image of the batch

All keep sums of 1. A network that does as well with even maps uses what stands beside them: a map can be a picture of
nothing that the network needs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager

from torch import Tensor, nn

from regard.core import Formed, summed
from regard.watching import edits, listen

Replacement = Callable[[Formed, int], Tensor]

PLACES = ("H", "W", "D", "h", "w", "d")


def even(formed: Formed, seed: int) -> Tensor:
    """The same weight everywhere, of a gate its mean over the image."""
    return _edited(edits.uniform(), formed)


def mean(formed: Formed, seed: int) -> Tensor:
    """The mean over queries, or over positions."""
    dims = queries(formed)
    return formed.map.mean(dims, keepdim=True).expand_as(formed.map) if dims else even(formed, seed)


def shuffled(formed: Formed, seed: int) -> Tensor:
    """The same values at random places."""
    return _edited(edits.shuffle(seed), formed)


def images(formed: Formed, seed: int) -> Tensor:
    """The mean over the images of the batch."""
    return formed.map.mean(0, keepdim=True).expand_as(formed.map)


def swapped(formed: Formed, seed: int) -> Tensor:
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
    """The dimensions over which `mean` is taken: those of queries, else those of positions; none without either.

    Positions over which the weights sum to 1 are what is attended to, and no queries.
    """
    parts, weighed = formed.axes.split(), summed(formed.axes, formed.sums)
    letters = [part.strip("0123456789/") if not part.isdigit() else part for part in parts]
    free = [dim for dim in range(1, len(parts)) if formed.map.shape[dim] > 1 and dim not in weighed]
    of_queries = tuple(dim for dim in free if letters[dim] == "Q")
    if of_queries:
        return of_queries
    heads = letters.index("h") if "h" in letters and "w" not in letters else -1  # h of heads, not of a height
    return tuple(dim for dim in free if letters[dim] in PLACES and dim != heads)


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


def _edited(edit: edits.Edit, formed: Formed) -> Tensor:
    return edit(
        formed.map, key=formed.key, axes=formed.axes, grids=formed.grids, sums=formed.sums, places=formed.places
    )
