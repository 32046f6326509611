"""Convolutions as matrix products, where these are faster."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from regard.ops.tracing import exporting

_CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def convolved(conv: nn.Module, x: Tensor) -> Tensor:
    """`conv(x)`, as a matrix product where its windows do not overlap and a gradient is wanted.

    On CPU the gradient of such a convolution first writes zeros over a whole map, or reorders one, which takes up to
    twice as long.
    """
    if not isinstance(conv, _CONVS) or not _faster(conv, x):
        y: Tensor = conv(x)
        return y
    grid = [length // size for length, size in zip(x.shape[2:], conv.kernel_size, strict=True)]
    windows = _windows(x, conv.kernel_size, grid)  # [B, C s…, N]
    weight = conv.weight.flatten(1).expand(x.shape[0], -1, -1)
    y = weight @ windows if conv.bias is None else torch.baddbmm(conv.bias[:, None], weight, windows)
    maps: Tensor = y.unflatten(-1, grid)
    return maps


def _faster(conv: nn.Conv1d | nn.Conv2d | nn.Conv3d, x: Tensor) -> bool:
    if not torch.is_grad_enabled() or exporting() or x.device.type != "cpu" or not x.is_contiguous():
        return False
    if type(conv) not in _CONVS or conv._forward_hooks or conv._forward_pre_hooks:  # prune and its kin work by hooks
        return False
    plain = conv.groups == 1 and not any(conv.padding) and all(step == 1 for step in conv.dilation)
    return plain and tuple(conv.stride) == tuple(conv.kernel_size)


def _windows(x: Tensor, size: tuple[int, ...], grid: list[int]) -> Tensor:
    """`B C *lengths` -> `B (C *size) N`, without the remainder behind the last window."""
    if math.prod(size) == 1:
        return x.flatten(2)
    split = []
    for axis, (length, count) in enumerate(zip(size, grid, strict=True), 2):
        x = x.narrow(axis, 0, count * length)
        split += [count, length]
    x = x.reshape(*x.shape[:2], *split)
    inner, outer = range(3, x.ndim, 2), range(2, x.ndim, 2)
    return x.permute(0, 1, *inner, *outer).flatten(-len(size)).flatten(1, -2)
