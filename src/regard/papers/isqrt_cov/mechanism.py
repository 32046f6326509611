"""Covariance pooling: the square root of the channels' covariance takes the place of their mean.

Towards Faster Training of Global Covariance Pooling Networks by Iterative Matrix Square Root Normalization. Li, Xie,
Wang, Gao. CVPR 2018, arXiv:1712.01034. Official code: jiangtaoxie/fast-MPN-COV.

    y = relu(BN(W x))                                             C -> D, no bias                    (1)
    Σ = 1/N Σ_n (y_n - μ)(y_n - μ)ᵀ                               covariance, Eq. 1                  (2)
    A = Σ / tr Σ;  Y₀ = A, Z₀ = 1                                 before, Eq. 4                      (3)
    T = (3 - Z Y) / 2;  Y <- Y T;  Z <- T Z                       Newton–Schulz, Eq. 3               (4)
    C = √(tr Σ) Y                                                 after, Eq. 5                       (5)
    v = the entries of C on one side of the diagonal, and on it                                      (6)

Place: the head of a network, between its last stage and the classifier, instead of global average pooling.
Cost: NCD + ND² + 6D³ multiplications for 3 iterations; O(ND + D²) memory. No N × N matrix.
Deviations: the paper's code writes the upper triangle row by row | GSoP-Net2 (Gao et al., arXiv:1811.12006) the lower
    one | both, by `triangle`. A map without any variance has the output 0 | not a number as released.
Errata: the copy in GSoP's code leaves the factor A out of its result for a single iteration; more are right. Codes that
    centre with an N × N matrix compute the same at a cost quadratic in N.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from regard.checks import check_input, check_norm_batch, choice, positive, whole
from regard.core import Attention
from regard.layers import Pointwise
from regard.ops import second_order

_TRIANGLES = ("upper", "lower", None)


class CovariancePooling(Attention):
    """Global pooling by the square root of the channels' covariance.

    Args:
        channels: C of the input.
        hidden: D, the width that C is brought to first; None takes the channels as they are, without Eq. 1.
        iterations: how many Newton–Schulz iterations; the paper uses 3 to 5. 0 leaves the covariance without its root.
        triangle: which half of the symmetric matrix is written out, row by row: "upper" as released, "lower" as in
            GSoP-Net2; None returns the matrix.

    Shapes: x `B C H W` -> `B D(D+1)/2`, or `B D D` without `triangle`. Maps: covariance `B D D`, of Eq. 2.
    Raises: ValueError for an unknown triangle or a negative number of iterations.
    """

    def __init__(
        self, channels: int, *, hidden: int | None = 256, iterations: int = 3, triangle: str | None = "upper"
    ) -> None:
        super().__init__()
        positive("channels", channels)
        self.sizes = {} if hidden is None else {"C": channels}  # without weights it takes any width
        self.iterations = whole("iterations", iterations, 0)
        self.triangle = choice("triangle", triangle, _TRIANGLES)
        self.reduce = None if hidden is None else Pointwise(channels, positive("hidden", hidden), bias=False)
        self.norm = None if hidden is None else nn.BatchNorm1d(hidden)

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, "B C H W", **self.sizes)
        y = x.flatten(2)  # [B, C, N]
        if self.reduce is not None and self.norm is not None:
            y = self.reduce(y)  # [B, D, N]
            check_norm_batch(self.norm, y)
            y = self.norm(y).relu_()
        c = self.see("covariance", second_order.covariance(y))  # [B, D, D]
        if self.iterations:
            c = second_order.square_root(c, iterations=self.iterations)
        limit = torch.finfo(x.dtype).max  # squares may leave the range of half precision
        return self.written_out(c.clamp(-limit, limit).to(x.dtype))

    def written_out(self, c: Tensor) -> Tensor:
        if self.triangle is None:
            return c
        of = torch.triu_indices if self.triangle == "upper" else torch.tril_indices
        rows, columns = of(c.shape[1], c.shape[1], device=c.device)
        return c.flatten(1).index_select(1, rows * c.shape[1] + columns)
