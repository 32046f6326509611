"""Maps of foreign modules in the form in which maps are shown: the batch first, heads, queries and keys in image order.

Networks hold a map as `B h Q K`, as `(B h) Q K`, as `(B windows) h Q K` or with its axes in any other order. What each
axis is follows from the marks of rows and columns (`provenance`). An arrangement has a way back, by which an edited map
takes the place of the network's own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from regard.core import Grid
from regard.watching.provenance import Layout, Mark, cells_of, compact, samples_of, varies

UNKNOWN = {2: "B C", 3: "B Q C", 4: "B C H W", 5: "B S C H W"}  # axes of a gate of which nothing is known


@dataclass(frozen=True)
class Arrangement:
    """A map as it is shown, with the description that `Maps` keeps, and the way back to the network's layout."""

    map: Tensor
    axes: str
    sums: str = ""
    grids: Mapping[str, Grid] = field(default_factory=dict)
    tokens: Mapping[str, Sequence[str]] = field(default_factory=dict)
    places: Tensor | None = None
    back: Callable[[Tensor], Tensor] = lambda map: map


def affinity(map: Tensor, rows: Mark | None, columns: Mark | None, along: Tensor | None, batch: int) -> Arrangement:
    """A map from queries to keys: `B h Q K`, or `B h Q X` where each query has keys of its own or keys are padding.

    Args:
        map: the map in the network's layout.
        rows, columns: the marks of its queries and keys, of the map's shape.
        along: the index along the axis of the softmax, of the map's shape.
        batch: samples in the batch.
    """
    if rows is None or columns is None:
        return _unmarked(map, along, batch)
    r, c = compact(rows.codes), compact(columns.codes)
    parts = _split(map.shape, (r, c), batch)
    shape = [size for sizes in parts for size in sizes]
    r, c = _apart(r, parts), _apart(c, parts)
    a = None if along is None else _apart(compact(along), parts)
    dims = range(len(shape))
    samples = [d for d in dims if varies(samples_of(r), d) or varies(samples_of(c), d)]
    if batch == 1 and not samples and shape[0] == 1:
        samples = [0]
    if batch == 1 and not samples:
        wide = affinity(
            map[None], _wider(rows), _wider(columns), None if along is None else along[None], batch
        )  # the batch axis of one sample has been merged with another
        return replace(wide, back=lambda map: wide.back(map)[0])
    if len(samples) != 1:
        return _unmarked(map, along, batch)
    in_rows = {d for d in dims if d not in samples and varies(cells_of(r), d)}
    in_columns = {d for d in dims if d not in samples and varies(cells_of(c), d)}
    windows = sorted(in_rows & in_columns)
    queries, keys = sorted(in_rows - in_columns), sorted(in_columns - in_rows)
    rest = [d for d in dims if d not in {*samples, *in_rows, *in_columns}]
    padded = bool((c < 0).any())  # keys that padding has made take weight too: they are kept, and have no place
    letters = ("Q", "X" if windows or padded else "K")
    if not in_rows and not in_columns and len(rest) >= 2:  # between channels: no axis has a place
        queries, keys, rest, letters = rest[-2:-1], rest[-1:], rest[:-2], ("C", "D")
    elif not keys or not (queries or windows):
        if not rest or (not keys and not queries):
            return _unmarked(map, along, batch)
        queries, keys = (queries, rest[-1:]) if not keys else (rest[-1:], keys)
        rest = rest[:-1]
    order = [*samples, *rest, *windows, *queries, *keys]
    sizes = [math.prod(shape[d] for d in group) for group in (samples, rest, [*windows, *queries], keys)]
    final = [size for size, group in zip(sizes, (1, rest, 1, 1), strict=True) if group]
    axes = ["B", *(["h"] if rest else []), *letters]
    shown = map.reshape(shape).permute(order).reshape(final)
    inverse = [order.index(d) for d in dims]
    permuted = [shape[d] for d in order]

    def back(edited: Tensor) -> Tensor:
        return edited.reshape(permuted).permute(inverse).reshape(map.shape)

    groups = {"B": samples, "h": rest, letters[0]: [*windows, *queries], letters[1]: keys}
    sums = "" if a is None else " ".join(k for k, group in groups.items() if any(varies(a, d) for d in group))
    flat = len(samples) + len(rest)
    if letters == ("C", "D"):
        return Arrangement(shown, " ".join(axes), sums, back=back)
    here = [shape[d] for d in order[flat:]]
    cells_r = cells_of(r.permute(order)[(0,) * flat]).expand(here).reshape(sizes[2], -1)[:, 0]
    cells_c = cells_of(c.permute(order)[(0,) * flat]).expand(here).reshape(sizes[2], -1)
    found = _Ordered.of(cells_r, rows.layout)
    plain = Arrangement(shown, " ".join(axes), sums, {}, {}, None, back)
    queried = _taken(plain, found, "Q", len(final) - 2)
    if letters[1] == "X":
        spread = cells_c[found.order] if found.order is not None else cells_c
        grid, places = _within(spread, columns.layout)
        if grid is None:
            return queried
        return replace(queried, grids={**queried.grids, "K": grid}, places=places)
    return _taken(queried, _Ordered.of(cells_c[0], columns.layout), "K", len(final) - 1)


