"""One recorded map in the form in which it is measured: its kind, its rows, its axes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from regard.core import Maps

ROUNDING = 1e-6
OFF = 1e-2  # of such a sum, beyond which these are no weights
ONE = 1e-3  # of a sum of weights, from 1
PLACES = (("T", "2"), ("T", "4"), ("W", "2"))  # axes of coordinates, which are no weights
HIDDEN = 1e-30  # a weight below it is masked: a mask of -100 leaves 1e-44
SAMPLED = 256  # most queries and keys of which ranks are computed


@dataclass(frozen=True, eq=False)
class Seen:
    """A map of one pass.

    Args:
        key: the map among those of `watch`.
        looks: the recorded tensors, oldest first, float32 or wider.
        letters: one for each axis.
        declared: letters of the axes over which the map sums to 1; empty for a gate, or where nobody declares any.
        size: number of samples in the batch.
        tokens: letter of an axis -> names of the tokens in front of its grid.
        foreign: whether it is of no `regard.Attention`.
    """

    key: str
    looks: tuple[Tensor, ...]
    letters: tuple[str, ...]
    declared: tuple[str, ...]
    size: int
    tokens: dict[str, tuple[str, ...]]
    foreign: bool = False

    @classmethod
    def of(cls, maps: Maps, key: str, size: int) -> Seen:
        """The map of a key."""
        looks = tuple(look if look.dtype == torch.float64 else look.float() for look in maps[key])
        letters = tuple(maps.axes.get(key, "").split())
        if len(letters) != looks[0].dim():  # nobody declares them
            letters = ("B", *(f"axis {i}" for i in range(1, looks[0].dim())))
        return cls(
            key,
            looks,
            letters,
            tuple(maps.sums.get(key, "").split()),
            size,
            {letter: tuple(names) for letter, names in maps.tokens.get(key, {}).items()},
            key in maps.foreign,
        )

    @property
    def module(self) -> str:
        """Path of the module that forms it; empty for the network itself."""
        return self.key.rpartition("/")[0]

    @property
    def map(self) -> str:
        """Name of the map."""
        return self.key.rpartition("/")[2]

    @property
    def batched(self) -> bool:
        """Whether the first axis is the batch."""
        return self.letters[0] == "B" and all(len(look) == self.size for look in self.looks)

    @cached_property
    def finite(self) -> bool:
        return all(bool(look.isfinite().all()) for look in self.looks)

    @cached_property
    def constant(self) -> bool:
        """Whether all values are the same, but for rounding."""
        low, high = self.ends
        return high - low <= ROUNDING * max(abs(low), abs(high))

    @cached_property
    def ends(self) -> tuple[float, float]:
        """The smallest and the largest value."""
        return min(float(look.min()) for look in self.looks), max(float(look.max()) for look in self.looks)

    @cached_property
    def kind(self) -> str:
        """ "weights" that sum to 1 along an axis, "gate" between 0 and 1 or between -1 and 1, or other "values"."""
        if self.letters[-2:] in PLACES or not self.finite:
            return "values"
        if self.axes:
            return "weights" if self.deviation(self.axes) <= OFF else "values"
        if "K" in self.letters and self.looks[0].shape[self.letters.index("K")] == 1:
            return "values"  # all weight is on the only key
        low, high = self.ends
        return "gate" if low >= -1 and high <= 1 and not self.declared else "values"

    @cached_property
    def axes(self) -> tuple[int, ...]:
        """The axes along which the weights are measured: those declared, or else those that sum to 1; empty for a gate.

        Where nobody declares any, the last axis comes first, height and width together, then the others but the batch.
        """
        if self.declared:
            last = {letter: i for i, letter in enumerate(self.letters)}  # of `B C C` the second C is that of the keys
            found = tuple(sorted(last[letter] for letter in {*self.declared} & {*last} - {"B"}))
            return found if found or "B" not in self.declared else self.last
        candidates = [self.last, *((i,) for i in range(len(self.letters) - 1, 0, -1) if (i,) != self.last)]
        return next((axes for axes in candidates if self.sums_to_one(axes)), ())

    @property
    def last(self) -> tuple[int, ...]:
        """The last axis that is longer than 1; height and width together."""
        end = len(self.letters)
        if self.letters[-2:] in (("H", "W"), ("h", "w")):
            return (end - 2, end - 1)
        longer = [i for i in range(1, end) if self.looks[0].shape[i] > 1]
        return (longer[-1] if longer else end - 1,)

    def sums_to_one(self, axes: tuple[int, ...]) -> bool:
        """Whether the values are weights along these axes: none negative, and all sums 1."""
        if not self.finite or math.prod(self.looks[0].shape[i] for i in axes) < 2:
            return False
        if self.constant and not {"Q", "K"} & {*self.letters}:
            return False  # two gates that are 0.5 sum to 1, too
        return self.ends[0] >= 0 and self.deviation(axes) <= ONE

    def deviation(self, axes: tuple[int, ...]) -> float:
        """The largest difference of a sum along the axes from 1; rows of zeros, which are masked, do not count."""
        worst = 0.0
        for look in self.looks:
            sums, used = look.sum(axes), (look != 0).any(dim=axes[0]) if len(axes) == 1 else look.abs().sum(axes) > 0
            worst = max(worst, float(torch.where(used, (sums - 1).abs(), 0).max()))
        return worst

    def named(self, axes: tuple[int, ...]) -> str:
        """The letters of axes as text."""
        return " ".join(self.letters[i] for i in axes)

    @cached_property
    def rows(self) -> tuple[Tensor, ...]:
        """The weights of each look as `B h Q K`: heads, queries, and what their weights are over.

        Heads are the axis h; the queries are all axes that are neither batch nor heads nor summed.
        """
        found = []
        for look in self.looks:
            moved = look.movedim(self.axes, tuple(range(-len(self.axes), 0)))
            rest = [i for i in range(len(self.letters)) if i not in self.axes]
            letters = [self.letters[i] for i in rest]
            values = moved.flatten(len(rest))
            if "h" in letters[1:]:
                values = values.movedim(letters.index("h"), 1)
                heads = values.shape[1]
            else:
                values, heads = values.unsqueeze(1), 1
            found.append(values.reshape(values.shape[0], heads, -1, values.shape[-1]))
        return tuple(found)

    @cached_property
    def relates(self) -> bool:
        """Whether it has several queries, each with weights over several keys."""
        return self.kind == "weights" and all(rows.shape[2] >= 4 and rows.shape[3] >= 4 for rows in self.rows)

    def token(self, letter: str, index: int) -> str:
        """The name of a position on an axis: of a token that is named, or its number."""
        named = self.tokens.get(letter, ())
        return f"{named[index]} token" if index < len(named) else f"{letter.lower()} {index}"


def seeable(rows: Tensor) -> Tensor:
    """Which keys a query may see: those that a mask hides have a weight of nothing."""
    return rows > HIDDEN


def uneven(rows: Tensor) -> Tensor:
    """Weights `… Q K` as relative deviations from even ones over the keys that each query may see; 0 at the others."""
    seen = seeable(rows)
    return torch.where(seen, rows * seen.sum(-1, keepdim=True) - 1, 0)


def sampled(rows: Tensor) -> Tensor:
    """Rows `… Q K` with at most `SAMPLED` queries and keys, evenly spaced."""
    for axis in (-2, -1):
        size = rows.shape[axis]
        if size > SAMPLED:
            rows = rows.index_select(axis, torch.linspace(0, size - 1, SAMPLED).long().to(rows.device))
    return rows
