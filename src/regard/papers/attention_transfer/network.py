"""Wide ResNet: a residual network for small images, of few layers and any width, that shows its activations.

Wide Residual Networks. Zagoruyko, Komodakis. BMVC 2016, arXiv:1605.07146.
Official code: szagoruyko/attention-transfer (PyTorch), szagoruyko/wide-residual-networks (Torch 7).

    o = relu(BN(x))                                                    block, Figure 1d                 (1)
    y = P(o or x) + W_2 relu(BN(W_1 o))                                P: 1 × 1 of o where widths change (2)
    F(A)_n = 1/C Σ_c A_cn²                                             shown of each group              (3)

    Three groups of (d - 4) / 6 blocks, 16 k, 32 k and 64 k wide for depth d and width k; the first block of the second
    and of the third halves the resolution. BN, ReLU, average over positions and a linear layer end it.

Place: teacher and student of attention transfer (arXiv:1612.03928) on CIFAR: (3) of the three groups' outputs is what
    is handed over.
Cost: 9 · 16² k² (d - 4) N multiplications for N pixels, about, a third in each group; WRN-16-1 at 32 × 32: 27 million,
    and 0.18 million parameters.
Deviations: paper has dropout between W_1 and W_2 in some experiments | the code for attention transfer has none | none.
    The official code averages over 8 × 8 positions | here over all, the same at 32 × 32. A `stem_stride` is ours, for
    larger images. Weights start as N(0, 2 / fan-in), as released; norms' weights at 1, released: uniform in 0..1.
Errata: in several ports P takes x; here, as released, the o that the block's first norm and ReLU have made of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from torch import Tensor, nn

from regard.checks import LARGEST, check_input, check_norm_batch, number, positive
from regard.core import Attention
from regard.ops import pooling
from regard.ops.precision import widened


class _Block(nn.Module):
    """Equations (1) and (2)."""

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, out, 3, stride=stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.project = nn.Conv2d(channels, out, 1, stride=stride, bias=False) if channels != out else None

    def forward(self, x: Tensor) -> Tensor:
        check_norm_batch(self.norm1, x)
        o = self.norm1(x).relu()
        y = self.conv1(o)
        check_norm_batch(self.norm2, y)
        y = self.conv2(self.norm2(y).relu())
        total: Tensor = y + (x if self.project is None else self.project(o))
        return total


class WideResNet(Attention):
    """Wide ResNet: a residual network for small images, of few layers and any width.

    Args:
        channels: channels of the image.
        classes: number of classes.
        depth: d, 6 n + 4 layers for n blocks in each of the three groups.
        width: k, the factor on 16, 32 and 64 channels; may be a fraction.
        stem_stride: of the first convolution; 2 for images of twice the size.

    Shapes: `B C H W` -> `B classes`.
    Maps: activation `B 1 h w`, equation (3): one look for each group, none negative.
    Raises: ValueError for a depth that is not 6 n + 4, a width that leaves no channel, or an argument that is not
        positive.
    """

    def __init__(
        self, channels: int = 3, *, classes: int = 10, depth: int = 16, width: float = 1.0, stem_stride: int = 1
    ) -> None:
        super().__init__()
        self.channels = positive("channels", channels)
        positive("classes", classes)
        positive("stem_stride", stem_stride)
        if positive("depth", depth) < 10 or (depth - 4) % 6:
            raise ValueError(f"depth={depth}: 10, 16, 22, 28 or another in steps of 6 is needed")
        number("width", width, least=1 / 16, most=LARGEST / 64)
        self.stem = nn.Conv2d(channels, 16, 3, stride=stem_stride, padding=1, bias=False)
        widths = [16, *(int(n * width) for n in (16, 32, 64))]
        blocks = (depth - 4) // 6
        groups = [
            nn.Sequential(
                _Block(before, after, 1 if i == 0 else 2), *(_Block(after, after, 1) for _ in range(blocks - 1))
            )
            for i, (before, after) in enumerate(pairwise(widths))
        ]
        self.groups: Iterable[nn.Module] = nn.ModuleList(groups)
        self.norm = nn.BatchNorm2d(widths[-1])
        self.classify = nn.Linear(widths[-1], classes)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(layer.weight)
        nn.init.zeros_(self.classify.bias)

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, "B C H W", C=self.channels)
        y = self.stem(x)
        for group in self.groups:
            y = group(y)
            if self.watched:
                self.show("activation", widened(y).square().mean(1, keepdim=True))
        check_norm_batch(self.norm, y)
        scores: Tensor = self.classify(pooling.average(self.norm(y).relu()))
        return scores
