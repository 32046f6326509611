"""Second-order pooling: gates from the covariance of the channels, and of the positions of a pooled map.

Global Second-order Pooling Convolutional Networks. Gao, Xie, Wang, Li. CVPR 2019, arXiv:1811.12006.
Official code: ZilinGao/Global-Second-order-Pooling-Convolutional-Networks.

    Y   = relu(BN(W relu(x) + b)),  every s-th position of it          C -> d                        (1)
    S_c = 1/M Σ_m (y_m - μ)(y_m - μ)ᵀ                                  d × d, over positions         (2)
    X   = pool_{k×k}(BN(W' relu(x) + b'))                              C -> d, P = k² positions      (3)
    S_p = XᵀX / P - (1ᵀX)ᵀ(1ᵀX) / P²                                   P × P, over channels          (4)
    e_r = F_r BN(S)_r + f_r                                            row r by its own 4 filters    (5)
    g_c = σ(W₂ [e_1 … e_d] + b₂)                                       channel gate                  (6)
    g_p = unpool(σ(W₂' relu([e_1 … e_P]) + b₂'))                       position gate, k × k -> H × W (7)
    y   = g_c · x;  relu(g_p · x);  their sum;  their maximum;  or BN(K * g_c x + K' * relu(g_p x))  (8)

Place: on the residual branch of the last block of every stage, after its last batch norm and before the addition.
Cost: NCd / s² + Md² + 4d² + 4dC multiplications for the channel gate, NCd + P²d + 8P² for the position gate; O(Nd)
    memory, without W' on all positions in eval mode, where the pooling may come first. No N × N matrix.
Deviations: paper embeds with a LeakyReLU between (5) and (6) | official code has none there | `leaky`. The constants of
    (4) centre exactly only for d = P | as released, `centred=True` for the covariance over the d channels. s is 2 up to
    256 channels and 1 above them, as released. K has ⌊C / 64⌋ groups, at least 1 where the official code fails.
Errata: codes that centre the channels with an N × N matrix compute the same at a cost quadratic in N. The released code
    cannot be trained with the position gate alone, because of an addition in place.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from regard.checks import check_input, check_norm_batch, choice, flag, positive
from regard.core import Attention
from regard.layers import Pointwise
from regard.ops import pooling, second_order
from regard.ops.precision import uncast, wide_linear, wide_norm, widened

_FUSIONS = ("channel", "position", "sum", "max", "concat")


class _Rows(nn.Module):
    """F of Eq. 5: four filters for each row of a square matrix, `B R R` -> `B 4R`."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(4 * rows, rows))
        self.bias = nn.Parameter(torch.empty(4 * rows))
        nn.init.uniform_(self.weight, -(rows**-0.5), rows**-0.5)
        nn.init.uniform_(self.bias, -(rows**-0.5), rows**-0.5)

    def forward(self, s: Tensor) -> Tensor:
        rows = s.shape[1]
        weight, bias = (p.to(s.dtype).unflatten(0, (rows, 4)) for p in (self.weight, self.bias))
        return torch.baddbmm(bias[:, None], s.transpose(0, 1), weight.mT).transpose(0, 1).flatten(1)


class _Embedding(nn.Module):
    """Eqs. 5 and 6: `B R R` -> `B out`, in (0, 1); in float32 at least, as covariances are."""

    def __init__(self, rows: int, out: int, between: nn.Module) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(rows)
        self.rows = _Rows(rows)
        self.between = between
        self.out = nn.Linear(4 * rows, out)

    def forward(self, s: Tensor) -> Tensor:
        with uncast(s):
            check_norm_batch(self.norm, s)
            return wide_linear(self.out, self.between(self.rows(wide_norm(self.norm, s)))).sigmoid()


