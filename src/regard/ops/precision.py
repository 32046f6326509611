"""Float32 for what half precision cannot hold."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regard.ops.tracing import exporting


def widened(x: Tensor) -> Tensor:
    """Returns x in float32, or in its own type if that is wider."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def uncast(x: Tensor) -> AbstractContextManager[None]:
    """Turns autocast off on the device of x; does nothing if it is off and no graph is being exported.

    The meta device knows no autocast.
    """
    device = x.device.type
    if device == "meta" or not (exporting() or torch.is_autocast_enabled(device)):
        return nullcontext()
    return torch.autocast(device, enabled=False)


def wide_linear(layer: nn.Linear, x: Tensor) -> Tensor:
    """`layer(x)` in float32 at least, also under autocast, for sums that half precision cannot hold."""
    with uncast(x):
        if x.dtype == layer.weight.dtype and x.dtype.itemsize >= 4:
            return F.linear(x, layer.weight, layer.bias)
        bias = None if layer.bias is None else widened(layer.bias)
        return F.linear(widened(x), widened(layer.weight), bias)


def wide_norm(norm: nn.BatchNorm1d | nn.BatchNorm2d, x: Tensor) -> Tensor:
    """`norm(x)` of a float32 x, in any precision of the norm, also under autocast."""
    with uncast(x):
        if norm.training or norm.weight.dtype == x.dtype:
            y: Tensor = norm(x.to(norm.weight.dtype)).to(x.dtype)
            return y
        assert norm.running_mean is not None and norm.running_var is not None
        mean, variance = widened(norm.running_mean), widened(norm.running_var)
        return F.batch_norm(x, mean, variance, widened(norm.weight), widened(norm.bias), eps=norm.eps)
