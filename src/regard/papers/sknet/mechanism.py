"""Selective kernels: convolutions with several receptive fields, weighed against each other by channel.

Selective Kernel Networks. Li, Wang, Hu, Yang. CVPR 2019, arXiv:1903.06586.
Official code: implus/SKNet (Caffe).

    U_i = relu(BN(K_i * x))                     split: i = 1 … M, each grouped and larger than the last           (1)
    s   = 1/(HW) Σ_hw Σ_i U_i                   fuse, Eq. 1 and 2                                                 (2)
    z   = relu(BN(W s))                         C -> d = max(C/r, L), Eq. 3 and 4                                 (3)
    a_i = softmax_i(A_i z)                      for every channel, Eq. 5                                          (4)
    y   = Σ_i a_i · U_i                         select, Eq. 6                                                     (5)

Place: instead of the 3 × 3 convolution of every bottleneck, with its stride, 32 groups and half of the block's width.
Cost: M convolutions, 9C²M/G multiplications per position; (M + 1)Cd for the weights; M maps of extra memory.
Deviations: paper and official code take a larger kernel to be a 3 × 3 one with dilation 1, 2, 3 … | `dilated=False` has
    true kernels of `kernel_sizes`. Paper, Eq. 3, and official code have norm and ReLU in (3) and biases nowhere | the
    PyTorch port (pppLang) has neither of the former and all of the latter: `norm=False, bias=True, select_bias=True`.
    timm gives every branch its own share of the input channels with `split=True` and rounds d to multiples of 8, which
    `hidden` can. G is 32 as released, or the largest common divisor of 32 and the widths where 32 does not divide them.
Errata: stacking the branches to sum and weigh them, as ports do, costs two more copies of all of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from regard.checks import check_input, check_norm_batch, flag, positive, whole_numbers
from regard.core import Attention
from regard.ops import pooling
from regard.ops.precision import wide_linear


class SelectiveKernel(Attention):
    """Convolutions with several receptive fields, weighed against each other for every channel.

    Args:
        channels: C of the input.
        out: D, the width of the output; None keeps C.
        kernel_sizes: the receptive field of each branch, odd.
        dilated: 3 × 3 convolutions with dilation in place of larger kernels, as released.
        dilation: of all branches, on top of that.
        stride: of all branches.
        groups: of every convolution; None takes 32, or what 32 and the widths have in common.
        split: every branch has its own C / M of the input channels (timm) rather than all of them.
        reduction: r, how many times narrower z is than the output.
        least: L, below which z is not narrowed.
        hidden: d, the width of z itself, in place of both.
        norm: batch norm and ReLU behind W, which otherwise has a bias.
        bias: of the branches' convolutions.
        select_bias: of A.

    Shapes: x `B C H W` -> `B D ⌈H/stride⌉ ⌈W/stride⌉`. Maps: branch `B M D 1 1`, sums to 1 over the M branches.
    Raises: ValueError for an argument out of range, an even kernel size, groups or branches that do not divide C,
        or another shape.
    """

    def __init__(
        self,
        channels: int,
        *,
        out: int | None = None,
        kernel_sizes: Sequence[int] = (3, 5),
        dilated: bool = True,
        dilation: int = 1,
        stride: int = 1,
        groups: int | None = None,
        split: bool = False,
        reduction: int = 16,
        least: int = 32,
        hidden: int | None = None,
        norm: bool = True,
        bias: bool = False,
        select_bias: bool = False,
    ) -> None:
        super().__init__()
        self.channels = positive("channels", channels)
        out = channels if out is None else positive("out", out)
        kernel_sizes = whole_numbers("kernel_sizes", kernel_sizes)
        for name, value in (
            ("dilated", dilated), ("split", split), ("norm", norm), ("bias", bias), ("select_bias", select_bias)
        ):  # fmt: skip
            flag(name, value)
        for name, count in (("dilation", dilation), ("stride", stride), ("reduction", reduction), ("least", least)):
            positive(name, count)
        if any(size % 2 == 0 for size in kernel_sizes):
            raise ValueError(f"kernel_sizes={kernel_sizes!r}: one odd size for each branch is needed")
        if dilated and min(kernel_sizes) < 3:
            raise ValueError(f"kernel_sizes={kernel_sizes!r}: sizes of at least 3 are needed with dilated=True")
        self.branches = len(kernel_sizes)
        if split and channels % self.branches:
            raise ValueError(
                f"channels={channels}: a multiple of {self.branches}, the number of branches, is needed with split=True"
            )
        width = channels // self.branches if split else channels
        groups = math.gcd(32, width, out) if groups is None else positive("groups", groups)
        if width % groups or out % groups:
            raise ValueError(
                f"groups={groups} with kernel_sizes={kernel_sizes}: a divisor of {width} and of {out} is needed, "
                f"such as {math.gcd(groups, width, out)}"
            )
        hidden = max(out // reduction, least) if hidden is None else positive("hidden", hidden)
        self.split = split
        self.convs = nn.ModuleList()
        for size in kernel_sizes:
            spread = dilation * ((size - 1) // 2 if dilated else 1)
            kernel = 3 if dilated else size
            self.convs.append(
                nn.Conv2d(
                    width,
                    out,
                    kernel,
                    stride=stride,
                    padding=spread * (kernel - 1) // 2,
                    dilation=spread,
                    groups=groups,
                    bias=bias,
                )
            )
        self.norms = nn.ModuleList(nn.BatchNorm2d(out) for _ in kernel_sizes)
        self.reduce = nn.Linear(out, hidden, bias=not norm)
        self.norm = nn.BatchNorm1d(hidden) if norm else None
        self.selects = nn.ModuleList(nn.Linear(hidden, out, bias=select_bias) for _ in kernel_sizes)

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, "B C H W", C=self.channels)
        parts = x.chunk(self.branches, 1) if self.split else (x,) * self.branches
        maps = [self.branch(i, part) for i, part in enumerate(parts)]
        s = sum((pooling.average(u) for u in maps[1:]), pooling.average(maps[0]))  # [B, D]
        z = self.reduce(s)
        if self.norm is not None:
            check_norm_batch(self.norm, z)
            z = self.norm(z).relu()
        a = self.see("branch", self.weights(z))  # [B, M, D, 1, 1]
        y = maps[0] * a[:, 0]
        for i in range(1, self.branches):
            y = torch.addcmul(y, maps[i], a[:, i])
        return y

    def branch(self, i: int, x: Tensor) -> Tensor:
        """U_i: `B C H W` -> `B D H/s W/s`."""
        x = self.convs[i](x)
        check_norm_batch(self.norms[i], x)
        return cast(Tensor, self.norms[i](x)).relu_()

    def weights(self, z: Tensor) -> Tensor:
        """a_i: `B d` -> `B M D 1 1`; in float32 at least, since the softmax of an infinite logit is not a number."""
        logits = [wide_linear(cast(nn.Linear, select), z) for select in self.selects]
        return torch.stack(logits, 1).softmax(1).to(z.dtype)[..., None, None]
