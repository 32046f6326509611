"""Concurrent squeeze-and-excitation: a channel gate, a spatial gate, and both, for dense prediction.

Concurrent Spatial and Channel Squeeze & Excitation in Fully Convolutional Networks. Roy, Navab, Wachinger. MICCAI 2018,
arXiv:1803.02579. Official code: ai-med/squeeze_and_excitation.

    c = σ(W₂ relu(W₁ mean_hw(x) + b₁) + b₂)          cSE, Eq. 2                                      (1)
    s_hw = σ(w · x_hw + b)                           sSE, Eq. 3                                      (2)
    y = max(c · x, s · x)   or   c · x + s · x       scSE                                            (3)

Place: after every encoder and decoder block of a U-Net-like network.
Cost: one pass to pool, one to project, one to scale; C² + CHW multiplications; O(C + HW) extra memory.
Deviations: paper (MICCAI) adds the two products | official code takes the elementwise maximum | default `merge="max"`,
    `merge="add"` for the paper and for segmentation-models-pytorch, which also sets r to 16. r is 2 as released.
Errata: ports of cSE without the ReLU between the layers are not this mechanism.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regard.checks import bottleneck_width, check_input, choice, positive
from regard.core import Attention
from regard.ops import pooling
from regard.ops.convolution import convolved


class _ChannelGate(nn.Module):
    """c of Eq. 1: `B C H W` -> `B C 1 1`."""

    def __init__(self, channels: int, reduction: int, hidden: int | None) -> None:
        super().__init__()
        hidden = bottleneck_width(channels, reduction, hidden)
        self.reduce = nn.Linear(channels, hidden)
        self.expand = nn.Linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        gate: Tensor = self.expand(self.reduce(pooling.average(x)).relu()).sigmoid()[:, :, None, None]
        return gate


class _SpatialGate(nn.Module):
    """s of Eq. 2: `B C H W` -> `B 1 H W`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.project = nn.Conv2d(channels, 1, 1)

    def forward(self, x: Tensor, weights: Tensor | None = None) -> Tensor:
        if weights is None:
            return convolved(self.project, x).sigmoid()
        return F.conv2d(x, weights.mean(0).reshape(1, -1, 1, 1)).sigmoid()


def _added(x: Tensor, c: Tensor, s: Tensor) -> Tensor:
    """c · x + s · x in the layout of x: the sum of a channel and a spatial gate is never channels-last."""
    return x * (c + s) if x.is_contiguous() else torch.addcmul(x * c, x, s)


def _larger(x: Tensor, c: Tensor, s: Tensor) -> Tensor:
    """max(c · x, s · x), as half the sum plus half the distance where a gradient is wanted.

    The gradients are those of `maximum`, half and half at ties, at half its cost; only its forward pass is cheaper.
    """
    if not (torch.is_grad_enabled() and x.requires_grad):
        return torch.maximum(x * c, x * s)
    c, s = c / 2, s / 2
    return torch.addcmul((x * (c - s)).abs(), x, c + s)


class ChannelSqueezeExcite(Attention):
    """Channel gate (cSE): squeeze-and-excitation with a wider bottleneck.

    Args:
        channels: C of the input.
        reduction: r, how many times narrower the bottleneck is; the paper uses 2.
        hidden: width of the bottleneck itself, in place of `reduction`.

    Shapes: x `B C H W` -> `B C H W`. Maps: channel `B C 1 1`, in (0, 1).
    Raises: ValueError for an argument out of range, a `reduction` that leaves no hidden channel, or another shape.
    """

    def __init__(self, channels: int, *, reduction: int = 2, hidden: int | None = None) -> None:
        super().__init__()
        self.channels = positive("channels", channels)
        self.channel_gate = _ChannelGate(channels, reduction, hidden)

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, "B C H W", C=self.channels)
        return x * self.see("channel", self.channel_gate(x))


class SpatialSqueezeExcite(Attention):
    """Spatial gate (sSE) from a projection of the channels to one.

    Args:
        channels: C of the input.

    Shapes: x `B C H W` -> `B C H W`; weights `N C` or `N C 1 1`, optional, whose mean over N stands in for the learned
        projection without its bias (the released code's few-shot use). Maps: spatial `B 1 H W`, in (0, 1).
    Raises: ValueError for an argument out of range, or inputs of other shapes.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = positive("channels", channels)
        self.spatial_gate = _SpatialGate(channels)

    def forward(self, x: Tensor, weights: Tensor | None = None) -> Tensor:
        check_input(x, "B C H W", C=self.channels)
        if weights is not None:
            check_input(weights, "N C 1 1" if weights.ndim == 4 else "N C", C=self.channels)
        return x * self.see("spatial", self.spatial_gate(x, weights))


class ConcurrentSqueezeExcite(Attention):
    """Channel gate and spatial gate in parallel (scSE).

    Args:
        channels: C of the input.
        reduction: r, how many times narrower the channel gate's bottleneck is; the paper uses 2.
        hidden: width of the bottleneck itself, in place of `reduction`.
        merge: "max" as released, or "add" as in the paper.

    Shapes: x `B C H W` -> `B C H W`. Maps: channel `B C 1 1` and spatial `B 1 H W`, both in (0, 1).
    Raises: ValueError for an argument out of range, a `reduction` that leaves no hidden channel, or another shape.
    """

    def __init__(self, channels: int, *, reduction: int = 2, hidden: int | None = None, merge: str = "max") -> None:
        super().__init__()
        self.channels = positive("channels", channels)
        choice("merge", merge, ("max", "add"))
        self.merge = merge
        self.channel_gate = _ChannelGate(channels, reduction, hidden)
        self.spatial_gate = _SpatialGate(channels)

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, "B C H W", C=self.channels)
        c = self.see("channel", self.channel_gate(x))
        s = self.see("spatial", self.spatial_gate(x))
        return _added(x, c, s) if self.merge == "add" else _larger(x, c, s)
