"""Layers with parameters that three or more files use."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from regard.checks import flag, positive


class Pointwise(nn.Module):
    """A 1×1 convolution of a flattened map that returns channels or positions first.

    The same numbers as `nn.Conv1d(channels, out, 1)`, as one batched matrix product that reads its input as it lies.

    Args:
        channels: C of the input.
        out: width of the output.
        bias: whether there is one.

    Shapes: `B C N` -> `B out N`; `tokens`: `B C N` -> `B N out`.
    """

    def __init__(self, channels: int, out: int, *, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out, channels))
        self.bias = nn.Parameter(torch.empty(out)) if bias else None
        bound = channels**-0.5
        nn.init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight.expand(x.shape[0], -1, -1)
        return weight @ x if self.bias is None else torch.baddbmm(self.bias[:, None], weight, x)

    def tokens(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled() and x.is_contiguous() and not torch.compiler.is_compiling():
            # the gradient of x then lies as x does; to add up gradients that do not takes three times as long
            tokens: Tensor = self(x).mT.contiguous()
            return tokens
        weight = self.weight.T.expand(x.shape[0], -1, -1)
        return x.mT @ weight if self.bias is None else torch.baddbmm(self.bias, x.mT, weight)


class Heads(nn.Module):
    """The linear maps of multi-head attention: to queries, keys and values of every head, and back.

    Args:
        channels: C of the queries' input and of the output.
        heads: h.
        head_channels: D, width of each head's queries and keys; None takes C / h.
        value_head_channels: E, width of each head's values; None takes D.
        key_channels: width of the keys' input; None takes C.
        value_channels: width of the values' input; None takes C.
        bias: whether all four have one.

    Shapes: `split`: `B Q C`, `B K key_channels`, `B K value_channels` -> `B h Q D`, `B h K D`, `B h K E`;
        `merge`: `B h Q E` -> `B Q C`.
    Raises: ValueError for a width that is not positive, or heads that do not divide C where no width is given.
    """

    def __init__(
        self,
        channels: int,
        *,
        heads: int,
        head_channels: int | None = None,
        value_head_channels: int | None = None,
        key_channels: int | None = None,
        value_channels: int | None = None,
        bias: bool = False,
    ) -> None:
        super().__init__()
        positive("channels", channels)
        self.heads = positive("heads", heads)
        if head_channels is None and channels % heads:
            fit = next(divisor for divisor in range(min(heads, channels), 0, -1) if channels % divisor == 0)
            raise ValueError(
                f"heads={heads}: a divisor of channels={channels} is needed, such as {fit}, or give head_channels="
            )
        width = channels // heads if head_channels is None else positive("head_channels", head_channels)
        wide = width if value_head_channels is None else positive("value_head_channels", value_head_channels)
        keys = channels if key_channels is None else positive("key_channels", key_channels)
        values = channels if value_channels is None else positive("value_channels", value_channels)
        flag("bias", bias)
        self.query = nn.Linear(channels, heads * width, bias=bias)
        self.key = nn.Linear(keys, heads * width, bias=bias)
        self.value = nn.Linear(values, heads * wide, bias=bias)
        self.out = nn.Linear(heads * wide, channels, bias=bias)
        for layer in (self.query, self.key, self.value, self.out):
            nn.init.xavier_uniform_(layer.weight)
            if bias:
                nn.init.zeros_(layer.bias)

    def split(self, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self._heads(self.query(q)), self._heads(self.key(k)), self._heads(self.value(v))

    def _heads(self, x: Tensor) -> Tensor:
        """`B T hD` -> `B h T D`."""
        heads: Tensor = x.unflatten(-1, (self.heads, -1)).transpose(1, 2)
        return heads

    def merge(self, y: Tensor) -> Tensor:
        merged: Tensor = self.out(y.transpose(1, 2).flatten(2))
        return merged
