"""Whether the values of an attention map differ by more than their rounding errors."""

from __future__ import annotations

import torch
from torch import Tensor

ROUNDINGS = 64  # of a sum of 4,096 terms: they accumulate as a random walk, to the square root of their number
LAST = 2  # of a type narrower than float32: sums are kept in float32, and the result and its normalisation are rounded


def rounding(dtype: torch.dtype) -> float:
    """The rounding error of a computed weight, as a share of its size.

    A weight comes from scalar products and a normalisation, which are sums of up to some thousand terms. In float32
    the bound is 7.6e-6: weights that are equal in exact arithmetic were seen to differ by 2e-7, and real differences of
    trained maps are far larger.
    """
    if not dtype.is_floating_point:
        return 0.0
    exact = torch.finfo(dtype).eps
    single = torch.finfo(torch.float32).eps
    return ROUNDINGS * exact if exact <= single else max(ROUNDINGS * single, LAST * exact)


def even(values: Tensor, *, dtype: torch.dtype | None = None) -> Tensor:
    """Whether the values of each sample are equal, as far as rounding allows to tell.

    Args:
        values: the maps.
        dtype: the type in which the maps were computed, if they were converted since; by default their own.

    Shapes: values `B *S` -> `B`, bool; values that are not finite are not even.
    """
    flat = values.detach().flatten(1)
    low, high = flat.amin(1).double(), flat.amax(1).double()
    return (high - low) <= rounding(dtype or values.dtype) * torch.maximum(low.abs(), high.abs())
