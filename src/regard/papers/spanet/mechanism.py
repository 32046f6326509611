"""Spatial pyramid attention: a channel gate from averages over a pyramid of bins.

SPANet: Spatial Pyramid Attention Network for Enhanced Image Recognition. Guo, Ma, Sansom, McGuire, Kalaani, Chen, Tang,
Yang, Fu. ICME 2020, doi:10.1109/ICME46284.2020.9102906.
Official code: 13952522076/SPANet (PyTorch).

    v = [P₁ x | P₂ x | P₄ x]                    P_s: averages over s × s bins; 21C values, channel by channel     (1)
    s = σ(W₂ relu(W₁ v))                        no biases                                                         (2)
    y = s · x                                   SPPSE: after the branch                                           (3)
    y = s · F(x)                                PSPPSE: s from the input x of the branch F                        (4)
    x <- relu(BN(W x)) in (1)                   CPSPPSE: (4), with a convolution first where F changes C          (5)

Place: on the residual branch of every block, before the addition. (3) sees the end of the branch, (4) and (5) the raw
    input of the block.
Cost: one pass to pool, one to scale; 21C²/r + C²/r multiplications and parameters; O(C) extra memory. (5) adds C C'
    multiplications per position.
Deviations: the bottleneck has C // r channels as released, C being those of the pooled map; the survey's listing makes
    it 21 times wider, which `hidden` can. `levels=(1,)` gives the SE siblings of the release (SE, PSE and CPSE).
Errata: bins that do not divide the map overlap; implementations by windows of a fixed stride differ there.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from regard.checks import bottleneck_width, check_input, check_norm_batch, flag, positive, whole_numbers
from regard.core import Attention
from regard.ops import pooling
from regard.ops.precision import wide_linear


class _PyramidGate(nn.Module):
    """(1) and (2): `B C H W` -> `B D 1 1`."""

    def __init__(self, channels: int, out: int, levels: Sequence[int], reduction: int, hidden: int | None) -> None:
        super().__init__()
        hidden = bottleneck_width(channels, reduction, hidden)
        self.levels = whole_numbers("levels", levels)
        self.reduce = nn.Linear(channels * sum(level**2 for level in levels), hidden, bias=False)
        self.expand = nn.Linear(hidden, out, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        v = torch.cat([level.flatten(1) for level in pooling.pyramid_average(x, self.levels)], 1)
        s = wide_linear(self.expand, wide_linear(self.reduce, v).relu()).sigmoid()
        return s.to(x.dtype)[:, :, None, None]


class SpatialPyramid(Attention):
    """Channel gate from averages over a pyramid of bins (SPPSE).

    Args:
        channels: C of the input.
        levels: s, how many bins each level of the pyramid has along each side.
        reduction: r, how many times narrower the bottleneck is than C.
        hidden: width of the bottleneck itself, in place of `reduction`.

    Shapes: x `B C H W` -> `B C H W`. Maps: channel `B C 1 1`, in (0, 1).
    Raises: ValueError for an argument out of range, a `reduction` that leaves no hidden channel, or another shape.
    """

    def __init__(
        self, channels: int, *, levels: Sequence[int] = (1, 2, 4), reduction: int = 16, hidden: int | None = None
    ) -> None:
        super().__init__()
        self.channels = positive("channels", channels)
        self.gate = _PyramidGate(channels, channels, levels, reduction, hidden)

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, "B C H W", C=self.channels)
        return x * self.see("channel", self.gate(x))


class PreSpatialPyramid(Attention):
    """Channel gate on a branch, from averages over a pyramid of bins of its input (PSPPSE, CPSPPSE).

    Args:
        channels: C of the block's input.
        out: D, the channels of the branch; None takes C.
        convolve: convolve the input to D channels first, where they are not C (CPSPPSE).
        levels: s, how many bins each level of the pyramid has along each side.
        reduction: r, how many times narrower the bottleneck is than the pooled map.
        hidden: width of the bottleneck itself, in place of `reduction`.

    Shapes: x `B C H W` -> the gate `B D 1 1`; with the branch, x `B C H W`, `B D h w` -> `B D h w`.
    Maps: channel `B D 1 1`, in (0, 1).
    Raises: ValueError for an argument out of range, a `reduction` that leaves no hidden channel, or other shapes.
    """

    def __init__(
        self,
        channels: int,
        *,
        out: int | None = None,
        convolve: bool = False,
        levels: Sequence[int] = (1, 2, 4),
        reduction: int = 16,
        hidden: int | None = None,
    ) -> None:
        super().__init__()
        self.channels = positive("channels", channels)
        self.out = channels if out is None else positive("out", out)
        flag("convolve", convolve)
        self.conv: nn.Conv2d | None = None
        self.norm: nn.BatchNorm2d | None = None
        pooled = channels
        if convolve and self.out != channels:
            self.conv = nn.Conv2d(channels, self.out, 1, bias=False)
            self.norm = nn.BatchNorm2d(self.out)
            pooled = self.out
        self.gate = _PyramidGate(pooled, self.out, levels, reduction, hidden)

    def forward(self, x: Tensor, branch: Tensor | None = None) -> Tensor:
        check_input(x, "B C H W", C=self.channels)
        if branch is not None:
            check_input(branch, "B D h w", B=x.shape[0], D=self.out)
        if self.conv is not None and self.norm is not None:
            check_norm_batch(self.norm, x)
            x = self.norm(self.conv(x)).relu()
        s = self.see("channel", self.gate(x))
        return s if branch is None else branch * s
