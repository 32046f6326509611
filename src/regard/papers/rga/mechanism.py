"""Relation-aware attention: gates for positions and channels, from each one's affinities with all others.

Relation-Aware Global Attention for Person Re-identification. Zhang, Lan, Zeng, Jin, Chen. CVPR 2020, arXiv:1904.02998.
Official code: microsoft/Relation-Aware-Global-Attention-Networks.

    θ = relu(BN(W_θ x)),  φ = relu(BN(W_φ x)),  o = relu(BN(W_o x))       of each node                (1)
    G_ij = θ_i · φ_j                                                      affinity, Eq. 1             (2)
    r_i = relu(BN(W_r [G_i1 … G_in, G_1i … G_ni]))                        relation vector, Eq. 2      (3)
    a_i = σ(BN(w₂ relu(BN(W₁ [mean(o_i), r_i]))))                         attention, Eq. 3            (4)
    y_i = a_i x_i                                                                                     (5)

    A node is a position, with its C channels as features, or a channel, with its N = HW positions. As G is a product,
    W_r [G, Gᵀ] = (W_r' φᵀ) θ + (W_r'' θᵀ) φ, so that G is not formed.

Place: after each of the four stages of a ResNet-50, spatial first and channel then.
Cost: for n nodes with F features, reduced to n/s and F/t: 3nF²/t + 4n²F/(st) multiplications, n²/s memory; n² with
    the matrix G only when watched. Built for one size of the map.
Deviations: none between paper and code. With `grid` a single number, any map of so many positions is taken, as
    released.
Errata: codes that apply a softmax to G, that keep only its rows or only its columns, or that leave out the node's own
    feature, are not this mechanism.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from regard.checks import check_input, check_norm_batch, flag, positive, whole_numbers
from regard.core import Attention
from regard.layers import Pointwise
from regard.ops.precision import uncast, wide_norm, widened


class _Embedding(nn.Module):
    """Eq. 1: `B F n` -> `B F/t n`."""

    def __init__(self, features: int, out: int) -> None:
        super().__init__()
        self.project = Pointwise(features, out, bias=False)
        self.norm = nn.BatchNorm1d(out)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(self.project(x)).relu_()
        return y


class _Relations(nn.Module):
    """The gate of n nodes, from embeddings of width `inner` and relation vectors of width `relations`."""

    def __init__(self, features: int, nodes: int, *, inner: int, relations: int, reduction: int) -> None:
        super().__init__()
        hidden = (1 + relations) // reduction
        if hidden < 1:
            raise ValueError(
                f"gate_reduction={reduction}: at most {1 + relations} is needed for a gate over {nodes} nodes"
            )
        self.theta = _Embedding(features, inner)
        self.phi = _Embedding(features, inner)
        self.own = _Embedding(features, inner)
        self.relate = Pointwise(2 * nodes, relations, bias=False)
        self.relate_norm = nn.BatchNorm1d(relations)
        self.reduce = Pointwise(1 + relations, hidden, bias=False)
        self.reduce_norm = nn.BatchNorm1d(hidden)
        self.expand = Pointwise(hidden, 1, bias=False)
        self.expand_norm = nn.BatchNorm1d(1)

    def forward(self, x: Tensor, see: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """`B F n` -> a `B 1 n`; sums of products of features need float32.

        Args:
            see: called with G, `B n n`, which is formed for it; what it returns is used.
        """
        check_norm_batch(self.expand_norm, x[:, :1])
        theta, phi, own = (widened(embed(x)) for embed in (self.theta, self.phi, self.own))
        with uncast(x):
            relate = widened(self.relate.weight)  # [n/s, 2n]
            rows, columns = relate[:, : x.shape[2]], relate[:, x.shape[2] :]
            if see is None:
                r = torch.baddbmm((phi @ rows.T).mT @ theta, (theta @ columns.T).mT, phi)  # [B, n/s, n]
            else:
                pairs = see(theta.mT @ phi)
                r = rows @ pairs.mT + columns @ pairs
            r = wide_norm(self.relate_norm, r).relu_()
            first = widened(self.reduce.weight).expand(x.shape[0], -1, -1)
            own = own.sum(1, keepdim=True) / own.shape[1]
            a = torch.baddbmm(first[:, :, :1] * own, first[:, :, 1:], r)
            a = wide_norm(self.reduce_norm, a).relu_()
            a = wide_norm(self.expand_norm, widened(self.expand.weight).expand(x.shape[0], -1, -1) @ a)
        gate: Tensor = a.sigmoid().to(x.dtype)
        return gate


class RelationAware(Attention):
    """Gates for positions and for channels, from each one's affinities with all others.

    Args:
        channels: C of the input.
        grid: (H, W) of the input, or N = HW alone.
        spatial: whether there is a gate over positions.
        channel: whether there is a gate over channels; it comes second.
        channel_reduction: how many times fewer than the channels embeddings and relation vectors are; the paper uses 8.
        spatial_reduction: the same for the positions.
        gate_reduction: the same between the two layers of Eq. 4.

    Shapes: x `B C H W` -> `B C H W`, with HW = N.
    Maps: spatial `B 1 H W` and channel `B C 1 1`, in (0, 1); spatial_affinity `B Q K` and channel_affinity `B C C`, G.
    Raises: ValueError for an argument out of range, no gate at all, a reduction that leaves nothing, or another shape.
    """

    def __init__(
        self,
        channels: int,
        *,
        grid: Sequence[int] | int,
        spatial: bool = True,
        channel: bool = True,
        channel_reduction: int = 8,
        spatial_reduction: int = 8,
        gate_reduction: int = 8,
    ) -> None:
        super().__init__()
        self.channels = positive("channels", channels)
        self.grid = whole_numbers("grid", (grid,) if isinstance(grid, int) else grid)
        if len(self.grid) > 2:
            raise ValueError(f"grid={grid!r}: (H, W), or the number of positions, is needed")
        positions = math.prod(self.grid)
        flag("spatial", spatial)
        flag("channel", channel)
        if not (spatial or channel):
            raise ValueError("spatial=False, channel=False: at least one gate is needed")
        if channels < positive("channel_reduction", channel_reduction):
            raise ValueError(f"channel_reduction={channel_reduction}: at most channels={channels} is needed")
        inner = channels // channel_reduction
        if positions < positive("spatial_reduction", spatial_reduction):
            raise ValueError(
                f"spatial_reduction={spatial_reduction}: at most {positions}, the positions of grid={grid}, is needed"
            )
        positive("gate_reduction", gate_reduction)
        fewer = positions // spatial_reduction
        self.spatial = (
            _Relations(channels, positions, inner=inner, relations=fewer, reduction=gate_reduction) if spatial else None
        )
        self.channel = (
            _Relations(positions, channels, inner=fewer, relations=inner, reduction=gate_reduction) if channel else None
        )

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, "B C H W", C=self.channels)
        grid = tuple(x.shape[2:])
        if (grid if len(self.grid) == 2 else (math.prod(grid),)) != self.grid:
            raise ValueError(f"input of shape {tuple(x.shape)}: grid={self.grid} is needed, as the module was built")
        n = x.flatten(2)  # [B, C, N]
        if self.spatial is not None:
            see = partial(self.see, "spatial_affinity", Q=grid, K=grid) if self.watched else None
            n = n * self.see("spatial", self.spatial(n, see).unflatten(2, grid)).flatten(2)
        if self.channel is not None:
            see = partial(self.see, "channel_affinity") if self.watched else None
            n = n * self.see("channel", self.channel(n.mT, see).mT[..., None]).flatten(2)
        y: Tensor = n.unflatten(2, grid)
        return y