class SecondOrderPooling(Attention):
    """Gates from the covariance of the channels, of the positions, or of both.

    Args:
        channels: C of the input.
        hidden: d, the width of the maps whose covariances are taken; the paper uses 128.
        stride: s, of which positions every s-th enters the channels' covariance; None takes 2 up to 256 channels, or 1.
        fusion: "channel" or "position" alone, or both, by "sum", "max" or "concat".
        size: k, the side of the pooled map whose positions' covariance is taken.
        leaky: a LeakyReLU between the two layers of the channel gate, as in the paper.
        centred: an exact covariance over the d channels in Eq. 4.

    Shapes: x `B C H W` -> `B C H W`.
    Maps: channel `B C 1 1`, in (0, 1), and covariance `B D D`, S_c; spatial `B 1 H W`, in (0, 1), and pooled `B 1 S S`,
        the same before it is stretched. The first two or the last two with one gate alone.
    Raises: ValueError for an unknown fusion, or where groups of 64 channels do not divide the channels ("concat").
    """

    def __init__(
        self,
        channels: int,
        *,
        hidden: int = 128,
        stride: int | None = None,
        fusion: str = "channel",
        size: int = 8,
        leaky: bool = False,
        centred: bool = False,
    ) -> None:
        super().__init__()
        positive("channels", channels)
        positive("hidden", hidden)
        choice("fusion", fusion, _FUSIONS)
        self.stride = (2 if channels <= 256 else 1) if stride is None else positive("stride", stride)
        flag("leaky", leaky)
        self.channels, self.fusion = channels, fusion
        self.size = positive("size", size)
        self.centred = flag("centred", centred)
        if fusion != "position":
            self.channel_reduce = Pointwise(channels, hidden)
            self.channel_norm = nn.BatchNorm1d(hidden)
            self.channel_gate = _Embedding(hidden, channels, nn.LeakyReLU() if leaky else nn.Identity())
        if fusion != "channel":
            self.position_reduce = Pointwise(channels, hidden)
            self.position_norm = nn.BatchNorm1d(hidden)
            self.position_gate = _Embedding(size**2, size**2, nn.ReLU())
        if fusion == "concat":
            groups = max(channels // 64, 1)
            if channels % groups:
                raise ValueError(f"channels={channels}: a multiple of {groups}, the number of groups, is needed")
            reach = int(math.log2(32 / groups)) + 2
            kernel, padding = (2 * reach + 1, 1), (reach, 0)
            self.channel_concat = nn.Conv2d(channels, channels, kernel, padding=padding, groups=groups)
            self.position_concat = nn.Conv2d(channels, channels, kernel, padding=padding, groups=groups)
            self.concat_norm = nn.BatchNorm2d(channels)

    def by_channel(self, x: Tensor) -> Tensor:
        """g_c of Eq. 6: `B C 1 1`."""
        y = x[:, :, :: self.stride, :: self.stride].relu().flatten(2)
        y = self.channel_reduce(y)  # [B, D, M]
        check_norm_batch(self.channel_norm, y)
        s = self.see("covariance", second_order.covariance(self.channel_norm(y).relu_()))  # [B, D, D]
        return self.see("channel", self.channel_gate(s).to(x.dtype)[:, :, None, None])

    def by_position(self, x: Tensor) -> Tensor:
        """g_p of Eq. 7: `B 1 H W`, of a rectified x."""
        grid = (self.size, self.size)
        if self.training:
            y = self.position_reduce(x.flatten(2))  # [B, D, N]
            check_norm_batch(self.position_norm, y)
            y = self.position_norm(y).unflatten(2, x.shape[2:])
            y = pooling.adaptive_average(y, grid).flatten(2)  # [B, D, P]
        else:  # both steps are linear then, so the cheap one comes first
            y = self.position_norm(self.position_reduce(pooling.adaptive_average(x, grid).flatten(2)))
        g = self.position_gate(self.position_statistics(y)).to(x.dtype).unflatten(1, (1, *grid))
        g = self.see("pooled", g)
        return self.see("spatial", pooling.adaptive_average(g, (x.shape[2], x.shape[3])))

    def position_statistics(self, y: Tensor) -> Tensor:
        """S_p of Eq. 4: `B D P` -> `B P P`."""
        if self.centred:
            return second_order.covariance(y.mT)
        with uncast(y):
            y = widened(y) / y.shape[2]
            total = y.sum(1, keepdim=True)  # [B, 1, P]
            return (y.mT * y.shape[2]) @ y - total.mT @ total

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, "B C H W", C=self.channels)
        if self.fusion == "channel":
            return x * self.by_channel(x)
        positive_part = x.relu()
        if self.fusion == "position":
            return positive_part * self.by_position(positive_part)  # relu(g x) = g relu(x), as g > 0
        by_channel, by_position = self.by_channel(x), self.by_position(positive_part)
        if self.fusion == "sum":
            return torch.addcmul(x * by_channel, positive_part, by_position)
        if self.fusion == "max":
            return torch.maximum(x * by_channel, positive_part * by_position)
        concat = self.channel_concat(x * by_channel) + self.position_concat(positive_part * by_position)
        normed: Tensor = self.concat_norm(concat)
        return normed
