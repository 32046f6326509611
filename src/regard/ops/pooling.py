"""Pooling a map `B C H W` over all of its positions to `B C`, and over its channels to `B 1 H W`.

Plain reductions rather than adaptive or windowed pooling: the same numbers, several times faster on CPU, and exportable
with dynamic sizes. Reductions that square or exponentiate accumulate in float32 at
least, so that half precision does not overflow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F


def average(x: Tensor) -> Tensor:
    """Mean over positions: `B C H W` -> `B C`.

    As sum / N, because the gradient of `mean` writes out a whole map and that of `sum` none: half the time, forward and
    backward together. The float16 sum of a large map leaves the type's range, so there it stays a mean.
    """
    if x.dtype is torch.float16:
        return x.mean((2, 3))
    return x.sum((2, 3)) / (x.shape[2] * x.shape[3])


def maximum(x: Tensor) -> Tensor:
    """Maximum over positions: `B C H W` -> `B C`; its gradient goes to the first of equal ones, as in max pooling."""
    if not (torch.is_grad_enabled() and x.requires_grad):
        return x.amax((2, 3))  # faster, but would share the gradient among equal ones
    if x.is_contiguous() or torch.compiler.is_compiling():
        return x.flatten(2).max(-1).values
    return F.max_pool2d(x, x.shape[2:]).flatten(1)  # far faster for channels-last


def power(x: Tensor) -> Tensor:
    """Power average of order 2 without the 1/N, √Σ x²: `B C H W` -> `B C`; its gradient at an all-zero map is zero."""
    wide = torch.promote_types(x.dtype, torch.float32)
    return torch.linalg.vector_norm(x, dim=(2, 3), dtype=wide).to(x.dtype)


def log_sum_exp(x: Tensor) -> Tensor:
    """log Σ exp x without the 1/N: `B C H W` -> `B C`."""
    return x.flatten(2).logsumexp(-1)


def weighted(x: Tensor, m: Tensor) -> Tensor:
    """Σ_n m_n x_n: `B C H W`, `B 1 HW` -> `B C`, in the order of factors that reads x as it lies."""
    positions = x.flatten(2)
    if x.is_contiguous():
        return torch.bmm(positions, m.mT)[:, :, 0]
    return torch.bmm(m, positions.mT)[:, 0]


def channel_average(x: Tensor) -> Tensor:
    """Mean over channels: `B C H W` -> `B 1 H W`; a sum for the same reasons as `average`."""
    if x.dtype is torch.float16:
        return x.mean(1, keepdim=True)
    return x.sum(1, keepdim=True) / x.shape[1]


def channel_maximum(x: Tensor) -> Tensor:
    """Maximum over channels: `B C H W` -> `B 1 H W`; its gradient goes to one of equal ones."""
    if not (torch.is_grad_enabled() and x.requires_grad):
        return x.amax(1, keepdim=True)
    return x.max(1, keepdim=True).values


GLOBAL_POOLS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "avg": average,
    "max": maximum,
    "lp": power,
    "lse": log_sum_exp,
}
