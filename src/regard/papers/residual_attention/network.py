"""Residual attention networks, Attention-56 to Attention-452: residual units and residual attention modules.

Residual Attention Network for Image Classification. Wang, Jiang, Qian, Yang, Li, Zhang, Wang, Tang. CVPR 2017,
    arXiv:1704.06904.
Official code: fwang91/residual-attention-network (Caffe model definitions; no training code).

    x_0 = pool relu(BN(W x))                                 7 × 7 with stride 2; CIFAR: 3 × 3 and no pool     (1)
    x_s = A_s^{m_s}(change_s(x_{s-1}))                       s = 1, 2, 3: 4w, 8w, 16w channels, Table 2       (2)
    x_4 = unit(unit(change_4(x_3)))                          32w channels                                     (3)
    y   = W average(relu(BN x_4)) + b                                                                         (4)

    A_s is `residual_attention` whose mask is halved 4 - s times, change_s a unit with a projection on its shortcut and
    stride 1, 2, 2, 2. On CIFAR x_s = unit(A_s^{m_s}(change_s(x_{s-1}))), two units to each of three stages, and x_3
    stands for x_4. Either way depth is 20 + 3 (2p + t) (m_1 + m_2 + m_3) on the trunk: 56, 92, 128, 164 and 236 for
    m = 1, 2, 3, 4 and 6 in every stage with p = 1, t = 2 and r = 1, 452 for m = 6 with p = 2, t = 4 and r = 3;
    ImageNet's Attention-92 has 1, 2 and 3 modules.

Place: image classification, and as a backbone; every mask shows where a stage looks, for each channel.
Cost: Attention-56 has 31.8M parameters and 6.2 · 10⁹ multiplications at 224 × 224, Attention-92 52.5M and 10.4 · 10⁹;
    O(CN) memory.
Deviations: paper, Table 2, counts 31.9M and 51.3M | the released definitions have 31,810,728 and 52,466,344 | as
    released. The final map is averaged whole, where the definitions average 7 × 7. AttentionNeXt (unit="resnext"):
    units end in a ReLU, so the norm of (4) falls away, as released. Paper names AttentionInception and gives no widths
    | no code is released | the unit of `residual_attention`. CIFAR: the paper (Section 4.1) gives three stages, two
    more units in each, m, p, t and r; neither stem, widths nor the place of the second unit are published | none is
    released | the stem and the widths of ResNet-164, which start at 16, and the second unit ends its stage. With 100
    classes Attention-92 and -236 then have 1.86M and 5.11M parameters, in the paper's table 1.9M and 5.1M;
    Attention-452 has 10.20M, in the table 8.6M, which no reading of p, t and r gives together with the other two. So
    the paper's errors stand beside Attention-92 and -236, and not beside Attention-452.
Errata: AttentionNeXt-92's definition feeds the classifier a layer that it lacks (ave_pool_gather); it means (4).
    tengshaofeng's port of Attention-56 has 47.6M parameters and computes other masks; see `residual_attention`. Its
    Attention-92 for 32 × 32 has 19.9M, ten times the paper's: widths from 128 to 1024, and four stages.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd

import torch
from torch import Tensor, nn

from regard.checks import check_input, check_norm_batch, choice, positive, whole_numbers
from regard.ops import pooling
from regard.papers.residual_attention.mechanism import LEARNING, MASKS, WIDTHS, ResidualAttention

_STEMS = ("imagenet", "cifar")
_IMAGENET_92 = (1, 2, 3)


def unit_counts(depth: int) -> tuple[int, int, int]:
    """p, t and r of the network that the paper calls Attention-`depth`."""
    return (2, 4, 3) if depth == 452 else (1, 2, 1)


def module_counts(depth: int, *, stem: str = "imagenet", units: int = 4) -> tuple[int, int, int]:
    """m_1, m_2 and m_3 of the network that the paper calls Attention-`depth`, with 2p + t `units` to a module.

    Raises: ValueError if no network of three equal stages has that depth.
    """
    if depth == 92 and stem == "imagenet" and units == 4:
        return _IMAGENET_92
    step = 9 * units
    count, rest = divmod(positive("depth", depth) - 20, step)
    if rest or count < 1:
        few = ", ".join(str(20 + step * m) for m in range(1, 5))
        raise ValueError(f"depth={depth}: {few} or another in steps of {step} is needed, or give modules=")
    return count, count, count


class _PreActivation(nn.Module):
    """s + W₃ relu(BN(W₂ relu(BN(W₁ h)))), h = relu(BN x); s is x, or a projection of h."""

    def __init__(self, channels: int, out: int, stride: int, project: bool) -> None:
        super().__init__()
        hidden = _inside("preact", out)
        self.norm0 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, hidden, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(hidden)
        self.conv2 = nn.Conv2d(hidden, hidden, 3, stride=stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(hidden)
        self.conv3 = nn.Conv2d(hidden, out, 1, bias=False)
        self.project = nn.Conv2d(channels, out, 1, stride=stride, bias=False) if project else None

    def forward(self, x: Tensor) -> Tensor:
        check_norm_batch(self.norm0, x)
        h = self.norm0(x).relu_()
        shortcut = x if self.project is None else self.project(h)
        h = self.conv2(self.norm1(self.conv1(h)).relu_())
        check_norm_batch(self.norm2, h)
        y: Tensor = self.conv3(self.norm2(h).relu_()) + shortcut
        return y


class _ResNeXt(nn.Module):
    """relu(s + BN(W₃ relu(BN(W₂ relu(BN(W₁ x)))))), W₂ in groups; s is x, or a projection of x with BN."""

    def __init__(self, channels: int, out: int, stride: int, project: bool, groups: int | None) -> None:
        super().__init__()
        hidden = _inside("resnext", out)
        groups = gcd(hidden, 32) if groups is None else groups
        if hidden % groups:
            raise ValueError(f"groups={groups}: a divisor of {hidden}, the width of a 3 × 3 convolution, is needed")
        self.conv1 = nn.Conv2d(channels, hidden, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(hidden)
        self.conv2 = nn.Conv2d(hidden, hidden, 3, stride=stride, padding=1, groups=groups, bias=False)
        self.norm2 = nn.BatchNorm2d(hidden)
        self.conv3 = nn.Conv2d(hidden, out, 1, bias=False)
        self.norm3 = nn.BatchNorm2d(out)
        self.project = nn.Conv2d(channels, out, 1, stride=stride, bias=False) if project else None
        self.project_norm = nn.BatchNorm2d(out) if project else None

    def forward(self, x: Tensor) -> Tensor:
        check_norm_batch(self.norm1, x)
        h = self.conv2(self.norm1(self.conv1(x)).relu_())
        check_norm_batch(self.norm2, h)
        h = self.norm3(self.conv3(self.norm2(h).relu_()))
        y: Tensor = h.add_(_shortcut(self, x)).relu_()
        return y


class _Inception(nn.Module):
    """relu(s + BN(W [1×1; 1×1, 3×3; 1×1, 3×3, 3×3] x)), every branch with BN and ReLU; s as in _ResNeXt."""

    def __init__(self, channels: int, out: int, stride: int, project: bool) -> None:
        super().__init__()
        hidden = _inside("inception", out)

        def branch(depth: int) -> nn.Sequential:
            layers: list[nn.Module] = []
            for i in range(depth + 1):
                size, step = (3, 1) if i else (1, stride)
                conv = nn.Conv2d(hidden if i else channels, hidden, size, step, padding=size // 2, bias=False)
                layers += [conv, nn.BatchNorm2d(hidden), nn.ReLU()]
            return nn.Sequential(*layers)

        self.branches = nn.ModuleList(branch(depth) for depth in range(3))
        self.merge = nn.Conv2d(3 * hidden, out, 1, bias=False)
        self.norm = nn.BatchNorm2d(out)
        self.project = nn.Conv2d(channels, out, 1, stride=stride, bias=False) if project else None
        self.project_norm = nn.BatchNorm2d(out) if project else None

    def forward(self, x: Tensor) -> Tensor:
        shortcut = _shortcut(self, x)
        h = torch.cat([branch(x) for branch in self.branches], 1)
        y: Tensor = self.norm(self.merge(h)).add_(shortcut).relu_()
        return y


def _inside(unit: str, out: int) -> int:
    return max(out // WIDTHS[unit], 1)


def _shortcut(unit: _ResNeXt | _Inception, x: Tensor) -> Tensor:
    if unit.project is None or unit.project_norm is None:
        return x
    x = unit.project(x)
    check_norm_batch(unit.project_norm, x)
    shortcut: Tensor = unit.project_norm(x)
    return shortcut


class ResidualAttentionNetwork(nn.Module):
    """Classification network of residual units and residual attention modules.

    Args:
        channels: channels of the image.
        classes: number of classes.
        depth: 56, 92, 128, 164, 236 or 452, the number in the paper's name of the network.
        modules: m_1, m_2 and m_3, attention modules in each stage, in place of `depth`; 0 leaves a stage without.
        p: units of a module before its branches part, and again after they meet; None takes 2 for depth 452, else 1.
        t: units of a module's trunk; None takes 4 for depth 452, else 2.
        r: units of a module's mask branch between two neighbouring sizes; None takes 3 for depth 452, else 1.
        unit: preact, resnext (AttentionNeXt) or inception (AttentionInception).
        groups: of the 3 × 3 convolutions of resnext; None takes the largest number up to 32 that suits the width.
        width: w, of the stem; the stages have 4, 8, 16 and 32 times as many channels. 64 on ImageNet, 16 on CIFAR.
        stem: imagenet, which starts at a quarter of the size and has four stages, or cifar, which keeps the size and
            has three.
        mask: mixed, channel or spatial normalisation of the masks.
        learning: residual, (1 + M) T, or naive, M T.

    Shapes: x `B C H W` -> logits `B K`. Maps: spatial `B D H W` of every module, as in `residual_attention`.
    Raises: ValueError for an argument out of range, fewer or more than three stages, images of another shape, and a
        training batch that leaves a single value for each channel.
    """

    def __init__(
        self,
        channels: int = 3,
        *,
        classes: int = 1000,
        depth: int = 56,
        modules: Sequence[int] | None = None,
        p: int | None = None,
        t: int | None = None,
        r: int | None = None,
        unit: str = "preact",
        groups: int | None = None,
        width: int = 64,
        stem: str = "imagenet",
        mask: str = "mixed",
        learning: str = "residual",
    ) -> None:
        super().__init__()
        self.channels = positive("channels", channels)
        positive("classes", classes)
        choice("stem", stem, _STEMS)
        choice("unit", unit, WIDTHS)
        choice("mask", mask, MASKS)
        choice("learning", learning, LEARNING)
        usual = unit_counts(positive("depth", depth))
        p, t, r = (
            own if given is None else positive(name, given)
            for name, given, own in zip("ptr", (p, t, r), usual, strict=True)
        )
        counts: Sequence[int]
        if modules is not None:
            counts = whole_numbers("modules", modules, 0, count=3)
        else:
            counts = module_counts(depth, stem=stem, units=2 * p + t)
        if groups is not None:
            positive("groups", groups)
        positive("width", width)

        def units(channels: int, out: int, stride: int, project: bool = True) -> nn.Module:
            if unit == "resnext":
                return _ResNeXt(channels, out, stride, project, groups)
            return (_PreActivation if unit == "preact" else _Inception)(channels, out, stride, project)

        size, stride = (7, 2) if stem == "imagenet" else (3, 1)
        self.pooled = stem == "imagenet"
        self.conv = nn.Conv2d(channels, width, size, stride, padding=size // 2, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.changes = nn.ModuleList()
        self.stages = nn.ModuleList()
        self.ends = nn.ModuleList()
        before = width
        for stage, count in enumerate(counts):
            out = 4 * 2**stage * width
            attention = (
                ResidualAttention(
                    out, depth=3 - stage, p=p, t=t, r=r, unit=unit, groups=groups, mask=mask, learning=learning
                )
                for _ in range(count)
            )
            self.changes.append(units(before, out, 2 if stage else 1))
            self.stages.append(nn.Sequential(*attention))
            if stem == "cifar":
                self.ends.append(units(out, out, 1, project=False))
            before = out
        final = before
        self.change = None
        if stem == "imagenet":
            final = 2 * before
            self.change = units(before, final, 2)
            self.units = nn.Sequential(*(units(final, final, 1, project=False) for _ in range(2)))
        self.final_norm = nn.BatchNorm2d(final) if unit == "preact" else None
        self.classify = nn.Linear(final, classes)

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, "B C H W", C=self.channels)
        x = self.conv(x)
        check_norm_batch(self.norm, x)
        x = self.norm(x).relu_()
        x = pooling.halved_maximum(x, 3) if self.pooled else x
        for i, (change, stage) in enumerate(zip(self.changes, self.stages, strict=True)):
            x = stage(change(x))
            x = self.ends[i](x) if self.ends else x
        x = x if self.change is None else self.units(self.change(x))
        x = x if self.final_norm is None else self.final_norm(x).relu_()
        logits: Tensor = self.classify(pooling.average(x))
        return logits
