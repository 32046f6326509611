"""Dual attention: every position attends to every position, and every channel to every channel.

Dual Attention Network for Scene Segmentation. Fu, Liu, Tian, Li, Bao, Fang, Lu. CVPR 2019, arXiv:1809.02983.
Official code: junfu1115/DANet (PyTorch).

    S_ij = softmax_j(q_i · k_j),  q = W_q x,  k = W_k x        position attention, C -> C/8, Eq. 1       (1)
    y_i  = γ Σ_j S_ij v_j + x_i,  v = W_v x                    Eq. 2                                     (2)
    E    = F Fᵀ,  F = x as C × N                               channel attention                         (3)
    X    = softmax_rows(max_rows E − E)                        "dissimilar", as released                 (4)
    X    = softmax_rows(E)                                     "similar", Eq. 3                          (5)
    Y    = γ X F + F                                           Eq. 4                                     (6)
    P = f₅₁(position(f₅ₐ(x))),  D = f₅₂(channel(f₅c(x)))       f: 3×3 convolution, batch norm, relu      (7)
    W₈(P + D),  W₆ P,  W₇ D                                    the head's three outputs                  (8)

    Rows of S sum to 1, so Σ_j S_ij v_j = W_v Σ_j S_ij x_j: (2) averages x itself and projects the average. The row's
    maximum of (4) does not change the softmax.

Place: both on a map of C/4 channels behind the last stage of a dilated ResNet (output stride 8), as in the head. In
    training the cross entropies of all three outputs are added; at test only the first is used.
Cost: (1)-(2) N² (C/8 + C) multiplications, memory linear in N unless watched; (3)-(6) 2C²N, O(C²) extra memory.
Deviations: paper, Eq. 3, gives most weight to the most similar channels | official code to the least similar ones, (4)
    | `energy="dissimilar"` is the default, `energy="similar"` the paper. γ starts at 0, as both have it. The width of q
    and k is C/8 in the code and free (`hidden`) in mmsegmentation. Dropout of 0.1 before each classifier, as released.
Errata: ports that scale the logits by √(C/8), that start γ at 1, that take the softmax of (1) over queries, or that
    share one γ between the two branches are not this mechanism.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from regard.checks import bottleneck_width, check_input, check_norm_batch, choice, number, positive
from regard.core import Attention
from regard.layers import Pointwise, hard_softmax
from regard.ops import affinity as pairs
from regard.ops.precision import uncast, widened

_ENERGIES = ("dissimilar", "similar")


class PositionAttention(Attention):
    """Every position attends to every position, behind a gate that starts at zero.

    Args:
        channels: C of the input.
        reduction: how many times narrower queries and keys are; the paper uses 8.
        hidden: width of queries and keys itself, in place of `reduction`.
        hard: a hard choice in place of the softmax of (1), a mode of `ops.hard_attention`; None is soft.
        top_k, temperature: k of "top-k", τ of "gumbel".

    Shapes: x `B C H W` -> `B C H W`. Maps: affinity `B Q K`, positions by positions; its rows sum to 1.
    Raises: ValueError if `reduction` leaves no hidden channel.
    """

    def __init__(
        self,
        channels: int,
        *,
        reduction: int = 8,
        hidden: int | None = None,
        hard: str | None = None,
        top_k: int = 4,
        temperature: float = 1.0,
    ) -> None:
        super().__init__()
        hidden = bottleneck_width(channels, reduction, hidden)
        self.channels = channels
        self.query = Pointwise(channels, hidden)
        self.key = Pointwise(channels, hidden)
        self.value = Pointwise(channels, channels)
        self.gamma = nn.Parameter(torch.zeros(1))
        self.choice = hard_softmax(hard, top_k, temperature)

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, "B C H W", C=self.channels)
        grid = (x.shape[2], x.shape[3])
        n = x.flatten(2)
        q, k = self.query.tokens(n), self.key.tokens(n)  # [B, N, D]
        if self.choice is not None:
            see = partial(self.see, "affinity", Q=grid, K=grid) if self.watched else None
            s = self.choice.attend(pairs.logits(q, k), n.mT.to(q.dtype), see)
        elif self.watched:
            s = self.see("affinity", pairs.softmax_weights(q, k), Q=grid, K=grid) @ n.mT.to(q.dtype)
        else:
            s = pairs.softmax_attend(q, k, n.mT.to(q.dtype))  # [B, N, C]
        y: Tensor = torch.addcmul(n, self.gamma, self.value(s.mT)).unflatten(-1, grid)
        return y


class ChannelAttention(Attention):
    """Every channel attends to every channel, behind a gate that starts at zero.

    Args:
        channels: C of the input.
        energy: which channels get most weight: the least similar ("dissimilar", official code) or the most similar
            ("similar", the paper).

    Shapes: x `B C H W` -> `B C H W`. Maps: channel_affinity `B C C`; its rows sum to 1.
    Raises: ValueError for another energy, or an input with other than C channels.
    """

    def __init__(self, channels: int, *, energy: str = "dissimilar") -> None:
        super().__init__()
        self.channels = positive("channels", channels)
        self.energy = choice("energy", energy, _ENERGIES)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, "B C H W", C=self.channels)
        n = x.flatten(2)
        with uncast(x):  # sums of squares over positions overflow half precision
            f = widened(n)
            e = f @ f.mT  # [B, C, C]
            e = -e if self.energy == "dissimilar" else e
            # no sum feels a weight of exp(-60), but numbers below the normal ones slow its products twentyfold
            a = (e - e.detach().amax(-1, keepdim=True)).clamp(min=-60).softmax(-1)
            a = self.see("channel_affinity", a.to(x.dtype))
            y: Tensor = torch.baddbmm(n, (self.gamma * a).to(x.dtype), n).unflatten(-1, x.shape[2:])
            return y


class DualAttentionHead(Attention):
    """Segmentation head: position and channel attention in parallel, and their sum.

    Args:
        channels: C of the input.
        classes: M, the number of classes.
        width: of both branches; None takes C // 4.
        hidden: width of queries and keys; None takes width // 8.
        energy: of the channel attention, "dissimilar" or "similar".
        dropout: share of channels dropped before each classifier.

    Shapes: x `B C H W` -> three logits `B M H W`: of the sum, of the position branch, of the channel branch.
    Maps: affinity `B Q K`, positions by positions; channel_affinity `B D D`; the rows of both sum to 1.
    Raises: ValueError if `channels` leaves no width or no hidden channel.
    """

    def __init__(
        self,
        channels: int,
        *,
        classes: int,
        width: int | None = None,
        hidden: int | None = None,
        energy: str = "dissimilar",
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        positive("classes", classes)
        number("dropout", dropout, least=0, most=1)
        if positive("channels", channels) < 4 and width is None:
            raise ValueError(f"channels={channels}: at least 4 is needed, or give width=")
        width = channels // 4 if width is None else positive("width", width)
        if hidden is None and width < 8:
            raise ValueError(f"width={width}: at least 8 is needed, or give hidden=")
        hidden = bottleneck_width(width, 8, hidden)
        self.channels = channels
        self.position_in = _convolved(channels, width)
        self.position = PositionAttention(width, hidden=hidden)
        self.position_out = _convolved(width, width)
        self.channel_in = _convolved(channels, width)
        self.channel = ChannelAttention(width, energy=energy)
        self.channel_out = _convolved(width, width)
        self.classify = _classifier(width, classes, dropout)
        self.classify_position = _classifier(width, classes, dropout)
        self.classify_channel = _classifier(width, classes, dropout)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        check_input(x, "B C H W", C=self.channels)
        check_norm_batch(self.position_in[1], x)
        p = self.position_out(self.position(self.position_in(x)))  # [B, width, H, W]
        d = self.channel_out(self.channel(self.channel_in(x)))  # [B, width, H, W]
        return self.classify(p + d), self.classify_position(p), self.classify_channel(d)


def _convolved(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
    )


def _classifier(width: int, classes: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(nn.Dropout2d(dropout), nn.Conv2d(width, classes, 1))
