"""Attention along a position's column and row: queries, keys `B H W D`, values `B H W E`, weights `B H W S`.

S = H + W: the places of the column first, then those of the row. The position itself lies on both, and counts in the
row alone. Channels stand last, so that a row is a matrix as it lies and a column is copied in whole runs.
"""

from __future__ import annotations

import torch
from torch import Tensor


def weights(q: Tensor, k: Tensor) -> Tensor:
    """softmax_s(q·k) over the H + W - 1 places of column and row: `B H W D`, `B H W D` -> `B H W S`."""
    b, h, w, _ = q.shape
    own = torch.eye(h, dtype=torch.bool, device=q.device)
    hidden = torch.zeros(h, h, dtype=q.dtype, device=q.device).masked_fill(own, -torch.inf)
    column = torch.baddbmm(hidden, _columns(q), _columns(k).mT).view(b, w, h, h)
    row = (_rows(q) @ _rows(k).mT).view(b, h, w, w)
    return torch.cat([column.transpose(1, 2), row], -1).softmax(-1)


def attend(a: Tensor, v: Tensor) -> Tensor:
    """Σ_s a_s v_s: `B H W S`, `B H W E` -> `B H W E`."""
    b, h, w, _ = v.shape
    column, row = a.split([h, w], -1)
    down = (_columns(column) @ _columns(v)).view(b, w, h, -1)
    return (_rows(row) @ _rows(v)).view(b, h, w, -1) + down.transpose(1, 2)


def _rows(x: Tensor) -> Tensor:
    """`B H W E` -> `BH W E`."""
    return x.reshape(x.shape[0] * x.shape[1], x.shape[2], -1)


def _columns(x: Tensor) -> Tensor:
    """`B H W E` -> `BW H E`."""
    return _rows(x.transpose(1, 2))
