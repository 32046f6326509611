"""Which value of a map gets which colour, and how the values are written."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from regard.ops.rounding import even

SCALES = ("common", "own")
GATE = 0.1  # a map with values in [0, 1] is a gate if one of them is at least this; smaller ones would all look dark
Scale = str | tuple[float, float]
Ends = tuple[float, float]


def checked(scale: Scale) -> Scale:
    """Returns the scale as a word or a pair of floats.

    Raises: ValueError if it is neither a known word nor two increasing finite numbers.
    """
    if isinstance(scale, str) and scale in SCALES:
        return scale
    if isinstance(scale, tuple | list) and len(scale) == 2 and all(_number(end) for end in scale):
        low, high = float(scale[0]), float(scale[1])
        if low < high:
            return low, high
    raise ValueError(f"scale={scale!r}: 'common', 'own' or a pair (low, high) of increasing numbers is needed")


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


@dataclass(frozen=True)
class Colouring:
    """The colours of the maps of one look.

    Args:
        scale: as for `draw`.
        dtype: the type in which the maps were computed.
        weights: whether the maps are known to be shares of attention, although their sum over the image may be below 1.
    """

    scale: Scale
    dtype: torch.dtype
    weights: bool = False

    def ends(self, maps: Tensor, *, place: int = 2) -> Ends | None:
        """The values with the darkest and the lightest colour, for several maps; None where each map has its own.

        With "common", a gate has 0 and 1, other weights have 0 and their largest value, and values with a sign have
        their smallest and their largest. Weights that sum to one have at least twice the even share as the largest, so
        that an even map has the middle colour.

        Args:
            maps: the maps that are drawn side by side.
            place: how many of the last axes a map of weights sums over.
        """
        if not isinstance(self.scale, str):
            return self.scale
        values = maps.detach().double()
        low, high = float(values.min()), float(values.max())
        if self.scale == "own" or not math.isfinite(high - low):
            return None
        if low < 0 or high <= 0:
            return None if low == high else (low, high)
        sums = values.flatten(-place).sum(-1)
        if self.weights or bool(((sums - 1).abs() < 0.01).all()):
            most = float(sums.max()) if self.weights else 1.0
            return 0.0, max(high, 2 * most / math.prod(values.shape[-place:]))
        return (0.0, 1.0) if GATE <= high <= 1 else (0.0, high)

    def even(self, values: Tensor) -> bool:
        """Whether the values are equal but for rounding."""
        return bool(even(values[None], dtype=self.dtype))

    def words(self, values: Tensor) -> str:
        """The range of the values as text: "0.31 to 0.69" or "even: 0.5 everywhere"."""
        low, high = float(values.min()), float(values.max())
        if self.even(values):
            return f"even: {float(values.double().mean()):.3g} everywhere" if values.numel() > 1 else f"{low:.3g}"
        return span(low, high)


def span(low: float, high: float) -> str:
    """Two numbers as text, with as many digits as they need to differ."""
    texts = ("", "")
    for digits in range(3, 18):
        texts = f"{low:.{digits}g}", f"{high:.{digits}g}"
        if texts[0] != texts[1]:
            break
    return f"{texts[0]} to {texts[1]}"
