"""One slice of an attention map, by its axes alone: what a page can draw at once, and never a whole N x N.

A map has a *plane*, the places that are drawn (`H W`, or a flattened axis with a grid); *queries*, if it relates places
to places; and *parts*, all other axes flattened: heads, channels, scales, steps. A slice is one part, or the mean of
all, of one query, or the mean of all, which is the attention that each place receives. Without a plane the last axis is
drawn as bars.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from regard.core import Grid, Maps, grids_of
from regard.viewing.reaching import Reach, plane_of, reach
from regard.viewing.scaling import Colouring

NAMED = {
    "h": "head",
    "C": "channel",
    "D": "channel",
    "S": "scale",
    "T": "step",
    "L": "word",
    "G": "group",
    "K": "class",
}


@dataclass(frozen=True)
class Layout:
    """How one look at a map is cut.

    Args:
        kind: `plane`, `bars`, `path` (points), `boxes` or `lattice`.
        size: of what is drawn: height and width of a plane, the number of bars.
        parts: the number of parts; 1 where there is one map.
        part: what a part is, in a word.
        queries: height and width of the queries; None where there are none.
        query_tokens: the number of queries in front of the grid, as class and register tokens.
        tokens: the number of keys in front of the plane.
    """

    kind: str
    size: tuple[int, ...]
    parts: int = 1
    part: str = "part"
    queries: tuple[int, int] | None = None
    query_tokens: int = 0
    tokens: int = 0

    def facts(self) -> dict[str, Any]:
        """The layout as JSON."""
        return {
            "kind": self.kind, "size": list(self.size), "parts": self.parts, "part": self.part,
            "queries": None if self.queries is None else list(self.queries), "queryTokens": self.query_tokens,
            "tokens": self.tokens,
        }  # fmt: skip


@dataclass(frozen=True)
class Slice:
    """What is drawn.

    Args:
        values: `H W`, the bars `N`, points `T 2`, boxes `T 4`, or a lattice `H W 2`; float32.
        tokens: the weights of the keys in front of the plane.
        ends: the values of the darkest and the lightest colour.
        even: whether the values differ by rounding alone.
    """

    values: Tensor
    tokens: tuple[float, ...]
    ends: tuple[float, float]
    even: bool


@dataclass(frozen=True)
class _Cut:
    """One look: the layout, and its values `parts queries *size` with the tokens apart, or the reach of its queries."""

    layout: Layout
    values: Tensor | None
    tokens: Tensor | None
    way: Reach | None = None


def letters_of(axes: str) -> tuple[str, ...]:
    """The axes as letters and numbers; a height and a width of the map's own count as the image's."""
    letters = tuple(part if part.isdigit() else part.strip("0123456789/") for part in axes.split())
    for own, image in ((("h", "w"), ("H", "W")), (("h", "w", "X"), ("H", "W", "X"))):
        if letters[-len(own) :] == own:
            letters = (*letters[: -len(own)], *image)
    return letters


def layout(maps: Maps, key: str, look: int) -> Layout:
    """How a look at a map is cut. Raises: as `cut`."""
    return _arranged(maps, key, look).layout


def cut(maps: Maps, key: str, look: int = 0, *, part: int | None = None, query: int | None = None) -> Slice:
    """One slice of a look at a map, of the first image of the batch.

    Args:
        maps: the maps of `watch`.
        key: the map.
        look: the number of the look, from 0.
        part: the number of the part, as of the head; None takes the mean of all.
        query: the number of the query, tokens in front of the grid counted; None takes the mean of all.

    Raises:
        LookupError: there is no such map.
        ValueError: there is no such look, part or query.
    """
    arranged = _arranged(maps, key, look)
    shape, dtype = arranged.layout, maps[key][look].dtype
    queries = 0 if shape.queries is None else math.prod(shape.queries) + shape.query_tokens
    for name, number, count in (("head", part, shape.parts), ("query", query, queries)):
        if number is not None and not 0 <= number < count:
            accepted = f"a number from 0 to {count - 1} is accepted" if count else f"{key} has none"
            raise ValueError(f"{name}={number}: {accepted}")
    tokens: tuple[float, ...] = ()
    if arranged.way is not None:
        values = arranged.way.received().mean(0) if query is None else arranged.way.of(query)
    else:
        assert arranged.values is not None
        values = _chosen(arranged.values, part, query)
        if arranged.tokens is not None:
            tokens = tuple(_chosen(arranged.tokens, part, query).tolist())
    place = 2 if shape.kind == "plane" else 1
    ends = Colouring("common", dtype).ends(values[None], place=place) if shape.kind in ("plane", "bars") else None
    low, high = ends or (float(values.min()), float(values.max()))
    return Slice(values.float(), tokens, (low, high), Colouring("own", dtype).even(values))


def _chosen(values: Tensor, part: int | None, query: int | None) -> Tensor:
    """One part and one query of `parts queries …`, or their means."""
    values = values.mean(0) if part is None else values[part]
    return values.mean(0) if query is None else values[query]


def _arranged(maps: Maps, key: str, number: int) -> _Cut:
    if key not in maps:
        raise LookupError(f"no map {key!r}")
    if not 0 <= number < len(maps[key]):
        raise ValueError(f"look={number}: a number from 0 to {len(maps[key]) - 1} is accepted")
    look, grids = maps[key][number], maps.grids.get(key, {})
    letters = letters_of(maps.axes.get(key, ""))
    values = look[0].detach()
    values = values if values.dtype == torch.float64 else values.float()
    if len(letters) != look.dim():  # axes that nobody declared: the last one is drawn
        letters = ("B", *("?" for _ in range(look.dim() - 1)))
    if letters[-2:] in (("T", "2"), ("T", "4")):
        kind = "path" if letters[-1] == "2" else "boxes"
        flat = values.reshape(1, 1, *values.shape[-2:])
        return _Cut(Layout(kind, tuple(values.shape[-2:])), flat, None)
    if letters[1:] == ("H", "W", "2"):
        return _Cut(Layout("lattice", tuple(values.shape)), values[None, None], None)
    before = [one for one in maps[key][:number] if one.shape == look.shape]
    places, levels = maps.places.get(key), plane_of(grids.get("K"))
    if places is not None and levels is not None and letters[-2:] == ("Q", "X") and look.dim() == 4:
        queries = plane_of(grids.get("Q"))
        return _windows(values.reshape(-1, *values.shape[-2:]), places, levels, queries)
    way = reach(look[:1], letters, grids, [one[:1] for one in before])
    if way is not None:
        return _Cut(Layout("plane", way.grid, queries=way.grid), None, None, way)
    return _flattened(values, list(letters[1:]), grids)


def _windows(values: Tensor, places: Tensor, keys: tuple[int, int], queries: tuple[int, int] | None) -> _Cut:
    """Attention within windows, put back on the image. Shapes: values `h Q X`, places `Q X`, -1 outside the image."""
    heads, count, _ = values.shape
    inside = places.to(values.device).clamp(min=0).expand(heads, -1, -1)
    weights = torch.where(places.to(values.device) >= 0, values, values.new_zeros(()))
    found = values.new_zeros(heads, count, math.prod(keys)).scatter_add_(2, inside, weights)
    shape = Layout("plane", keys, heads, NAMED["h"], queries)
    if queries is None or math.prod(queries) != count:
        shape = Layout("plane", keys, heads, NAMED["h"])
        found = found.mean(1, keepdim=True)
    return _Cut(shape, found.unflatten(-1, keys), None)


def _flattened(values: Tensor, letters: list[str], grids: Mapping[str, Grid]) -> _Cut:
    """Brings values to `parts queries H W`, or `parts 1 N` without a plane."""
    values, letters, plane, tokens = _placed(values, letters, grids)
    queries: tuple[int, int] | None = None
    query_tokens = 0
    if plane and "Q" in letters:
        at = letters.index("Q")
        queries, query_tokens = _grid(grids.get("Q"), values.shape[at])
        if queries is not None:
            values, letters = values.movedim(at, -2), [*letters[:at], *letters[at + 1 :]]
    if queries is None:
        values = values.unsqueeze(-2)
    values = values.reshape(-1, *values.shape[-2:])
    named = [letter for letter in letters[:-1] if letter != "1"]
    word = NAMED.get(named[0], "part") if len(named) == 1 else "part"
    in_front = values[..., :tokens] if tokens else None
    values = values[..., tokens:]
    if not plane:
        return _Cut(Layout("bars", (int(values.shape[-1]),), len(values), word), values, None)
    values = values.unflatten(-1, plane)
    return _Cut(Layout("plane", plane, len(values), word, queries, query_tokens, tokens), values, in_front)


def _placed(
    values: Tensor, letters: list[str], grids: Mapping[str, Grid]
) -> tuple[Tensor, list[str], tuple[int, ...], int]:
    """The values with what is drawn as the last axis; the letters; height and width; the number of keys in front."""
    if "H" in letters or "W" in letters:
        for letter in ("H", "W"):
            if letter in letters:
                at = letters.index(letter)
                values = values.movedim(at, -1)
                letters = [*letters[:at], *letters[at + 1 :], letter]
            else:
                values, letters = values.unsqueeze(-1), [*letters, letter]
        plane = (int(values.shape[-2]), int(values.shape[-1]))
        return values.flatten(-2), [*letters[:-2], "P"], plane, 0
    last = letters[-1]
    grid = grids.get(last)
    if grid is None and last == "K" and "Q" in letters and values.shape[letters.index("Q")] == values.shape[-1]:
        grid = grids.get("Q")
    found, front = _grid(grid, values.shape[-1])
    if found is None and "Q" in letters and last != "Q" and grids.get("Q") is not None:  # classes at each place
        at = letters.index("Q")
        found, front = _grid(grids["Q"], values.shape[at])
        if found is not None:
            values, letters = values.movedim(at, -1), [*letters[:at], *letters[at + 1 :], "P"]
    if found is None:
        while len(letters) > 1 and letters[-1] == "1":  # a gate B C 1 1
            values, letters = values.squeeze(-1), letters[:-1]
        return values, letters, (), 0
    return values, [*letters[:-1], "P"], found, front


def _grid(grid: Grid | None, size: int) -> tuple[tuple[int, int] | None, int]:
    """Height and width of a flattened axis, and how many single cells stand in front of them."""
    if plane_of(grid) is not None:
        plane = plane_of(grid)
        assert plane is not None
        return (plane, 0) if math.prod(plane) == size else (None, 0)
    several = grids_of(grid or ())
    if len(several) > 1 and all(math.prod(one) == 1 for one in several[:-1]) and len(several[-1]) == 2:
        height, width = several[-1]
        if height * width + len(several) - 1 == size:
            return (height, width), len(several) - 1
    return None, 0
