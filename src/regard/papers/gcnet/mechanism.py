"""Global context: one context vector, pooled by a learned softmax and added to every position.

GCNet: Non-local Networks Meet Squeeze-Excitation Networks and Beyond. Cao, Xu, Lin, Wei, Hu. ICCV Workshops 2019,
arXiv:1904.11492. Official code: xvjiarui/GCNet.

    m_i = softmax_i(w · x_i + b),  i over the HW positions            context modelling, Eq. 4       (1)
    c   = Σ_i m_i x_i                                                                                (2)
    T(c) = W₂ relu(LN(W₁ c + b₁)) + b₂                                transform                      (3)
    y_i = σ(T_mul(c)) · x_i                                           fusion by multiplication       (4)
    y_i = x_i + T_add(c)                                              fusion by addition, Eq. 5      (5)

Place: in every residual block of stages 3 to 5, after the last batch norm of the branch and before the addition.
Cost: two passes to read and one to write, 2C²/r multiplications; O(C + HW) extra memory. No N × N matrix.
Deviations: none between paper and code in the default. Both fusions together multiply first and add then, each with a
    transform of its own. W₂ and b₂ start at zero, so that addition starts as the identity (multiplication at 1/2).
Errata: ports that never apply the softmax of (1), so that the context grows with the map's area, or that put batch norm
    in the place of layer norm, are not this mechanism.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import Tensor, nn

from regard.checks import bottleneck_width, check_input, choice, sequence
from regard.core import Attention
from regard.layers import hard_softmax
from regard.ops import pooling
from regard.ops.convolution import convolved


class _Transform(nn.Sequential):
    """T of Eq. 3, starting at zero."""

    def __init__(self, channels: int, hidden: int) -> None:
        last = nn.Conv2d(hidden, channels, 1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)  # type: ignore[arg-type]
        super().__init__(nn.Conv2d(channels, hidden, 1), nn.LayerNorm((hidden, 1, 1)), nn.ReLU(inplace=True), last)


class GlobalContext(Attention):
    """Global context, pooled by a learned softmax, transformed and fused into every position.

    Args:
        channels: C of the input.
        reduction: r, how many times narrower the transform is; the paper uses 16 and 4.
        hidden: width of the transform itself, in place of `reduction`.
        pool: "attention", the softmax of Eq. 1, or "average".
        fusion: "add", "mul" or both; multiplication comes first.
        hard: a hard choice in place of the softmax of (1), a mode of `ops.hard_attention`; None is soft.
        top_k, temperature: k of "top-k", τ of "gumbel".

    Shapes: x `B C H W` -> `B C H W`.
    Maps: spatial `B 1 H W`, sums to 1 (attention pooling); channel `B C 1 1`, in (0, 1) (fusion by multiplication).
    Raises: ValueError for an unknown pool or fusion, or a `reduction` that leaves no hidden channel.
    """

    def __init__(
        self,
        channels: int,
        *,
        reduction: int = 16,
        hidden: int | None = None,
        pool: str = "attention",
        fusion: Sequence[str] = ("add",),
        hard: str | None = None,
        top_k: int = 4,
        temperature: float = 1.0,
    ) -> None:
        super().__init__()
        hidden = bottleneck_width(channels, reduction, hidden)
        choice("pool", pool, ("attention", "average"))
        for way in sequence("fusion", fusion):
            choice("fusion", way, ("add", "mul"))
        self.channels = channels
        self.choice = hard_softmax(hard, top_k, temperature)
        if hard is not None and pool == "average":
            raise ValueError(f"hard={hard!r}: None is needed with pool='average', which has no softmax")
        self.mask = nn.Conv2d(channels, 1, 1) if pool == "attention" else None
        if self.mask is not None:
            nn.init.kaiming_normal_(self.mask.weight, mode="fan_in")
            nn.init.zeros_(self.mask.bias)  # type: ignore[arg-type]
        self.mul = _Transform(channels, hidden) if "mul" in fusion else None
        self.add = _Transform(channels, hidden) if "add" in fusion else None

    def context(self, x: Tensor) -> Tensor:
        if self.mask is None:
            return pooling.average(x)[:, :, None, None]
        logits = convolved(self.mask, x).flatten(2)  # [B, 1, HW]
        if self.choice is not None:
            see = partial(self._acting, x.shape[2:]) if self.watched else None
            return self.choice.attend(logits, x.flatten(2).mT, see)[:, 0, :, None, None]  # [B, C, 1, 1]
        m = logits.softmax(-1)
        m = self._acting(x.shape[2:], m)
        return pooling.weighted(x, m)[:, :, None, None]  # [B, C, 1, 1]

    def _acting(self, grid: Sequence[int], m: Tensor) -> Tensor:
        """Shows m, `B 1 HW`, on its grid, and returns the weights that act."""
        return self.see("spatial", m.unflatten(-1, grid)).flatten(2)

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, "B C H W", C=self.channels)
        c = self.context(x)
        if self.mul is not None:
            x = x * self.see("channel", self.mul(c).sigmoid())
        return x if self.add is None else x + self.add(c)
