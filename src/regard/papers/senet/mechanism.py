"""Squeeze-and-excitation: a channel gate from global average pooling and a two-layer bottleneck.

Squeeze-and-Excitation Networks. Hu, Shen, Albanie, Sun, Wu. CVPR 2018, arXiv:1709.01507.
Official code: hujie-frank/SENet (Caffe).

    z_c = 1/(HW) Σ_hw x_chw                          squeeze, Eq. 2          (1)
    s   = σ(W₂ relu(W₁ z + b₁) + b₂)                 excitation, Eq. 3       (2)
    y_c = s_c · x_c                                  scale, Eq. 4            (3)

Place: on the residual branch of every block, after its last batch norm and before the addition; after the activation
    of a block without one.
Cost: one pass to pool and one to scale, 2C²/r multiplications; O(C) extra memory.
Deviations: paper, Eq. 3, writes no biases | official Caffe layers have both | `bias=True` is the default here, and
    `bias=False` is the popular PyTorch port (moskomule). Hidden width is C // r as released; rounding it to multiples
    of 8 is timm's and available through `hidden`.
Errata: ports without the ReLU between the layers, or without the final sigmoid, are not this mechanism.
"""

from __future__ import annotations

from torch import Tensor, nn

from regard.checks import bottleneck_width, check_input, flag, positive
from regard.core import Attention
from regard.ops import pooling


class SqueezeExcite(Attention):
    """Channel gate from global average pooling and a two-layer bottleneck.

    Args:
        channels: C of the input.
        reduction: r, how many times narrower the bottleneck is; the paper uses 16.
        hidden: width of the bottleneck itself, in place of `reduction`.
        bias: biases in both layers, as in the official release.

    Shapes: x `B C H W` -> `B C H W`. Maps: channel `B C 1 1`, in (0, 1).
    Raises: ValueError for an argument out of range, a `reduction` that leaves no hidden channel, or another shape.
    """

    def __init__(self, channels: int, *, reduction: int = 16, hidden: int | None = None, bias: bool = True) -> None:
        super().__init__()
        self.channels = positive("channels", channels)
        hidden = bottleneck_width(channels, reduction, hidden)
        flag("bias", bias)
        self.reduce = nn.Conv2d(channels, hidden, 1, bias=bias)
        self.expand = nn.Conv2d(hidden, channels, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, "B C H W", C=self.channels)
        z = pooling.average(x)[:, :, None, None]  # [B, C, 1, 1]
        s = self.expand(self.reduce(z).relu()).sigmoid()  # [B, C, 1, 1]
        return x * self.see("channel", s)