def weights(map: Tensor, mark: Mark | None, along: Tensor | None, batch: int) -> Arrangement:
    """Weights or a gate over places, channels or branches: `B C 1 1`, `B 1 H W`, `B S C 1 1`.

    Args:
        map: the map in the network's layout, with as many axes as what it multiplies.
        mark: the mark of what it multiplies, of that shape.
        along: the index along the axis of the softmax, of the map's shape.
        batch: samples in the batch.
    """
    if mark is None or len(mark.codes.shape) != map.dim():
        return _named(map, along)
    whole, codes = mark.codes.shape, compact(mark.codes)
    dims = range(map.dim())
    samples = [d for d in dims if varies(samples_of(codes), d)] or ([0] if whole[0] == batch == 1 else [])
    places = [d for d in dims if d not in samples and varies(cells_of(codes), d)]
    if len(samples) != 1 or whole[samples[0]] != batch or any(map.shape[d] not in (1, whole[d]) for d in dims):
        return _named(map, along)
    rest = [d for d in dims if d not in samples and d not in places]
    units = [d for d in rest if whole[d] == map.shape[d] == 1]
    if units and len(rest) > 1:  # axes of size 1 say nothing beside another one
        kept = [d for d in dims if d not in (units if len(units) < len(rest) else units[1:])]
        small = [whole[d] for d in kept]
        less = weights(
            map.reshape([map.shape[d] for d in kept]),
            Mark(codes.expand(whole).reshape(small), mark.layout),
            None if along is None else along.reshape([along.shape[d] for d in kept]),
            batch,
        )
        return replace(less, back=lambda edited: less.back(edited).reshape(map.shape))
    order = [*samples, *rest, *places]
    free = [d for d in rest if whole[d] > 1 or map.shape[d] > 1] or rest
    names = {samples[0]: "B"}
    if along is not None and len(free) > 1:
        names.update({d: "S" for d in free if varies(along, d)})
    spare = iter("hMNS" if "S" not in names.values() else "hMN")
    for d in reversed([d for d in rest if d not in names]):
        names[d] = "C" if "C" not in names.values() and d in free else next(spare)
    cells = cells_of(codes.permute(order)[(0,) * (1 + len(rest))]).expand([whole[d] for d in places])
    inverse = [order.index(d) for d in dims]
    plain = Arrangement(map.permute(order), "", back=lambda edited: edited.permute(inverse))
    placed = _over_places(plain, cells, mark.layout)
    if placed is None:
        return _named(map, along)
    plain, placed_letters = placed
    letters = [*(names[d] for d in (*samples, *rest)), *placed_letters]
    over = [] if along is None else [names[d] for d in (*samples, *rest) if varies(along, d)]
    if along is not None and any(varies(along, d) for d in places):
        if int(along.max()) + 1 == cells.numel():  # over all places
            over += placed_letters
        elif len(placed_letters) == len(places):
            over += [letter for letter, d in zip(placed_letters, places, strict=True) if varies(along, d)]
    sizes = plain.map.shape
    written = " ".join("1" if n == 1 and x != "B" else x for x, n in zip(letters, sizes, strict=True))
    return replace(plain, axes=written, sums=" ".join(over))


