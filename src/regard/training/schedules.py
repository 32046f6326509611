"""Schedules of the learning rate, as factors of the plan's highest rate.

A linear warm-up in the first w steps of T, then, with u = (t - w) / (T - w) from 0 to 1,
cosine    (1 + cos πu) / 2          SGDR. Loshchilov, Hutter. ICLR 2017, arXiv:1608.03983, Eq. 5               (1)
poly      (1 - u)^p                 DeepLab. Chen et al. TPAMI 2018, arXiv:1606.00915, Section 4.1             (2)
steps     γ^(number of milestones passed)                                                                      (3)
noam      d^-½ min(n^-½, n w^-³⸍²), n = t + 1, with a warm-up of its own
                                    Attention Is All You Need. Vaswani et al. 2017, arXiv:1706.03762, Eq. 3    (4)
rising    s + (1 - s) e / w in epoch e < w, then (3): a warm-up by epochs, of its own                          (5)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from regard.checks import number, positive

EVERY = ("step", "epoch")


class Schedule(Protocol):
    """A schedule of the learning rate."""

    @property
    def every(self) -> str:
        """`step`, or `epoch`: the whole epoch has the rate of its first step."""
        ...

    @property
    def warms_up(self) -> bool:
        """Whether the plan's linear warm-up precedes the schedule; otherwise it has its own, or none."""
        ...

    def factor(self, done: float, step: int, epochs: float) -> float:
        """The factor of the highest rate.

        Args:
            done: the finished share of the training after the warm-up, from 0 to below 1.
            step: the step in the whole training, from 0.
            epochs: the number of finished epochs, warm-up included; a fraction within an epoch.
        """
        ...


def _check_every(every: str) -> None:
    if every not in EVERY:
        raise ValueError(f"every={every!r}: {' or '.join(map(repr, EVERY))} is needed")


@dataclass(frozen=True)
class Constant:
    """A constant rate: always the highest."""

    every: str = "step"
    warms_up: bool = True

    def factor(self, done: float, step: int, epochs: float) -> float:
        return 1.0


@dataclass(frozen=True)
class Cosine:
    """Half a cosine from the highest rate to zero, equation (1).

    Args:
        every: `"step"` or `"epoch"`.
    """

    every: str = "step"
    warms_up: bool = True

    def __post_init__(self) -> None:
        _check_every(self.every)

    def factor(self, done: float, step: int, epochs: float) -> float:
        return (1 + math.cos(math.pi * done)) / 2


@dataclass(frozen=True)
class Poly:
    """A power of the remaining share of the training, equation (2).

    Args:
        power: p; 0.9 is usual in segmentation.
        every: `"step"` or `"epoch"`.

    Raises: ValueError if the power is not above 0.
    """

    power: float = 0.9
    every: str = "step"
    warms_up: bool = True

    def __post_init__(self) -> None:
        _check_every(self.every)
        if not 0 < self.power < math.inf:
            raise ValueError(f"power={self.power!r}: a number above 0 is needed")

    def factor(self, done: float, step: int, epochs: float) -> float:
        return float((1 - done) ** self.power)


@dataclass(frozen=True)
class Steps:
    """A constant rate that is multiplied at certain epochs, equation (3).

    Args:
        at: the epochs after which it is multiplied, in ascending order.
        by: γ.

    Raises: ValueError if the epochs are not ascending, or γ is not above 0.
    """

    at: tuple[float, ...]
    by: float = 0.1
    every: str = "step"
    warms_up: bool = True

    def __post_init__(self) -> None:
        _check_every(self.every)
        if not self.at or list(self.at) != sorted(set(self.at)) or self.at[0] <= 0:
            raise ValueError(f"at={self.at!r}: epochs above 0 in ascending order are needed")
        if not 0 < self.by < math.inf:
            raise ValueError(f"by={self.by!r}: a number above 0 is needed")

    def factor(self, done: float, step: int, epochs: float) -> float:
        return float(self.by ** sum(epochs >= epoch for epoch in self.at))


@dataclass(frozen=True)
class Noam:
    """A linear rise, then a decay with the inverse root of the step, equation (4); the plan's rate is usually 1.

    Args:
        width: d, the width of the model.
        warmup: w, the number of warm-up steps.

    Raises: ValueError if an argument is not positive.
    """

    width: int = 512
    warmup: int = 4000
    every: str = "step"
    warms_up: bool = False

    def __post_init__(self) -> None:
        positive("width", self.width)
        positive("warmup", self.warmup)
        _check_every(self.every)

    def factor(self, done: float, step: int, epochs: float) -> float:
        n = step + 1
        return float(self.width**-0.5 * min(n**-0.5, n * self.warmup**-1.5))


@dataclass(frozen=True)
class Rising:
    """A rate that rises from epoch to epoch and is then multiplied at certain epochs, equation (5).

    Args:
        over: w, the number of epochs in which it rises.
        start: s, the share of the highest rate in the first epoch.
        at, by: as for `Steps`.

    Raises: ValueError if an argument is out of range.
    """

    over: int
    start: float
    at: tuple[float, ...]
    by: float = 0.1
    every: str = "epoch"
    warms_up: bool = False

    def __post_init__(self) -> None:
        positive("over", self.over)
        number("start", self.start, least=0, most=1)
        Steps(self.at, self.by, self.every)

    def factor(self, done: float, step: int, epochs: float) -> float:
        if epochs < self.over:
            return self.start + (1 - self.start) * epochs / self.over
        return Steps(self.at, self.by).factor(done, step, epochs)
