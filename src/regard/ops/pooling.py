"""Pooling a map `B C H W` over all of its positions to `B C`, and over its channels to `B 1 H W`.

Plain reductions rather than adaptive or windowed pooling: the same numbers, several times faster on CPU, and exportable
with dynamic sizes. Reductions that square or exponentiate accumulate in float32 at
least, so that half precision does not overflow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor


def average(x: Tensor) -> Tensor:
    """Mean over positions: `B C H W` -> `B C`.

    As sum / N, because the gradient of `mean` writes out a whole map and that of `sum` none: half the time, forward and
    backward together. The float16 sum of a large map leaves the type's range, so there it stays a mean.
    """
    if x.dtype is torch.float16:
        return x.mean((2, 3))
    return x.sum((2, 3)) / (x.shape[2] * x.shape[3])


def maximum(x: Tensor) -> Tensor:
    """Maximum over positions: `B C H W` -> `B C`; its gradient goes to one position, as max pooling's does."""
    return x.flatten(2).max(-1).values


def power(x: Tensor) -> Tensor:
    """Power average of order 2 without the 1/N, √Σ x²: `B C H W` -> `B C`; its gradient at an all-zero map is zero."""
    wide = torch.promote_types(x.dtype, torch.float32)
    return torch.linalg.vector_norm(x, dim=(2, 3), dtype=wide).to(x.dtype)


def log_sum_exp(x: Tensor) -> Tensor:
    """log Σ exp x without the 1/N: `B C H W` -> `B C`."""
    return x.flatten(2).logsumexp(-1)


GLOBAL_POOLS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "avg": average,
    "max": maximum,
    "lp": power,
    "lse": log_sum_exp,
}
