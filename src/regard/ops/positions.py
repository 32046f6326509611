"""Sinusoidal positions: a table `T C` for sequences, `C H W` for maps."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor


def sequence(x: Tensor, length: int, channels: int, *, halves: bool = False) -> Tensor:
    """The table `length channels`, in the dtype and on the device of `x`.

    Channel 2i has sin(t / 10000^(2i/C)) and channel 2i + 1 its cosine. `halves` has all sines before all cosines, at
    the frequencies 10000^(-i / (C/2 - 1)), and a last odd channel of zeros.
    """
    if type(x) is not Tensor or torch.compiler.is_compiling():
        return _sequence(length, channels, halves, x.dtype, x.device)
    return _table(length, channels, halves, x.dtype, x.device)


def grid(x: Tensor, height: int, width: int, channels: int, *, halves: bool = False) -> Tensor:
    """The table `channels height width`: half of the channels encode rows, the other half columns.

    A channel that is left over, of an odd number, is zero.
    """
    half = channels // 2
    rows = sequence(x, height, half, halves=halves).T[:, :, None].expand(-1, -1, width)
    columns = sequence(x, width, half, halves=halves).T[:, None].expand(-1, height, -1)
    rest = [x.new_zeros(1, height, width)] if channels % 2 else []
    return torch.cat([rows, columns, *rest])


def _sequence(length: int, channels: int, halves: bool, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The table, computed in float64 if the device has it: in float32 the angle of a far position loses digits."""
    exact = torch.float32 if device.type == "mps" else torch.float64
    t = torch.arange(length, dtype=exact, device=device)[:, None]
    count = channels // 2 if halves else (channels + 1) // 2
    step = 1 / max(count - 1, 1) if halves else 2 / max(channels, 1)
    angle = t * torch.exp(torch.arange(count, dtype=exact, device=device) * (-math.log(10000) * step))
    sin, cos = angle.sin(), angle.cos()
    if halves:
        return torch.cat([sin, cos, torch.zeros_like(t)], 1)[:, :channels].to(dtype)
    return torch.stack([sin, cos], 2).flatten(1)[:, :channels].to(dtype)


@lru_cache(maxsize=16)
def _table(length: int, channels: int, halves: bool, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The table from a cache, because to make one takes longer than to add it; it must not be written to."""
    with torch.inference_mode(False):
        return _sequence(length, channels, halves, dtype, device)
