"""Pooling of a map `B C H W`: over positions to `B C`, over bins to `B C h w`, over channels to `B 1 H W`.

Plain reductions take the place of adaptive and windowed pooling: they give the same numbers, are several times faster
on CPU, and can be exported with dynamic sizes. Reductions that square or exponentiate accumulate in float32 at least,
so that half precision does not overflow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from regard.ops.precision import uncast
from regard.ops.tracing import exporting

SMALL = 512  # positions of a map below which the plain form is the fastest


def average(x: Tensor) -> Tensor:
    """Mean over positions: `B C H W` -> `B C`.

    It is computed as sum / N, because the gradient of `mean` writes out a whole map and that of `sum` none: this halves
    the time of forward and backward. In float16 it stays a mean, since the sum of a large map leaves the type's range.
    """
    if x.dtype is torch.float16:
        return x.mean((2, 3))
    return x.sum((2, 3)) / (x.shape[2] * x.shape[3])


def maximum(x: Tensor) -> Tensor:
    """Maximum over positions: `B C H W` -> `B C`; of equal values the first gets the gradient, as in max pooling."""
    if not (torch.is_grad_enabled() and x.requires_grad):
        return x.amax((2, 3))  # faster, but would share the gradient among equal ones
    if x.is_contiguous() or torch.compiler.is_compiling():
        return x.flatten(2).max(-1).values
    return F.max_pool2d(x, x.shape[2:]).flatten(1)  # far faster for channels-last


def power(x: Tensor) -> Tensor:
    """Power average of order 2 without the 1/N, √Σ x²: `B C H W` -> `B C`; its gradient at an all-zero map is zero."""
    wide = torch.promote_types(x.dtype, torch.float32)
    pooled: Tensor = torch.linalg.vector_norm(x, dim=(2, 3), dtype=wide).to(x.dtype)
    return pooled


def log_sum_exp(x: Tensor) -> Tensor:
    """log Σ exp x without the 1/N: `B C H W` -> `B C`."""
    return x.flatten(2).logsumexp(-1)


def weighted(x: Tensor, m: Tensor) -> Tensor:
    """Σ_n m_n x_n: `B C H W`, `B 1 HW` -> `B C`, in the order of factors that suits the layout of x."""
    positions = x.flatten(2)
    if x.is_contiguous():
        return torch.bmm(positions, m.mT)[:, :, 0]
    return torch.bmm(m, positions.mT)[:, 0]


def adaptive_average(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Mean over h × w bins that cover the map and overlap if they do not divide it: `B C H W` -> `B C h w`.

    The numbers of `F.adaptive_avg_pool2d`, which a CPU does slowly on a map that lies in rows and which cannot be
    exported with dynamic sizes. So there it is a matrix product: with one matrix of bins × positions where that is
    small, else along one axis after the other.
    """
    (h, w), (height, width) = size, x.shape[2:]
    if _by_torch(x):
        return F.adaptive_avg_pool2d(x, size)
    rows, columns = bin_weights(h, height, like=x), bin_weights(w, width, like=x)
    with uncast(x):
        if not exporting() and h * w * height * width <= 2**14:
            pooled: Tensor = (x.flatten(2) @ torch.kron(rows, columns).mT).unflatten(-1, (h, w))
            return pooled
        return rows @ x @ columns.mT


def _by_torch(x: Tensor) -> bool:
    """Whether `F.adaptive_avg_pool2d` is the fast form; on a GPU its gradient is not the same at every run."""
    if exporting():
        return False
    return not x.is_contiguous() or (x.is_cuda and not torch.are_deterministic_algorithms_enabled())


def pyramid_average(x: Tensor, sizes: Sequence[int]) -> list[Tensor]:
    """Adaptive averages to each s × s of `sizes` from one reading of x: `B C H W` -> several `B C s s`."""
    if _by_torch(x):
        return [F.adaptive_avg_pool2d(x, size) for size in sizes]
    rows, columns = bin_weights(sizes, x.shape[2], like=x), bin_weights(sizes, x.shape[3], like=x)
    with uncast(x):
        if not exporting() and sum(size**2 for size in sizes) * x[0, 0].numel() <= 2**14:
            pairs = zip(rows.split(list(sizes)), columns.split(list(sizes)), strict=True)
            bins = torch.cat([torch.kron(row, column) for row, column in pairs])
            pooled = x.flatten(2) @ bins.mT  # [B, C, Σs²]
            parts = pooled.split([size**2 for size in sizes], 2)
            return [part.unflatten(-1, (size, size)) for part, size in zip(parts, sizes, strict=True)]
        pooled = rows @ x @ columns.mT  # [B, C, Σs, Σs], of which the blocks on the diagonal are wanted
    levels, start = [], 0
    for size in sizes:
        levels.append(pooled[:, :, start : start + size, start : start + size])
        start += size
    return levels


