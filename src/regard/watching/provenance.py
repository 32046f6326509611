"""Where the entries of a tensor come from: which sample of the batch, and which place in the image.

Beside an activation goes a tensor of codes of the same shape, one for each entry: the sample and the cell of a grid, or
a token beside the grid. What only moves entries (reshaping, cutting into windows, rolling, padding) moves their codes
in the same way, so that at a product of queries and keys each row and each column of the map knows its place, whatever
layout a network uses. Scores have two sets of codes, of their rows and of their columns.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

STRIDE = 2**32  # code = sample * STRIDE + cell
NOWHERE = -1  # the code of an entry that padding has made


@dataclass(eq=False)
class Layout:
    """The places of a batch: a grid, and tokens beside it, whose cells have the numbers after those of the grid."""

    grid: tuple[int, ...]
    tokens: list[str] = field(default_factory=list)

    @property
    def cells(self) -> int:
        return math.prod(self.grid)

    def cell_of(self, token: str) -> int:
        """The cell of a token, which is new if there is none of this name."""
        if token not in self.tokens:
            self.tokens.append(token)
        return self.cells + self.tokens.index(token)


@dataclass(frozen=True, eq=False)
class Mark:
    """The codes of a tensor's entries, of the same shape (often expanded, so that they take little memory)."""

    codes: Tensor
    layout: Layout

    def expanded(self, shape: Sequence[int]) -> Mark:
        return Mark(self.codes.expand(tuple(shape)), self.layout)


def raster(shape: Sequence[int], first: int, device: torch.device, batch: int = 0) -> Mark:
    """The mark of a tensor whose axes from `first` on are a grid, and whose axis `batch` is the batch."""
    grid = tuple(shape[first:])
    codes = torch.arange(math.prod(grid), device=device).reshape(grid)
    samples = [1] * len(shape)
    samples[batch] = shape[batch]
    codes = codes + STRIDE * torch.arange(shape[batch], device=device).reshape(samples)
    return Mark(codes.expand(tuple(shape)), Layout(grid))


def sequence(shape: Sequence[int], device: torch.device) -> Mark:
    """The mark of positions `L B C` that are a sequence, of which no grid is known."""
    length, samples = shape[:2]
    codes = torch.arange(length, device=device)[:, None, None] + STRIDE * torch.arange(samples, device=device)[:, None]
    return Mark(codes.expand(tuple(shape)), Layout((length,)))


def token_names(name: str, count: int) -> list[str]:
    """The names of `count` tokens that a parameter or buffer holds; the parameter is called `name`."""
    last = name.rpartition(".")[2].lower()
    known = {"cls": "class", "class": "class", "dist": "distillation", "reg": "register", "storage": "register"}
    word = next((word for part, word in known.items() if part in last), last.replace("_", " ").strip() or "token")
    return [word] if count == 1 else [f"{word} {number}" for number in range(1, count + 1)]


