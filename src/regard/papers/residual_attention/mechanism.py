"""Residual attention: a trunk of residual units under a soft mask from a bottom-up, top-down branch.

Residual Attention Network for Image Classification. Wang, Jiang, Qian, Yang, Li, Zhang, Wang, Tang. CVPR 2017,
    arXiv:1704.06904.
Official code: fwang91/residual-attention-network (Caffe model definitions; no training code).

    x' = unit^p(x),  T = unit^t(x')                                   trunk                                  (1)
    d_1 = unit^r(pool x'),  d_i = unit^r(pool d_{i-1})                i = 2 … D, the last level 2r units     (2)
    u_D = d_D,  u_i = unit^r(unit(d_i) + resize u_{i+1})              i = D-1 … 1, to the size of d_i        (3)
    L = W₂ relu(BN(W₁ relu(BN(resize u_1))))                          to the size of T                       (4)
    M = σ(L) | L_p / |L_p|₂ | σ((L_c - mean L_c) / std L_c)           mixed, channel, spatial, Eqs. 4 to 6   (5)
    y = unit^p((1 + M) T) | unit^p(M T)                               residual, Eq. 3; naive, Eq. 1          (6)

    Pools are 3 × 3 with stride 2 and round up as in Caffe; resizing is bilinear and keeps the corners.

Place: in place of the residual units of a stage: D = 3 at 56 × 56 (stage 1, AttentionA), 2 at 28 × 28 (B), 1 at 14 × 14
    (C), one or more to a stage.
Cost: 2p + t units of (2C + 9h) h multiplications for each position, h = C/4, at most (2r + 1)/3 more of them in the
    mask branch, and 2C² for (4); O(CN) memory.
Deviations: a side of length 1 is no longer pooled, where Caffe fails. Units that end in a ReLU (resnext) feed W₁
    directly, as released. Paper names AttentionInception and gives no widths | no code is released | the unit of
    Inception-ResNet-A with three branches of C/8, about the parameters of the pre-activation unit. The released
    definitions are residual and mixed; the other masks and naive learning are the paper's. A constant map has spatial
    mask 1/2, and an all-zero position channel mask 0, where the formulas divide 0 by 0.
Errata: tengshaofeng's port adds the map that only sets the size of Caffe's Interp layer to the resized one, pads its
    pools, and carries a projection in each unit that it never uses: 47.6M parameters for 31.8M. It is another network.
"""

from __future__ import annotations

from collections.abc import Callable
from math import gcd

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regard.checks import bottleneck_width, check_input, check_norm_batch, choice, positive
from regard.core import Attention
from regard.ops import pooling


