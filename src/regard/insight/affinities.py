"""Attention from positions to positions, layer by layer, as the maps of `watch` hold it: what can be chained.

Layers can be chained if each has a weight for every pair of its positions, and all have the same positions: class and
register tokens in front of one grid. A layer whose queries are tokens alone (class attention) changes these, and leaves
the other positions as they are; tokens that come in with it stood for themselves before. Windows, pooled keys and
stages of several resolutions cannot be chained, since their weights are of other positions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import pairwise

import torch
from torch import Tensor

from regard.core import Grid, Maps, grids_of

AXES = ("B Q K", "B h Q K")


@dataclass(frozen=True)
class Positions:
    """What an axis of positions holds.

    Args:
        size: how many positions there are.
        tokens: the names of the tokens in front of the others.
        grid: of the others; empty if there are none, or if it is not known.
    """

    size: int
    tokens: tuple[str, ...] = ()
    grid: tuple[int, ...] = ()

    def __str__(self) -> str:
        rest = " x ".join(map(str, self.grid)) or str(self.size - len(self.tokens))
        return f"{', '.join(self.tokens)} and {rest}" if self.tokens else rest


@dataclass(frozen=True)
class Layer:
    """One layer of attention.

    Args:
        key: of its map.
        weights: `B h Q K`, as they were recorded.
        queries, keys: what its axes hold.
    """

    key: str
    weights: Tensor
    queries: Positions
    keys: Positions

    def spread(self, weights: Tensor, *, still: float) -> Tensor:
        """Weights of these queries as a matrix of all positions; other positions have `still` on themselves.

        Shapes: weights `B Q K` -> `B K K`.
        """
        if self.queries == self.keys:
            return weights
        places = [self.keys.tokens.index(token) for token in self.queries.tokens]
        full = still * torch.eye(weights.shape[-1], dtype=weights.dtype, device=weights.device)
        full = full.expand(len(weights), -1, -1).clone()
        full[:, places] = weights
        return full


def layers(maps: Maps, only: str) -> list[Layer]:
    """The layers whose keys fit a pattern, in the order in which they ran.

    Raises:
        LookupError: no key fits the pattern.
        ValueError: none of these is attention from positions to positions, or they cannot be chained.
    """
    keys = [key for key in maps if fnmatchcase(key, only)]
    if not keys:
        raise LookupError(f"only={only!r}: the key of a map is needed; seen: {', '.join(maps) or 'none'}")
    found = [_layer(maps, key) for key in keys if "Q" in maps.axes.get(key, "").split()]
    if not found:
        raise ValueError(
            f"only={only!r}: attention from positions to positions (axes B h Q K) is needed; "
            f"seen: {', '.join(f'{key} ({maps.axes.get(key)})' for key in keys[:4])}"
        )
    for before, layer in pairwise(found):
        if not _follows(before.keys, layer.keys):
            raise ValueError(
                f"{layer.key}: its positions ({layer.keys}) are not those of {before.key} "
                f"({before.keys}), so their weights cannot be chained; only= chooses layers of one grid"
            )
    return found


def _layer(maps: Maps, key: str) -> Layer:
    """Raises: ValueError if the map is of windows or pooled keys, or of several looks."""
    axes, looks = " ".join(maps.axes[key].split()), maps[key]
    if axes not in AXES:
        what = "attention within windows" if key in maps.places else f"axes {axes!r}"
        raise ValueError(f"{key}: {what} cannot be chained; a weight for each pair of positions (B h Q K) is needed")
    if len(looks) > 1:
        raise ValueError(f"{key}: it was formed {len(looks)} times; the maps of one pass are needed")
    weights = looks[0] if looks[0].dim() == 4 else looks[0].unsqueeze(1)
    queries, keys = _positions(maps, key, "Q", weights.shape[-2]), _positions(maps, key, "K", weights.shape[-1])
    if keys == Positions(queries.size):  # nothing is said of them
        keys = queries
    alone = queries.size == len(queries.tokens) and set(queries.tokens) <= set(keys.tokens)
    if queries != keys and not alone:
        raise ValueError(
            f"{key}: its keys ({keys}) are not its queries ({queries}), as with windows or pooled keys; "
            "a weight for each pair of positions is needed"
        )
    return Layer(key, weights, queries, keys)


def _positions(maps: Maps, key: str, letter: str, size: int) -> Positions:
    """What an axis holds. Raises: ValueError if its grid does not fit its size."""
    tokens = tuple(maps.tokens.get(key, {}).get(letter, ()))
    grids = grids_of(maps.grids.get(key, {}).get(letter, ()))[len(tokens) :]
    grid = grids[0] if len(grids) == 1 else ()
    if grid and len(tokens) + math.prod(grid) != size:
        raise ValueError(
            f"{key}: the grid of {letter} ({Positions(size, tokens, grid)}) does not hold {size} positions"
        )
    return Positions(size, tokens, grid)


def _follows(before: Positions, after: Positions) -> bool:
    """Whether the positions are the same, but for tokens that come in front."""
    new = after.size - before.size
    return new >= 0 and after.grid == before.grid and after.tokens[new:] == before.tokens and new <= len(after.tokens)


def grown(relevance: Tensor, layer: Layer) -> Tensor:
    """A matrix of earlier positions as one of the layer's; tokens that are new stood for themselves.

    Shapes: relevance `B N N` -> `B K K`.
    """
    new = layer.weights.shape[-1] - relevance.shape[-1]
    if not new:
        return relevance
    full = torch.eye(layer.weights.shape[-1], dtype=relevance.dtype, device=relevance.device)
    full = full.expand(len(relevance), -1, -1).clone()
    full[:, new:, new:] = relevance
    return full


def itself(layer: Layer, weights: Tensor) -> Tensor:
    """The part of a query's own position among the keys, as a matrix. Shapes: weights `B Q K` -> `Q K`."""
    one = torch.eye(weights.shape[-1], dtype=weights.dtype, device=weights.device)
    if layer.queries == layer.keys:
        return one
    return one[[layer.keys.tokens.index(token) for token in layer.queries.tokens]]


def recorded(name: str, matrix: Tensor, last: Layer, *, sums: str) -> Maps:
    """A matrix of the last layer's positions as maps, which `draw` and `spatial` take. Shapes: matrix `B K K`."""
    maps = Maps()
    maps[name], maps.axes[name], maps.sums[name] = [matrix], "B Q K", sums
    tokens, grid = last.keys.tokens, last.keys.grid
    if grid:
        whole: Grid = (*((1,) * len(grid) for _ in tokens), grid) if tokens else grid
        maps.grids[name] = {"Q": whole, "K": whole}
    if tokens:
        maps.tokens[name] = {"Q": tokens, "K": tokens}
    return maps