def joined(marks: Sequence[Mark | None], shapes: Sequence[torch.Size], names: Sequence[str], dim: int) -> Mark | None:
    """The mark of tensors that are concatenated along `dim`; what has no mark becomes tokens, if `dim` holds places.

    Args:
        names: of each tensor the parameter that it comes from, empty if none is known.
    """
    known = [mark for mark in marks if mark is not None]
    if not known:
        return None
    first = max(known, key=lambda mark: mark.codes.shape[dim])
    if any(mark.layout is not first.layout for mark in known):
        marks, names = _without_others(marks, names, first.layout, dim)
        if None in marks and any(mark is None and not name for mark, name in zip(marks, names, strict=True)):
            return None
    one = first.codes.narrow(dim, 0, 1)
    places = varies(cells_of(compact(first.codes)), dim) or any(names)
    parts = []
    for mark, shape, name in zip(marks, shapes, names, strict=True):
        size = list(first.codes.shape)
        size[dim] = shape[dim]
        if mark is not None:
            parts.append(mark.codes)
        elif not places:
            parts.append(one.expand(size))
        else:
            cells = [first.layout.cell_of(token) for token in token_names(name, shape[dim])]
            along = [1] * len(size)
            along[dim] = len(cells)
            tokens = torch.tensor(cells, device=one.device).reshape(along)
            parts.append((one // STRIDE * STRIDE + tokens).expand(size))
    return Mark(torch.cat(parts, dim), first.layout)


def _without_others(
    marks: Sequence[Mark | None], names: Sequence[str], layout: Layout, dim: int
) -> tuple[list[Mark | None], list[str]]:
    """Marks without those of other layouts than one, and the names of what are tokens in them."""
    kept, named = [], []
    for mark, name in zip(marks, names, strict=True):
        other = mark is not None and mark.layout is not layout
        cell = int(cells_of(mark.codes.flatten()[:1])) if other and mark is not None else -1
        token = other and mark is not None and mark.codes.shape[dim] == 1 and cell >= mark.layout.cells
        kept.append(None if other else mark)
        named.append(mark.layout.tokens[cell - mark.layout.cells] if token and mark is not None else name)
    return kept, named


def tokens_beside(mark: Mark, shape: Sequence[int], dim: int, name: str) -> Mark:
    """The mark of learned queries along `dim` of a parameter: tokens beside the grid of `mark`."""
    cells = [mark.layout.cell_of(token) for token in token_names(name or "query", shape[dim])]
    along = [1] * len(shape)
    along[dim] = len(cells)
    codes = torch.tensor(cells, device=mark.codes.device).reshape(along)
    return Mark(codes.expand(tuple(shape)), mark.layout)


def moved(func: Callable[..., Any], args: Any, kwargs: dict[str, Any], tensor: Tensor, codes: Tensor) -> Any:
    """What `func`, which moves entries, makes of codes in place of `tensor`."""
    if func in (torch.nn.functional.pad,):
        kwargs = {**kwargs, "mode": "constant", "value": NOWHERE}
        return func(codes, args[1] if len(args) > 1 else kwargs.pop("pad"), **kwargs)
    if getattr(func, "__name__", "") == "view":
        func = torch.Tensor.reshape  # expanded codes may have to be copied
    values = [codes if value is tensor else value for value in args]
    return func(*values, **{key: codes if value is tensor else value for key, value in kwargs.items()})


def through_product(mark: Mark, letters: str, out: str, shape: Sequence[int]) -> Mark:
    """The mark of a product by one factor: of what is summed over the first entry counts; letters as of einsum."""
    codes = mark.codes
    for dim, letter in reversed(list(enumerate(letters))):
        if letter not in out:
            codes = codes.select(dim, 0)
    kept = [letter for letter in letters if letter in out]
    codes = codes.permute([kept.index(letter) for letter in out if letter in kept])
    for dim, letter in enumerate(out):
        if letter not in kept:
            codes = codes.unsqueeze(dim)
    return Mark(codes.expand(tuple(shape)), mark.layout)


def cells_of(codes: Tensor) -> Tensor:
    """The cells of codes, without their samples."""
    return torch.where(codes < 0, codes, codes % STRIDE)


def samples_of(codes: Tensor) -> Tensor:
    """The samples of codes; -1 of what padding has made."""
    return torch.where(codes < 0, codes, codes // STRIDE)


def compact(codes: Tensor) -> Tensor:
    """The same codes, of size 1 along the axes along which they are expanded."""
    for dim in range(codes.dim()):
        if codes.stride(dim) == 0 and codes.shape[dim] > 1:
            codes = codes.narrow(dim, 0, 1)
    return codes


def varies(values: Tensor, dim: int) -> bool:
    """Whether values differ along an axis; what padding has made differs from nothing."""
    values = compact(values)
    if values.shape[dim] == 1:
        return False
    high = values.amax(dim)
    low = torch.where(values < 0, torch.iinfo(torch.int64).max, values).amin(dim)
    return bool(((high > low) & (high >= 0)).any())