class _PreActivation(nn.Module):
    """x + W₃ relu(BN(W₂ relu(BN(W₁ relu(BN x)))))."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.norm0 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, hidden, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(hidden)
        self.conv2 = nn.Conv2d(hidden, hidden, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(hidden)
        self.conv3 = nn.Conv2d(hidden, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(self.norm0(x).relu_())
        h = self.conv2(self.norm1(h).relu_())
        y: Tensor = self.conv3(self.norm2(h).relu_()) + x
        return y


class _ResNeXt(nn.Module):
    """relu(x + BN(W₃ relu(BN(W₂ relu(BN(W₁ x)))))) with W₂ in groups."""

    def __init__(self, channels: int, hidden: int, groups: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, hidden, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(hidden)
        self.conv2 = nn.Conv2d(hidden, hidden, 3, padding=1, groups=groups, bias=False)
        self.norm2 = nn.BatchNorm2d(hidden)
        self.conv3 = nn.Conv2d(hidden, channels, 1, bias=False)
        self.norm3 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm1(self.conv1(x)).relu_()
        h = self.norm2(self.conv2(h)).relu_()
        y: Tensor = (self.norm3(self.conv3(h)) + x).relu_()
        return y


class _Inception(nn.Module):
    """relu(x + BN(W [1×1; 1×1, 3×3; 1×1, 3×3, 3×3] x)), each convolution in the branches with BN and ReLU."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()

        def conv(width: int, kernel_size: int) -> nn.Sequential:
            layer = nn.Conv2d(width, hidden, kernel_size, padding=kernel_size // 2, bias=False)
            return nn.Sequential(layer, nn.BatchNorm2d(hidden), nn.ReLU())

        self.branches = nn.ModuleList(
            nn.Sequential(conv(channels, 1), *(conv(hidden, 3) for _ in range(depth))) for depth in range(3)
        )
        self.project = nn.Conv2d(3 * hidden, channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.cat([branch(x) for branch in self.branches], 1)
        y: Tensor = (self.norm(self.project(h)) + x).relu_()
        return y


def _channel_mask(logits: Tensor) -> Tensor:
    """Eq. 5, channel: unit length over channels at each position."""
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return F.normalize(wide, dim=1, eps=1e-12).to(logits.dtype)


def _spatial_mask(logits: Tensor) -> Tensor:
    """Eq. 5, spatial: each channel's map standardised, then squashed."""
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    variance, mean = torch.var_mean(wide, (2, 3), correction=0, keepdim=True)
    return ((wide - mean) * variance.clamp_min(1e-12).rsqrt()).sigmoid().to(logits.dtype)


LEARNING = ("residual", "naive")
MASKS: dict[str, Callable[[Tensor], Tensor]] = {
    "mixed": torch.sigmoid,
    "channel": _channel_mask,
    "spatial": _spatial_mask,
}
WIDTHS = {"preact": 4, "resnext": 2, "inception": 8}  # how many times narrower than its output a unit is inside


class ResidualAttention(Attention):
    """Trunk of residual units under a soft mask from a bottom-up, top-down branch.

    Args:
        channels: C of the input.
        depth: D, how often the mask branch halves the map: 3, 2 and 1 in the paper's stages 1, 2 and 3.
        p: units before the branches part, and again after they meet.
        t: units of the trunk.
        r: units of the mask branch between two neighbouring sizes.
        unit: preact, resnext or inception.
        hidden: width inside a unit; None takes C // 4, C // 2 and C // 8 in the order of the units.
        groups: of the 3 × 3 convolution of resnext; None takes the largest number up to 32 that suits 32 and the width.
        mask: mixed, channel or spatial normalisation.
        learning: residual, (1 + M) T, or naive, M T.

    Shapes: x `B C H W` -> `B C H W`. Maps: spatial `B C H W`, the mask M: in (0, 1) for mixed and spatial, of unit
        length over channels for channel.
    Raises: ValueError for an argument out of range, groups that do not divide the width, a bottleneck of no channel,
        another shape, and a training batch that leaves a single value for each channel.
    """

    def __init__(
        self,
        channels: int,
        *,
        depth: int = 1,
        p: int = 1,
        t: int = 2,
        r: int = 1,
        unit: str = "preact",
        hidden: int | None = None,
        groups: int | None = None,
        mask: str = "mixed",
        learning: str = "residual",
    ) -> None:
        super().__init__()
        self.channels = positive("channels", channels)
        for name, count in (("depth", depth), ("p", p), ("t", t), ("r", r)):
            positive(name, count)
        choice("unit", unit, WIDTHS)
        choice("mask", mask, MASKS)
        choice("learning", learning, LEARNING)
        hidden = bottleneck_width(channels, WIDTHS[unit], hidden)
        groups = gcd(hidden, 32) if groups is None else positive("groups", groups)
        if unit == "resnext" and hidden % groups:
            raise ValueError(f"groups={groups}: a divisor of {hidden}, the width of the 3 × 3 convolution, is needed")

        def units(count: int) -> nn.Sequential:
            if unit == "resnext":
                return nn.Sequential(*(_ResNeXt(channels, hidden, groups) for _ in range(count)))
            make = _PreActivation if unit == "preact" else _Inception
            return nn.Sequential(*(make(channels, hidden) for _ in range(count)))

        self.mask = mask
        self.residual = learning == "residual"
        self.pre = units(p)
        self.trunk = units(t)
        self.down = nn.ModuleList(units(r if level < depth else 2 * r) for level in range(1, depth + 1))
        self.skip = nn.ModuleList(units(1) for _ in range(depth - 1))
        self.up = nn.ModuleList(units(r) for _ in range(depth - 1))
        self.norm0 = nn.BatchNorm2d(channels) if unit == "preact" else None
        self.conv1 = nn.Conv2d(channels, channels, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 1, bias=False)
        self.post = units(p)

    def logits(self, x: Tensor) -> Tensor:
        """L of Eqs. 2 to 4: `B C H W` -> `B C H W`."""
        levels = [x]
        for units in self.down:
            pooled = pooling.halved_maximum(levels[-1], 3)
            check_norm_batch(self.norm1, pooled)
            levels.append(units(pooled))
        u = levels[-1]
        for level in range(len(self.skip) - 1, -1, -1):
            d = levels[level + 1]
            u = self.up[level](self.skip[level](d) + _resized(u, d))
        u = _resized(u, x)
        u = u if self.norm0 is None else self.norm0(u).relu_()
        y: Tensor = self.conv2(self.norm1(self.conv1(u)).relu_())
        return y

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, "B C H W", C=self.channels)
        x = self.pre(x)
        mask = self.see("spatial", MASKS[self.mask](self.logits(x)))  # [B, C, H, W]
        trunk = self.trunk(x)
        y = mask * trunk
        output: Tensor = self.post(y.add_(trunk) if self.residual else y)
        return output


def _resized(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, like.shape[2:], mode="bilinear", align_corners=True)
