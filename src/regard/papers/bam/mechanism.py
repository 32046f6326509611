"""BAM: a gate for every value, from a pooled channel branch and a dilated spatial branch in parallel.

BAM: Bottleneck Attention Module. Park, Woo, Lee, Kweon. BMVC 2018, arXiv:1807.06514.
Official code: Jongchan/attention-module.

    M_c = W_L h_{L-1},  h_l = relu(BN(W_l h_{l-1})),  h_0 = 1/(HW) Σ_hw x_chw     channel, Eq. 3     (1)
    M_s = f₃^{1×1}(f₂^{3×3}(f₁^{3×3}(f₀^{1×1}(x)))),  dilated by 4                spatial, Eq. 4     (2)
    M   = σ(M_c · M_s)                                                            as released        (3)
    M   = σ(M_c + M_s)                                                            paper, Eq. 2       (4)
    y   = x + x · M                                                               Eq. 1              (5)

    Every f of (2) but the last is followed by batch norm and a ReLU. M_c and M_s spread over each other's axes.

Place: at the bottlenecks of a ResNet, after stages 1, 2 and 3 and before the next one.
Cost: (C² / r)(2 / HW + 1) + 18 C² / r² multiplications for each position; one extra map M, O(CHW) memory.
Deviations: paper, Eq. 2, adds the branches | official code multiplies them | `merge`, "product" by default. Paper,
    Eqs. 3 and 4, ends both branches in a batch norm | official code has none after the last layer and one after each
    other | as released. The released pooling reads an H × H window only | here the whole map.
Errata: ports that gate with M alone in place of 1 + M, that put the batch norm after the last layer, or that drop the
    dilation, are not this mechanism. The released constructor fails on an undefined name.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from regard.checks import bottleneck_width, check_input, check_norm_batch, choice, whole, whole_numbers
from regard.core import Attention
from regard.ops import pooling
from regard.ops.convolution import convolved


class BottleneckAttention(Attention):
    """Gate for every value, from a pooled channel branch and a dilated spatial branch.

    Args:
        channels: C of the input.
        reduction: r, how many times narrower both branches are; the paper uses 16.
        hidden: width of both branches itself, in place of `reduction`.
        layers: hidden layers of the channel branch; the paper uses 1.
        dilations: dilation of each 3×3 convolution of the spatial branch; the paper uses two of 4.
        merge: "product" of the branches, as released, or their "sum", as in the paper.

    Shapes: x `B C H W` -> `B C H W`.
    Maps: attention `B C H W`, what x is multiplied by, in (1, 2); channel `B C 1 1` and spatial `B 1 H W`, the two
        branches, any real number.
    Raises: ValueError for an unknown merge, a negative number of layers, or a `reduction` that leaves nothing.
    """

    def __init__(
        self,
        channels: int,
        *,
        reduction: int = 16,
        hidden: int | None = None,
        layers: int = 1,
        dilations: Sequence[int] = (4, 4),
        merge: str = "product",
    ) -> None:
        super().__init__()
        hidden = bottleneck_width(channels, reduction, hidden)
        self.merge = choice("merge", merge, ("product", "sum"))
        self.channels = channels
        widths = [channels, *[hidden] * whole("layers", layers, 0)]
        self.channel = nn.Sequential()
        for width, out in pairwise(widths):
            self.channel.extend((nn.Linear(width, out), nn.BatchNorm1d(out), nn.ReLU(inplace=True)))
        self.channel.append(nn.Linear(widths[-1], channels))
        self.spatial = nn.Sequential(nn.Conv2d(channels, hidden, 1), nn.BatchNorm2d(hidden), nn.ReLU(inplace=True))
        reaches = () if dilations in ((), []) else whole_numbers("dilations", dilations)
        for reach in reaches:  # each is the padding that keeps the map's size
            conv = nn.Conv2d(hidden, hidden, 3, padding=reach, dilation=reach)
            self.spatial.extend((conv, nn.BatchNorm2d(hidden), nn.ReLU(inplace=True)))
        self.spatial.append(nn.Conv2d(hidden, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, "B C H W", C=self.channels)
        z = pooling.average(x)  # [B, C]
        if len(self.channel) > 1:
            check_norm_batch(self.channel, z)
        m_c = self.see("channel", self.channel(z)[:, :, None, None])
        m_s = self.see("spatial", self.spatial[1:](convolved(self.spatial[0], x)))
        m = _gate_of_product(m_c, m_s, x) if self.merge == "product" else (m_c + m_s).sigmoid_()
        if self.watched:
            return x * self.see("attention", 1 + m)
        if torch.is_grad_enabled():
            return x + x * m  # the gradient of `addcmul` is the slower one
        return torch.addcmul(x, x, m)


def _gate_of_product(m_c: Tensor, m_s: Tensor, x: Tensor) -> Tensor:
    """σ(M_c · M_s) in the layout of x, as a matrix product, whose gradients need no map of products."""
    c, s = m_c.flatten(2), m_s.flatten(2)  # [B, C, 1], [B, 1, N]
    m = (c @ s).sigmoid_() if x.is_contiguous() else (s.mT @ c.mT).sigmoid_().mT
    spread: Tensor = m.unflatten(2, m_s.shape[2:])
    return spread
