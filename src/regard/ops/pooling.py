"""Pooling a map `B C H W` over all of its positions to `B C`, over bins of them to `B C h w`, and over its channels to
`B 1 H W`.

Plain reductions rather than adaptive or windowed pooling: the same numbers, several times faster on CPU, and exportable
with dynamic sizes. Reductions that square or exponentiate accumulate in float32 at
least, so that half precision does not overflow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from regard.ops.tracing import exporting


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


def adaptive_average(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Mean over h × w bins that cover the map and overlap where it does not divide: `B C H W` -> `B C h w`.

    The numbers of `F.adaptive_avg_pool2d`, which is slow on a map that lies in rows and cannot be exported with dynamic
    sizes. So there it is a matrix product: with one matrix of bins × positions where that is small, else along one axis
    after the other.
    """
    (h, w), (height, width) = size, x.shape[2:]
    if not exporting():
        if not x.is_contiguous():
            return F.adaptive_avg_pool2d(x, size)
        if h * w * height * width <= 2**14:
            bins = torch.kron(bin_weights(h, height, like=x), bin_weights(w, width, like=x))
            with torch.autocast(x.device.type, enabled=False):
                return (x.flatten(2) @ bins.mT).unflatten(-1, (h, w))
    with torch.autocast(x.device.type, enabled=False):
        return bin_weights(h, height, like=x) @ x @ bin_weights(w, width, like=x).mT


def pyramid_average(x: Tensor, sizes: Sequence[int]) -> list[Tensor]:
    """Adaptive averages to each s × s of `sizes` from one reading of x: `B C H W` -> several `B C s s`."""
    if not x.is_contiguous() and not exporting():
        return [F.adaptive_avg_pool2d(x, size) for size in sizes]
    rows = torch.cat([bin_weights(size, x.shape[2], like=x) for size in sizes])
    columns = torch.cat([bin_weights(size, x.shape[3], like=x) for size in sizes])
    with torch.autocast(x.device.type, enabled=False):
        pooled = rows @ x @ columns.mT  # [B, C, Σs, Σs], of which the blocks on the diagonal are wanted
    levels, start = [], 0
    for size in sizes:
        levels.append(pooled[:, :, start : start + size, start : start + size])
        start += size
    return levels


def bin_weights(bins: int, length: int, *, like: Tensor) -> Tensor:
    """W with W p = adaptive average of p along one axis: `bins length`, rows sum to 1, in the type of `like`.

    Bin i reaches from ⌊i length / bins⌋ up to ⌈(i + 1) length / bins⌉.
    """
    index = torch.arange(bins, device=like.device)[:, None]
    start = index * length // bins
    stop = ((index + 1) * length + bins - 1) // bins
    at = torch.arange(length, device=like.device)
    return ((at >= start) & (at < stop)).to(like.dtype) / (stop - start).to(like.dtype)


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
