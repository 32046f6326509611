"""Criss-cross attention: every position attends to its column and row; two passes cover the whole map.

CCNet: Criss-Cross Attention for Semantic Segmentation. Huang, Wang, Huang, Huang, Wei, Liu. ICCV 2019,
arXiv:1811.11721.
Official code: speedinghzl/CCNet.

    q = W_q x + b_q,  k = W_k x + b_k,  v = W_v x + b_v         q, k: C / 8 channels                  (1)
    A_u = softmax_s(q_u · k_s)           s in the column and the row of u, H + W - 1 places, Eq. 1    (2)
    y_u = γ Σ_s A_us v_s + x_u           γ starts at 0, Eq. 2                                         (3)
    R times in turn, with the same weights: after R = 2 every u has heard from every position         (4)
    p = classify([x ; norm₂ W₂ cca(norm₁ W₁ x)])    head; W₁, W₂: 3×3, C / 4 channels                 (5)

    The weights of (2) sum to 1, so (3) is y = γ W_v (Σ_s A_us x_s) + γ b_v + x: v is never formed.

Place: on the last stage of a dilated backbone, reduced to C / 4 channels between two 3×3 convolutions, as the head
    does.
Cost: per pass N(H + W)(C' + C) + NC(2C' + C) multiplications, C' = C / 8; memory O(N(H + W)), no N × N matrix.
Deviations: paper, Eq. 2, has no γ | released code has it | as released. Paper runs R = 2 | the released module does one
    pass and the network loops over it | `recurrence` of both classes. The released head normalises by InPlaceABN, with
    |w| + ε for its scale and a leaky ReLU of 0.01 | mmsegmentation has batch norm and ReLU | batch norm, and `slope` of
    the leaky ReLU, 0 for mmsegmentation. The released classifier takes 512 channels whatever comes | takes `out`.
Errata: versions that leave the position itself in both column and row count it twice, and versions that take a softmax
    of the column and another of the row, or share no weights between passes, are not this mechanism.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regard.checks import bottleneck_width, check_input, check_norm_batch, number, positive
from regard.core import Attention
from regard.layers import Pointwise
from regard.ops import criss_cross
from regard.ops.precision import uncast, widened


class CrissCrossAttention(Attention):
    """Every position attends to its own column and row.

    Args:
        channels: C of the input.
        reduction: how many times narrower queries and keys are; the paper uses 8.
        hidden: width of queries and keys, in place of `reduction`.
        recurrence: R, how many times it is applied, with the same weights; 2 reach every position.

    Shapes: x `B C H W` -> `B C H W`. Maps: affinity `B H W X`, X = H + W places of column and row, one look for each
        pass; sums to 1 over X, and is 0 where the column meets the position itself, which counts in the row.
    Raises: ValueError if `reduction` leaves no channel, or `recurrence` is below 1.
    """

    def __init__(self, channels: int, *, reduction: int = 8, hidden: int | None = None, recurrence: int = 1) -> None:
        super().__init__()
        hidden = bottleneck_width(channels, reduction, hidden)
        self.channels, self.recurrence = channels, positive("recurrence", recurrence)
        self.query = Pointwise(channels, hidden)
        self.key = Pointwise(channels, hidden)
        self.value = Pointwise(channels, channels)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, "B C H W", C=self.channels)
        # Logits of half-precision maps leave the type's range, so all of it is done in float32 at least.
        with uncast(x):
            y = widened(x)
            for _ in range(self.recurrence):
                y = self.once(y)
            return y.to(x.dtype)

    def once(self, x: Tensor) -> Tensor:
        """Eqs. 2 and 3: `B C H W` -> `B C H W`."""
        n, grid = x.flatten(2), x.shape[2:]  # [B, C, N]
        tokens = n.mT.contiguous()  # [B, N, C]
        both = F.linear(tokens, self.stacked("weight", x.dtype), self.stacked("bias", x.dtype)).unflatten(1, grid)
        q, k = both.chunk(2, -1)  # [B, H, W, C']
        a = self.see("affinity", criss_cross.weights(q, k))  # [B, H, W, S]
        z = criss_cross.attend(a, tokens.unflatten(1, grid)).flatten(1, 2)  # [B, N, C]
        gamma = self.gamma.to(x.dtype)
        weight = (gamma * self.value.weight.to(x.dtype)).expand(x.shape[0], -1, -1)
        bias = gamma * self.value.bias.to(x.dtype)  # type: ignore[union-attr]
        y: Tensor = torch.baddbmm(n, weight, z.mT).add_(bias[:, None]).unflatten(2, grid)
        return y

    def stacked(self, name: str, dtype: torch.dtype) -> Tensor:
        """Weight or bias of q and k together, so that x is read once."""
        return torch.cat([getattr(self.query, name), getattr(self.key, name)]).to(dtype)


class CrissCrossHead(Attention):
    """Segmentation head: recurrent criss-cross attention between two 3×3 convolutions, and a classifier.

    Args:
        channels: C of the input.
        classes: number of classes.
        hidden: width of the attention; None takes C // 4.
        out: width of the last hidden layer; None takes `hidden`.
        recurrence: R, how many times the attention is applied, with the same weights.
        slope: of the leaky ReLU below zero.
        dropout: probability that a whole channel is dropped before the classifier.

    Shapes: x `B C H W` -> logits `B K H W`, K classes. Maps: affinity `B H W X`, one look for each pass, as
        `CrissCrossAttention` shows them.
    Raises: ValueError if C / 4 leaves fewer than the 8 channels that the attention needs, for a width or a
        `recurrence` below 1, or in training where a batch norm sees a single value.
    """

    def __init__(
        self,
        channels: int,
        *,
        classes: int,
        hidden: int | None = None,
        out: int | None = None,
        recurrence: int = 2,
        slope: float = 0.01,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        hidden = bottleneck_width(channels, 4, hidden)
        out = hidden if out is None else positive("out", out)
        if hidden < 8:
            raise ValueError(f"hidden={hidden}, from channels={channels}: at least 8 is needed; give hidden=")
        self.channels, self.slope = channels, number("slope", slope)
        self.before = _ConvNorm(channels, hidden)
        self.attention = CrissCrossAttention(hidden, recurrence=recurrence)
        self.after = _ConvNorm(hidden, hidden)
        self.merge = _ConvNorm(channels + hidden, out)
        self.dropout = nn.Dropout2d(number("dropout", dropout, least=0, most=1))
        self.classify = nn.Conv2d(out, positive("classes", classes), 1)

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, "B C H W", C=self.channels)
        y = F.leaky_relu_(self.before(x), self.slope)
        y = F.leaky_relu_(self.after(self.attention(y)), self.slope)
        y = F.leaky_relu_(self.merge(torch.cat([x, y], 1)), self.slope)
        logits: Tensor = self.classify(self.dropout(y))
        return logits


class _ConvNorm(nn.Module):
    """A 3×3 convolution and batch norm."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(out)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        check_norm_batch(self.norm, y)
        normed: Tensor = self.norm(y)
        return normed
