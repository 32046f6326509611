"""Formatting of numbers, and round ticks for axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from regard.metrics.metric import Measure

MINUS = "\N{MINUS SIGN}"
DASH = "\N{EN DASH}"
_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def fixed(value: float, digits: int = 1, *, signed: bool = False) -> str:
    """A number with so many digits after the point; `-0.04` to one digit is `0.0`, and the minus is a real one."""
    value = round(value, digits) + 0.0
    return f"{value:{'+' if signed and value else ''}.{digits}f}".replace("-", MINUS)


def percent(share: float, digits: int = 1) -> str:
    return fixed(100 * share, digits)


def points(difference: float) -> str:
    """A difference of two shares, in percentage points, with its sign."""
    return fixed(100 * difference, 1, signed=True)


@dataclass(frozen=True)
class Scale:
    """Formats the numbers of a measure: shares in percent, others with three digits and their unit."""

    measure: Measure

    @property
    def share(self) -> bool:
        return self.measure.unit == "%"

    @property
    def factor(self) -> float:
        """The factor that a number is multiplied by for display."""
        return 100.0 if self.share else 1.0

    @property
    def title(self) -> str:
        title = self.measure.title
        return title if title[1:2].isupper() else title[:1].upper() + title[1:]  # mIoU stays as it is

    @property
    def axis(self) -> str:
        """The title with its unit, for the axis of a plot."""
        return f"{self.measure.title}, {self.measure.unit}" if self.measure.unit else self.measure.title

    @property
    def difference_unit(self) -> str:
        return "points" if self.share else self.measure.unit

    def value(self, number: float) -> str:
        """A number without its unit."""
        return percent(number) if self.share else fixed(number, _digits(number))

    def difference(self, number: float) -> str:
        """A difference of two numbers, with its sign and without its unit."""
        return points(number) if self.share else fixed(number, _digits(number), signed=True)

    def phrase(self, number: float) -> str:
        """A number with its unit."""
        return f"{self.value(number)} {self.measure.unit}".rstrip()

    def better(self, low: float, high: float) -> str:
        """Judges the interval of a difference: `better`, `worse`, or `noise` if it contains zero or is empty."""
        if low <= 0 <= high or low == high:
            return "noise"
        return "better" if (low > 0) == self.measure.higher_is_better else "worse"


def _digits(number: float) -> int:
    """The number of decimals that gives three significant digits."""
    return 1 if number == 0 else min(6, max(0, 2 - math.floor(math.log10(abs(number)))))


def short(value: float, *, signed: bool = False) -> str:
    """Three digits and a unit prefix: `11.7 M`."""
    for size, prefix in _PREFIXES:
        if abs(value) >= 0.9995 * size:
            scaled = value / size
            return f"{fixed(scaled, max(0, 3 - len(f'{abs(scaled):.0f}')), signed=signed)} {prefix}"
    return fixed(value, 0, signed=signed)


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten apart) within [low, high], about so many."""
    if not high > low:
        return [low]
    rough = (high - low) / max(1, about)
    power = 10 ** math.floor(math.log10(rough))
    step = min((factor * power for factor in (1, 2, 5, 10)), key=lambda step: abs(math.log(step / rough)))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def decimals(values: Sequence[float]) -> int:
    """The number of decimals that distinguishes the ticks."""
    if len(values) < 2:
        return 1
    return max(0, -math.floor(math.log10(values[1] - values[0]) + 1e-9))


def written(values: Sequence[float]) -> list[str]:
    """Ticks with as many decimals as tell them apart."""
    return [fixed(value, decimals(values)) for value in values]


def prefixed(values: Sequence[float]) -> list[str]:
    """Ticks with one unit prefix for all, and as many decimals as tell them apart: `11.18 M`, `11.20 M`."""
    largest = max(map(abs, values), default=0.0)
    size, prefix = next(((size, f" {prefix}") for size, prefix in _PREFIXES if largest >= size), (1.0, ""))
    scaled = [value / size for value in values]
    digits = 0 if len(values) < 2 and not prefix else decimals(scaled)
    return [f"{fixed(value, digits)}{prefix}" if value else "0" for value in scaled]