def _over_places(plain: Arrangement, cells: Tensor, layout: Layout) -> tuple[Arrangement, list[str]] | None:
    """The arrangement with its last axes, those of places, as a grid in the order of the image, and their letters.

    None if the map has some of these axes and not others, and they are not those of the grid.

    Args:
        plain: the map with the axes of places behind the others, each of its size or 1.
        cells: the cells of these axes.
    """
    full, part = list(cells.shape), list(plain.map.shape[plain.map.dim() - cells.dim() :])
    before = list(plain.map.shape[: plain.map.dim() - cells.dim()])
    if not full:
        return plain, []
    found = _Ordered.of(cells.reshape(-1), layout)
    grid = found.grid if len(found.grids) == 1 and not found.tokens else None
    letters = ["Q"] if grid is None else _grid_letters(len(grid))
    if grid is not None and found.order is None and list(grid) == full:
        return plain, letters
    ones = all(size == 1 for size in part)
    if not ones and part != full:
        return None
    back = plain.back
    flat = replace(plain, map=plain.map.reshape([*before, -1]), back=lambda map: back(map.reshape([*before, *part])))
    if not ones:
        flat = _taken(flat, found, "Q", len(before))
    if grid is None:
        return flat, letters
    narrow, last = flat.back, list(flat.map.shape)
    shape = [1] * len(grid) if ones else list(grid)
    return replace(
        flat, map=flat.map.reshape([*before, *shape]), grids={}, back=lambda map: narrow(map.reshape(last))
    ), letters


def _grid_letters(count: int) -> list[str]:
    return {1: ["Q"], 2: ["H", "W"], 3: ["D", "H", "W"]}.get(count, [])


