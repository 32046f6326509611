"""Channel gate from several pools through one shared bottleneck, then a spatial gate from two channel statistics.

CBAM: Convolutional Block Attention Module. Woo, Park, Lee, Kweon. ECCV 2018, arXiv:1807.06521.
Official code: Jongchan/attention-module.

    M_c = σ(Σ_p W₂ relu(W₁ p(x) + b₁) + b₂),  p over the pools        channel, Eq. 2                 (1)
    x'  = M_c · x                                                     Eq. 1                          (2)
    M_s = σ(BN(f^{7×7}[max_c x'; mean_c x']))                         spatial, Eq. 3                 (3)
    y   = M_s · x'                                                    Eq. 1                          (4)

    p: avg, the mean; max; lp, √Σ x²; lse, log Σ exp x; each over all positions.

What else the paper compares (Section 4.1, Tables 1 to 3):

    spatial-channel    x' = M_s(x) · x,  y = M_c(x') · x'             order, Table 3                 (5)
    parallel           y = M_c(x) · M_s(x) · x                        order, Table 3                 (6)
    one gate           y = M_c(x) · x,  or  y = M_s(x) · x                                           (7)
    conv               M_s = σ(BN(f^{7×7}(w · x')))                   descriptor, Table 2            (8)

Place: on the residual branch of every block, after its last batch norm and before the addition.
Cost: three passes to read and one to write, 2C²/r + 2k²HW multiplications; O(C + HW) extra memory.
Deviations: paper, Eq. 3, stacks [avg; max] and names no batch norm | official code stacks [max; mean] and normalises
    the one-channel result, scale starting at 0 so that every gate starts at 1/2 | here as released, `norm=False` for
    the paper. The bias b₂ is added once for each pool, as released. Neither says how the two maps meet in the parallel
    arrangement: here both come from the same input and are multiplied on it. Paper compares no spatial gate alone
    and names no bias or norm of w in (8) | the release has neither | here `channel=False`, and w has none.
Errata: ports that add the input to the output, use a 49-wide kernel, leave out the max pool or the bottleneck, or take
    the sigmoid of each pool before the sum, are not this mechanism.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from regard.checks import bottleneck_width, check_input, choice, flag, positive, sequence
from regard.core import Attention
from regard.layers import Pointwise
from regard.ops import pooling

ORDERS = ("channel-spatial", "spatial-channel", "parallel")
DESCRIPTORS = ("pools", "conv")


class ConvBlockAttention(Attention):
    """Channel gate from several pools, then a spatial gate from two channel statistics.

    Args:
        channels: C of the input.
        reduction: r, how many times narrower the bottleneck is; the paper uses 16.
        hidden: width of the bottleneck itself, in place of `reduction`.
        pools: which global pools feed the bottleneck: any of avg, max, lp, lse.
        channel: whether there is a channel gate; without it the spatial gate stands alone.
        spatial: whether there is a spatial gate; without it the channel gate stands alone.
        descriptor: what the spatial gate's convolution reads: `pools`, maximum and mean over the channels, or `conv`,
            one map that a learned 1 × 1 convolution makes of them.
        kernel_size: k of the spatial gate's convolution, odd; the paper uses 7.
        norm: batch norm in the spatial gate, as in the official release.
        order: `channel-spatial` as published, `spatial-channel`, or `parallel`: both gates from the same input.

    Shapes: x `B C H W` -> `B C H W`. Maps: channel `B C 1 1` and spatial `B 1 H W`, both in (0, 1), as far as there is
        such a gate.
    Raises: ValueError for no gate at all, no or an unknown pool, an even kernel, a `reduction` that leaves no hidden
        channel, an unknown `descriptor`, or an unknown `order` or one of a single gate.
    """

    def __init__(
        self,
        channels: int,
        *,
        reduction: int = 16,
        hidden: int | None = None,
        pools: Sequence[str] = ("avg", "max"),
        channel: bool = True,
        spatial: bool = True,
        descriptor: str = DESCRIPTORS[0],
        kernel_size: int = 7,
        norm: bool = True,
        order: str = ORDERS[0],
    ) -> None:
        super().__init__()
        positive("channels", channels)
        positive("reduction", reduction)
        if hidden is not None:
            positive("hidden", hidden)
        if not flag("channel", channel) and not flag("spatial", spatial):
            raise ValueError("channel=False, spatial=False: one of the two gates is needed")
        self.pools = tuple(choice("pools", pool, pooling.GLOBAL_POOLS) for pool in sequence("pools", pools))
        if positive("kernel_size", kernel_size) % 2 == 0:
            raise ValueError(f"kernel_size={kernel_size}: an odd number is needed to keep the map's size")
        choice("order", order, ORDERS)
        choice("descriptor", descriptor, DESCRIPTORS)
        flag("norm", norm)
        if not (channel and flag("spatial", spatial)) and order != ORDERS[0]:
            missing = "spatial" if channel else "channel"
            raise ValueError(f"order={order!r}: {missing}=False leaves one gate, which has no order")
        self.channels, self.order = channels, order
        self.reduce = self.expand = None
        if channel:
            hidden = bottleneck_width(channels, reduction, hidden)
            self.reduce, self.expand = nn.Linear(channels, hidden), nn.Linear(hidden, channels)
        self.describe = Pointwise(channels, 1, bias=False) if spatial and descriptor == "conv" else None
        inputs = 2 if self.describe is None else 1
        self.conv = nn.Conv2d(inputs, 1, kernel_size, padding=kernel_size // 2, bias=False) if spatial else None
        self.norm = nn.BatchNorm2d(1, momentum=0.01) if spatial and norm else None
        if self.norm is not None:
            nn.init.zeros_(self.norm.weight)

    def channel_gate(self, x: Tensor) -> Tensor:
        assert self.reduce is not None and self.expand is not None
        pooled = torch.stack([pooling.GLOBAL_POOLS[pool](x) for pool in self.pools])  # [P, B, C]
        logits: Tensor = self.expand(self.reduce(pooled).relu()).sum(0)  # [B, C]
        return logits.sigmoid()[:, :, None, None]

    def spatial_gate(self, x: Tensor) -> Tensor:
        assert self.conv is not None
        if self.describe is None:
            read = torch.cat([pooling.channel_maximum(x), pooling.channel_average(x)], 1)  # [B, 2, H, W]
        else:
            read = self.describe(x.flatten(2)).unflatten(-1, x.shape[2:])  # [B, 1, H, W]
        logits: Tensor = self.conv(read)  # [B, 1, H, W]
        if self.norm is not None:
            logits = self.norm(logits)
        return logits.sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, "B C H W", C=self.channels)
        if self.conv is None:
            return x * self.see("channel", self.channel_gate(x))
        if self.reduce is None:
            return x * self.see("spatial", self.spatial_gate(x))
        if self.order == "parallel":
            return x * self.see("channel", self.channel_gate(x)) * self.see("spatial", self.spatial_gate(x))
        if self.order == "spatial-channel":
            x = x * self.see("spatial", self.spatial_gate(x))
            return x * self.see("channel", self.channel_gate(x))
        x = x * self.see("channel", self.channel_gate(x))
        return x * self.see("spatial", self.spatial_gate(x))
