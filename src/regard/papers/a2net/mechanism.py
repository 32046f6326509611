"""Double attention: a few descriptors are gathered from all positions, and distributed to every position.

A²-Nets: Double Attention Networks. Chen, Kalantidis, Li, Yan, Feng. NIPS 2018, arXiv:1810.11579.
Official code: none public; nguyenvo09/Double-Attention-Network is the port that the parity is measured against.

    A = W_A x + b_A,  m channels;   B = W_B x + b_B,  V = W_V x + b_V,  n channels                   (1)
    G = A softmax_N(B)ᵀ                              m × n, gather over the positions               (2)
    Z = G softmax_n(V)                               m × N, distribute over the descriptors         (3)
    y = x + W_E Z + b_E                              residual block; Eqs. 4 to 7 together            (4)

    N positions. Both softmaxes sum to 1, so the layers of A and of (4) may act on the n descriptors instead of on the N
    positions: A softmax(B)ᵀ = W_A (x softmax(B)ᵀ) + b_A, and W_E (G softmax(V)) + b_E = (W_E G + b_E) softmax(V).

Place: a residual unit of its own in the middle of a network, such as after a block of stage 4 of a ResNet-50.
Cost: 4NCn multiplications that way, 2N(Cm + Cn + mn) the other way, whichever is less; memory O(Nn). No N × N matrix.
Deviations: the paper's block adds its result to x | the port returns Z, or W_E Z + b_E, alone | `residual=True` by
    default, `residual=False` for the port, with `expand=False` for Z. m and n default to C / 4.
Errata: ports that take the softmax without naming the axis (over the batch, in old PyTorch), that gather by the mean of
    A softmax(B) and so divide once more by N, or that take both softmaxes over one axis, are not this mechanism.
"""

from __future__ import annotations

import torch
from torch import Tensor

from regard.checks import bottleneck_width, check_input, flag, positive
from regard.core import Attention
from regard.layers import Pointwise


class DoubleAttention(Attention):
    """Gathers a few descriptors from all positions and distributes them to every position.

    Args:
        channels: C of the input.
        reduction: how many times fewer than C both m and n are; the paper uses 4.
        hidden: m, the width of a descriptor, in place of `reduction`.
        descriptors: n, how many descriptors there are, in place of `reduction`.
        expand: whether W_E brings the result back to C channels.
        residual: whether the result is added to x.

    Shapes: x `B C H W` -> `B C H W`, or `B hidden H W` without `expand`; any number of axes may follow the channels.
    Maps: gather `B G H W`, each of the G descriptors' weights over the positions, which sum to 1; distribute
        `B G H W`, each position's weights over the descriptors, which sum to 1.
    Raises: ValueError for a `reduction` that leaves nothing, or for `residual` where the result has no C channels.
    """

    def __init__(
        self,
        channels: int,
        *,
        reduction: int = 4,
        hidden: int | None = None,
        descriptors: int | None = None,
        expand: bool = True,
        residual: bool = True,
    ) -> None:
        super().__init__()
        hidden = bottleneck_width(channels, reduction, hidden)
        width = bottleneck_width(channels, reduction) if descriptors is None else positive("descriptors", descriptors)
        flag("expand", expand)
        if flag("residual", residual) and not expand and hidden != channels:
            raise ValueError(
                f"residual=True: expand=True or hidden={channels} is needed, since hidden={hidden} channels cannot be "
                f"added to channels={channels}"
            )
        self.channels, self.residual = channels, residual
        self.narrow = hidden * (channels + width) < channels * width
        self.project = Pointwise(channels, hidden)
        self.gather = Pointwise(channels, width)
        self.distribute = Pointwise(channels, width)
        self.expand = Pointwise(hidden, channels) if expand else None

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, "B C *", C=self.channels)
        n, grid = x.flatten(2), x.shape[2:]  # [B, C, N]
        b = self.gather(n).softmax(2)  # [B, G, N]
        v = self.distribute(n).softmax(1)  # [B, G, N]
        b = self.see("gather", b.unflatten(2, grid)).flatten(2)
        v = self.see("distribute", v.unflatten(2, grid)).flatten(2)
        if self.narrow:
            z = (self.project(n) @ b.mT) @ v  # [B, m, N]
            z = z if self.expand is None else self.expand(z)
            y = z + n if self.residual else z
        else:
            g = self.project(n @ b.mT)  # [B, m, G]
            g = g if self.expand is None else self.expand(g)
            y = torch.baddbmm(n, g, v) if self.residual else g @ v
        maps: Tensor = y.unflatten(2, grid)
        return maps