def _split(shape: Sequence[int], marks: Sequence[Tensor], batch: int) -> list[tuple[int, ...]]:
    """For each axis its size, or two sizes if it is samples times something, such as heads or windows."""
    sizes: list[tuple[int, ...]] = [(size,) for size in shape]
    for d, size in enumerate(shape):
        if batch > 1 and size > batch and size % batch == 0 and any(varies(samples_of(codes), d) for codes in marks):
            for at, two in enumerate(((batch, size // batch), (size // batch, batch))):
                tried = [codes.unflatten(d, two) for codes in marks if codes.shape[d] > 1]
                if not any(varies(samples_of(codes), d + 1 - at) for codes in tried):
                    sizes[d] = two
                    break
    return sizes


def _apart(codes: Tensor, parts: Sequence[tuple[int, ...]]) -> Tensor:
    """Compact codes with the axes that are samples times something in two."""
    sizes = [
        one for size, part in zip(codes.shape, parts, strict=True) for one in ([1] * len(part) if size == 1 else part)
    ]
    return codes.reshape(sizes)


def _wider(mark: Mark) -> Mark:
    return Mark(mark.codes[None], mark.layout)


@dataclass(frozen=True)
class _Ordered:
    """The order in which the cells of an axis are shown.

    Attributes:
        order: indices of the cells that are shown; None for all as they are.
        grid: of those that lie on the grid; None if they form none.
        tokens: names of the cells beside the grid.
        grids: all grids of the axis, one after another.
    """

    order: Tensor | None
    grid: tuple[int, ...] | None
    tokens: tuple[str, ...]
    grids: tuple[tuple[int, ...], ...] = ()

    @property
    def natural(self) -> bool:
        return self.order is None

    @classmethod
    def of(cls, cells: Tensor, layout: Layout) -> _Ordered:
        on = (cells >= 0) & (cells < layout.cells)
        numbers = cells.tolist()
        beside = [i for i, cell in enumerate(numbers) if cell >= layout.cells]
        names = tuple(layout.tokens[numbers[i] - layout.cells] for i in beside)
        grid = lattice(cells[on], layout.grid)
        if grid is None and bool(on.any()):
            return cls(None, None, ())
        inside = torch.nonzero(on)[:, 0]
        sorted_ = inside[cells[inside].argsort()]
        first = 0
        while first < len(beside) and beside[first] == first:
            first += 1
        contiguous = bool((sorted_ == torch.arange(first, first + len(sorted_), device=cells.device)).all())
        every = len(beside) + len(sorted_) == len(numbers)
        places = (grid,) if grid is not None else ()
        single = tuple([1] * len(layout.grid))
        if contiguous and every:
            return cls(None, grid, names, (*[single] * first, *places, *[single] * (len(beside) - first)))
        order = torch.cat([torch.tensor(beside, dtype=torch.long, device=cells.device), sorted_])
        return cls(order, grid, names, (*[single] * len(beside), *places))


def lattice(cells: Tensor, grid: tuple[int, ...]) -> tuple[int, ...] | None:
    """The grid that cells of a larger grid form, each of them once; None if they form none, or a sequence."""
    if len(grid) < 2 or not len(cells):
        return None
    sizes, left = [], cells
    for size in reversed(grid):
        sizes.append(len((left % size).unique()))
        left = left // size
    if math.prod(sizes) != len(cells) or len(cells.unique()) != len(cells):
        return None
    return tuple(reversed(sizes))


def _within(cells: Tensor, layout: Layout) -> tuple[tuple[int, ...] | None, Tensor | None]:
    """The grid of all keys of all windows, and the index of each key in it; -1 of what does not lie on the grid."""
    on = (cells >= 0) & (cells < layout.cells)
    known = cells[on].unique()
    grid = lattice(known, layout.grid)
    if grid is None:
        return None, None
    return grid, torch.where(on, torch.searchsorted(known, cells.clamp(min=0).contiguous()), -1)


def _taken(plain: Arrangement, found: _Ordered, letter: str, dim: int) -> Arrangement:
    """The arrangement with one axis in the order found, and its grids."""
    grids, tokens = dict(plain.grids), dict(plain.tokens)
    if found.grids:
        grids[letter] = found.grids[0] if len(found.grids) == 1 and not found.tokens else found.grids
    if found.tokens:
        tokens[letter] = found.tokens
    if found.order is None:
        return replace(plain, grids=grids, tokens=tokens)
    order, before, back = found.order, plain.map, plain.back

    def put(edited: Tensor) -> Tensor:
        """Rows that padding has made are not shown, and stay as they are."""
        if len(order) == before.shape[dim]:
            return back(edited.index_select(dim, order.argsort()))
        return back(before.index_copy(dim, order, edited))

    return replace(plain, map=before.index_select(dim, order), grids=grids, tokens=tokens, back=put)


def _unmarked(map: Tensor, along: Tensor | None, batch: int) -> Arrangement:
    """A map of which no place is known: its last axes are queries and keys."""
    if map.dim() == 3 and map.shape[0] != batch and map.shape[0] % batch == 0:
        wide = map.unflatten(0, (batch, -1))
        split = None if along is None else along.unflatten(0, (batch, -1))
        return Arrangement(wide, "B h Q K", _sums("B h Q K", split), back=lambda edited: edited.flatten(0, 1))
    axes = {1: "K", 2: "B K", 3: "B Q K", 4: "B h Q K"}.get(map.dim(), " ".join("BMNSTh"[: map.dim() - 2]) + " Q K")
    return Arrangement(map, axes, _sums(axes, along))


def _named(map: Tensor, along: Tensor | None) -> Arrangement:
    """Weights of which no place is known, named by the number of axes."""
    letters = UNKNOWN.get(map.dim(), " ".join("BCDHWMNS"[: map.dim()])).split()
    written = [letter if size > 1 or letter == "B" else "1" for letter, size in zip(letters, map.shape, strict=True)]
    return Arrangement(map, " ".join(written), _sums(" ".join(letters), along))


def _sums(axes: str, along: Tensor | None) -> str:
    if along is None:
        return ""
    return " ".join(letter for d, letter in enumerate(axes.split()) if varies(along, d))
