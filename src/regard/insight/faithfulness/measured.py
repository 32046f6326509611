"""Figures of single images, and their mean with an interval over the images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit
from torch import Tensor

LEVEL = 0.95

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Measured:
    """One number for each image.

    Args:
        values: in the order of the images; NaN where the number is not defined.
    """

    values: Array

    @classmethod
    def of(cls, values: Tensor | Sequence[float]) -> Measured:
        """The numbers of a tensor or a list."""
        kept = values.detach().double().cpu().numpy() if isinstance(values, Tensor) else values
        return cls(np.asarray(kept, dtype=np.float64))

    @property
    def mean(self) -> float:
        """The mean over the images; NaN if the number is defined for none."""
        found = self._defined
        return float(found.mean()) if found.size else math.nan

    def interval(self, level: float = LEVEL) -> tuple[float, float]:
        """Student's t interval of the mean over the images; NaN with fewer than two images."""
        found = self._defined
        if found.size < 2:
            return math.nan, math.nan
        half = float(stdtrit(found.size - 1, (1 + level) / 2) * found.std(ddof=1) / math.sqrt(found.size))
        return float(found.mean()) - half, float(found.mean()) + half

    def minus(self, other: Measured) -> Measured:
        """The difference on every image, so that its interval is that of the paired difference."""
        return Measured(self.values - other.values)

    def plain(self, *, every: bool = True) -> dict[str, Any]:
        """Mean, ends of the interval, and with `every` the value of every image, as JSON has them."""
        low, high = self.interval()
        found: dict[str, Any] = {"mean": finite(self.mean), "low": finite(low), "high": finite(high)}
        return {**found, "values": [finite(value) for value in self.values.tolist()]} if every else found

    @property
    def _defined(self) -> Array:
        return self.values[~np.isnan(self.values)]


def finite(value: float) -> float | None:
    """The number, or None in place of one that JSON has no word for."""
    return value if math.isfinite(value) else None
