"""Channel gate from several pools through one shared bottleneck, then a spatial gate from two channel statistics.

CBAM: Convolutional Block Attention Module. Woo, Park, Lee, Kweon. ECCV 2018, arXiv:1807.06521.
Official code: Jongchan/attention-module.

    M_c = σ(Σ_p W₂ relu(W₁ p(x) + b₁) + b₂),  p over the pools        channel, Eq. 2                 (1)
    x'  = M_c · x                                                     Eq. 1                          (2)
    M_s = σ(BN(f^{7×7}[max_c x'; mean_c x']))                         spatial, Eq. 3                 (3)
    y   = M_s · x'                                                    Eq. 1                          (4)

    p: avg, the mean; max; lp, √Σ x²; lse, log Σ exp x; each over all positions.

The other arrangements that the paper compares (Section 4.1, Table 3):

    spatial-channel    x' = M_s(x) · x,  y = M_c(x') · x'                                            (5)
    parallel           y = M_c(x) · M_s(x) · x                                                       (6)

Place: on the residual branch of every block, after its last batch norm and before the addition.
Cost: three passes to read and one to write, 2C²/r + 2k²HW multiplications; O(C + HW) extra memory.
Deviations: paper, Eq. 3, stacks [avg; max] and names no batch norm | official code stacks [max; mean] and normalises
    the one-channel result, scale starting at 0 so that every gate starts at 1/2 | here as released, `norm=False` for
    the paper. The bias b₂ is added once for each pool, as released. Neither says how the two maps meet in the parallel
    arrangement: here both come from the same input and are multiplied on it.
Errata: ports that add the input to the output, use a 49-wide kernel, leave out the max pool or the bottleneck, or take
    the sigmoid of each pool before the sum, are not this mechanism.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from regard.checks import bottleneck_width, check_input, choice, flag, positive, sequence
from regard.core import Attention
from regard.ops import pooling

ORDERS = ("channel-spatial", "spatial-channel", "parallel")


class ConvBlockAttention(Attention):
    """Channel gate from several pools, then a spatial gate from two channel statistics.

    Args:
        channels: C of the input.
        reduction: r, how many times narrower the bottleneck is; the paper uses 16.
        hidden: width of the bottleneck itself, in place of `reduction`.
        pools: which global pools feed the bottleneck: any of avg, max, lp, lse.
        spatial: whether the spatial gate follows.
        kernel_size: k of the spatial gate's convolution, odd; the paper uses 7.
        norm: batch norm in the spatial gate, as in the official release.
        order: `channel-spatial` as published, `spatial-channel`, or `parallel`: both gates from the same input.

    Shapes: x `B C H W` -> `B C H W`. Maps: channel `B C 1 1` and spatial `B 1 H W`, both in (0, 1).
    Raises: ValueError for no or an unknown pool, an even kernel, a `reduction` that leaves no hidden channel, or an
        unknown `order` or one without a spatial gate.
    """

    def __init__(
        self,
        channels: int,
        *,
        reduction: int = 16,
        hidden: int | None = None,
        pools: Sequence[str] = ("avg", "max"),
        spatial: bool = True,
        kernel_size: int = 7,
        norm: bool = True,
        order: str = ORDERS[0],
    ) -> None:
        super().__init__()
        hidden = bottleneck_width(channels, reduction, hidden)
        self.pools = tuple(choice("pools", pool, pooling.GLOBAL_POOLS) for pool in sequence("pools", pools))
        if positive("kernel_size", kernel_size) % 2 == 0:
            raise ValueError(f"kernel_size={kernel_size}: an odd number is needed to keep the map's size")
        choice("order", order, ORDERS)
        flag("norm", norm)
        if not flag("spatial", spatial) and order != ORDERS[0]:
            raise ValueError(f"order={order!r}: spatial=False leaves one gate, which has no order")
        self.channels, self.order = channels, order
        self.reduce = nn.Linear(channels, hidden)
        self.expand = nn.Linear(hidden, channels)
        self.conv = nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2, bias=False) if spatial else None
        self.norm = nn.BatchNorm2d(1, momentum=0.01) if spatial and norm else None
        if self.norm is not None:
            nn.init.zeros_(self.norm.weight)

    def channel_gate(self, x: Tensor) -> Tensor:
        pooled = torch.stack([pooling.GLOBAL_POOLS[pool](x) for pool in self.pools])  # [P, B, C]
        logits: Tensor = self.expand(self.reduce(pooled).relu()).sum(0)  # [B, C]
        return logits.sigmoid()[:, :, None, None]

    def spatial_gate(self, x: Tensor) -> Tensor:
        assert self.conv is not None
        statistics = torch.cat([pooling.channel_maximum(x), pooling.channel_average(x)], 1)  # [B, 2, H, W]
        logits: Tensor = self.conv(statistics)  # [B, 1, H, W]
        if self.norm is not None:
            logits = self.norm(logits)
        return logits.sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, "B C H W", C=self.channels)
        if self.conv is None:
            return x * self.see("channel", self.channel_gate(x))
        if self.order == "parallel":
            return x * self.see("channel", self.channel_gate(x)) * self.see("spatial", self.spatial_gate(x))
        if self.order == "spatial-channel":
            x = x * self.see("spatial", self.spatial_gate(x))
            return x * self.see("channel", self.channel_gate(x))
        x = x * self.see("channel", self.channel_gate(x))
        return x * self.see("spatial", self.spatial_gate(x))