def bin_weights(bins: int | Sequence[int], length: int, *, like: Tensor) -> Tensor:
    """The matrix `bins length` of an adaptive average along one axis, in the type of `like`; its rows sum to 1.

    Bin i of n reaches from ⌊i length / n⌋ up to ⌈(i + 1) length / n⌉. Several numbers of bins are one after the other.
    """
    if torch.compiler.is_compiling() or like.device.type != "cpu":
        if not isinstance(bins, Sequence):
            return _bin_weights(bins, length, like)
        return torch.cat([_bin_weights(n, length, like) for n in bins])
    counted = [(i, n) for n in ([bins] if isinstance(bins, int) else bins) for i in range(n)]
    # A list is far quicker than a dozen tiny operations.
    starts = torch.tensor([i * length // n for i, n in counted], device=like.device)[:, None]
    stops = torch.tensor([-(-(i + 1) * length // n) for i, n in counted], device=like.device)[:, None]
    at = torch.arange(length, device=like.device)
    return ((at >= starts) & (at < stops)).to(like.dtype) / (stops - starts)


def _bin_weights(bins: int, length: int, like: Tensor) -> Tensor:
    index = torch.arange(bins, device=like.device)[:, None]
    start = index * length // bins
    stop = ((index + 1) * length + bins - 1) // bins
    at = torch.arange(length, device=like.device)
    return ((at >= start) & (at < stop)).to(like.dtype) / (stop - start)


def halved_maximum(x: Tensor, size: int) -> Tensor:
    """Max pooling over size × size with stride 2: `B C H W` -> `B C ⌊H/2⌋ ⌊W/2⌋`; a side of length 1 stays.

    Windows of 3 round up and reach over the end, as in Caffe; windows of 2 leave an odd last row out.
    """
    height, width = x.shape[2:]
    if exporting():  # rounding up inside the pool would fix whether a side is even
        below, right = 2 * (height // 2) + size - 2 - height, 2 * (width // 2) + size - 2 - width
        return F.max_pool2d(F.pad(x, (0, right, 0, below), value=-torch.inf), size, 2)
    return F.max_pool2d(x, [min(size, height), min(size, width)], 2, ceil_mode=size > 2)


def filtered(x: Tensor, filters: Tensor) -> Tensor:
    """Σ_hw F_khw x_chw, where filter k serves the k-th of K equal groups of channels: `B C H W`, `K H W` -> `B C`.

    A product of maps while they are small. For large ones the fastest form differs with the layout and with gradients,
    by up to ten times: one matrix product of all filters with all channels, of which a K-th is kept (more
    multiplications, but x is read once, as it lies); a product of matrices for each group; a convolution.
    """
    batch, channels, height, width = x.shape
    filters = filters.to(x.dtype)
    count, group = filters.shape[0], channels // filters.shape[0]
    with uncast(x):
        if group == 1 and (exporting() or height * width < SMALL):
            return (x * filters).sum((2, 3))
        if not exporting() and height * width < SMALL:
            return (x.view(batch, count, group, height, width) * filters[:, None]).sum((3, 4)).flatten(1)
        if group > 1 and (count <= 16 or not x.is_contiguous()):
            all_pairs = x.flatten(2) @ filters.flatten(1).mT  # [B, C, K]
            return all_pairs.view(batch, count, group, count).diagonal(dim1=1, dim2=3).mT.flatten(1)
        if group > 1:
            return (x.flatten(2).view(batch, count, group, -1) @ filters.flatten(1)[..., None]).flatten(1)
        if x.is_contiguous():
            return torch.bmm(x.flatten(2).transpose(0, 1), filters.flatten(1)[..., None])[..., 0].T
        if not torch.is_grad_enabled():
            return F.conv2d(x, filters[:, None], groups=count).flatten(1)
        return (x * filters).sum((2, 3))


def channel_average(x: Tensor) -> Tensor:
    """Mean over channels: `B C H W` -> `B 1 H W`, as a sum for the same reasons as `average`."""
    if x.dtype is torch.float16:
        return x.mean(1, keepdim=True)
    return x.sum(1, keepdim=True) / x.shape[1]


def channel_maximum(x: Tensor) -> Tensor:
    """Maximum over channels: `B C H W` -> `B 1 H W`; one of equal values gets the gradient."""
    if not (torch.is_grad_enabled() and x.requires_grad):
        return x.amax(1, keepdim=True)
    return x.max(1, keepdim=True).values


GLOBAL_POOLS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "avg": average,
    "max": maximum,
    "lp": power,
    "lse": log_sum_exp,
}
