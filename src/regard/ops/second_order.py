"""Covariances `B D D` of features `B D N`, and their square roots, in float32 at least.

Squares leave the range of half precision long before the features do.
"""

from __future__ import annotations

import torch
from torch import Tensor

from regard.ops.precision import uncast, widened


def covariance(x: Tensor) -> Tensor:
    """1/N Σ_n (x_n - μ)(x_n - μ)ᵀ: `B D N` -> `B D D`."""
    with uncast(x):
        x = widened(x)
        x = x - x.sum(2, keepdim=True) / x.shape[2]
        return (x @ x.mT) / x.shape[2]


def square_root(s: Tensor, *, iterations: int) -> Tensor:
    """√S of positive semi-definite matrices by coupled Newton–Schulz iterations: `B D D` -> `B D D`.

    On A = S / tr S, with Y = A and Z = 1 to begin with: T = (3 - Z Y) / 2, Y <- Y T, Z <- T Z. Then Y tends to √A, and
    √S = √(tr S) Y. A matrix of zeros has the root zero, and gradients that are finite.
    """
    with uncast(s):
        trace = s.flatten(1)[:, :: s.shape[1] + 1].sum(1).clamp_min(1e-20)[:, None, None]
        a = s / trace
        y = torch.baddbmm(a, a, a, beta=1.5, alpha=-0.5)
        z = 1.5 * torch.eye(s.shape[1], dtype=s.dtype, device=s.device) - 0.5 * a
        for i in range(1, iterations):
            zy = z @ y
            y = torch.baddbmm(y, y, zy, beta=1.5, alpha=-0.5)
            if i + 1 < iterations:
                z = torch.baddbmm(z, zy, z, beta=1.5, alpha=-0.5)
        return y * trace.sqrt()
