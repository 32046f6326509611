"""The transformer's layers: attention and a feed-forward network at every position, each added to its input.

Attention Is All You Need. Vaswani, Shazeer, Parmar, Uszkoreit, Jones, Gomez, Kaiser, Polosukhin. NIPS 2017,
arXiv:1706.03762. Official code: tensorflow/tensor2tensor.

    FFN(x) = W₂ relu(W₁ x + b₁) + b₂                                  Eq. 2                          (1)
    S(x, f) = LN(x + dropout(f(x)))                                   post-norm, Section 5.4         (2)
    S(x, f) = x + dropout(f(LN(x)))                                   pre-norm                       (3)
    encoder:  y = S(S(x, MultiHead(x, x, x)), FFN)                    Section 3.1                    (4)
    decoder:  y = S(S(S(x, MultiHead(x, x, x)), MultiHead(·, m, m)), FFN)                            (5)
    The first attention of the decoder sees the past only. MultiHead is that of `mha`.

Place: stacked, six of each in the paper; after pre-norm layers one more LN.
Cost: per position 4C² + 2C·hidden multiplications, 4C² more for the decoder's second attention, and 2C for each
    key; no Q × K matrix unless watched or returned.
Deviations: paper is post-norm | official code was in its first version and is pre-norm since | `norm_first`. Paper
    drops out the sublayers' outputs only | official code since its second version also the attention's weights and
    the hidden layer | `attention_dropout`, `hidden_dropout`. Projections have no bias in paper and official code |
    torch and the annotated transformer have | `bias`. LN's ε is 1e-6 as in the official code, 1e-5 in torch | `eps`.
    The annotated transformer divides by the unbiased standard deviation plus ε | `unbiased`.
Errata: ports that normalise a branch both before and after are neither (2) nor (3). A mask hides where True in torch
    and shows where True here; torch's causal flag is a hint beside the mask, not a mask.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regard.checks import check_input, choice, flag, number, positive, whole
from regard.core import Attention
from regard.layers import Heads
from regard.ops import heads as dot
from regard.ops.precision import uncast

_ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu_,
    "gelu": F.gelu,
    "gelu_tanh": partial(F.gelu, approximate="tanh"),
}


class _UnbiasedNorm(nn.LayerNorm):
    """a (x - μ) / (s + ε) + b with the unbiased standard deviation s."""

    def forward(self, x: Tensor) -> Tensor:
        with uncast(x):
            wide = x.to(torch.promote_types(x.dtype, torch.float32))
            centred = wide - wide.mean(-1, keepdim=True)
            s = torch.linalg.vector_norm(centred, dim=-1, keepdim=True) / (x.shape[-1] - 1) ** 0.5
            return torch.addcmul(self.bias, self.weight, centred / (s + self.eps)).to(x.dtype)


def norm(channels: int, unbiased: bool, eps: float) -> nn.LayerNorm:
    """LN over the channels. Raises: ValueError if an argument is out of range."""
    whole("channels", channels, 1 + flag("unbiased", unbiased))  # one value has no unbiased deviation
    return (_UnbiasedNorm if unbiased else nn.LayerNorm)(channels, number("eps", eps, above=0))


class _FeedForward(nn.Module):
    """FFN of Eq. 2."""

    def __init__(self, channels: int, hidden: int | None, activation: str, dropout: float) -> None:
        super().__init__()
        choice("activation", activation, _ACTIVATIONS)
        hidden = 4 * channels if hidden is None else positive("hidden", hidden)
        self.widen = nn.Linear(channels, hidden)
        self.narrow = nn.Linear(hidden, channels)
        self.activation = activation
        self.dropout = nn.Dropout(number("hidden_dropout", dropout, least=0, most=1))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.narrow(self.dropout(_ACTIVATIONS[self.activation](self.widen(x))))
        return y


class _Sublayer(nn.Module):
    """S of Eqs. 2 and 3, as the steps before and after its function."""

    def __init__(self, channels: int, dropout: float, norm_first: bool, unbiased: bool, eps: float) -> None:
        super().__init__()
        self.norm = norm(channels, unbiased, eps)
        self.dropout = nn.Dropout(number("dropout", dropout, least=0, most=1))
        self.norm_first = flag("norm_first", norm_first)

    def before(self, x: Tensor) -> Tensor:
        return self.norm(x) if self.norm_first else x

    def after(self, x: Tensor, y: Tensor) -> Tensor:
        y = x + self.dropout(y)
        return y if self.norm_first else self.norm(y)


def _attend(
    heads: Heads,
    q: Tensor,
    k: Tensor,
    visible: Tensor | None,
    causal: bool,
    dropout: nn.Dropout,
    see: Callable[[Tensor], Tensor] | None,
) -> tuple[Tensor, Tensor | None]:
    """MultiHead(q, k, k), and its weights if `see` asks for them."""
    queries, keys, values = heads.split(q, k, k)
    scale = queries.shape[-1] ** -0.5
    drop = dropout.p if dropout.training else 0.0
    y, a = dot.attend(queries, keys, values, scale=scale, visible=visible, causal=causal, dropout=drop, see=see)
    return heads.merge(y), a


class EncoderLayer(Attention):
    """Self-attention and a feed-forward network at every position.

    Args:
        channels: C of the input.
        heads: h of the attention; has to divide C, or `head_channels` has to be given.
        head_channels: d_k, width of each head's queries and keys; None takes C / h.
        value_head_channels: d_v, width of each head's values; None takes d_k.
        hidden: width of the feed-forward network; None takes 4C.
        activation: of the feed-forward network: relu, gelu or gelu_tanh.
        norm_first: pre-norm rather than post-norm.
        unbiased: norms divide by the unbiased deviation plus ε, as in the annotated transformer.
        eps: ε of the norms.
        bias: biases of the attention's projections.
        causal: a position sees those up to its own only.
        dropout: of the sublayers' outputs.
        attention_dropout: of the weights.
        hidden_dropout: within the feed-forward network.
        return_weights: returns the weights too, `B h T T`.

    Shapes: x `B T C`, and visible `B T`, `B T T` or `B h T T` of booleans, True where seen, optional -> `B T C`.
    Maps: affinity `B h T T`, rows sum to 1, or to 0 where nothing is seen.
    Raises: ValueError for an argument out of range, inputs of other shapes, or a mask that is none or does not fit.
    """

    def __init__(
        self,
        channels: int,
        *,
        heads: int = 8,
        head_channels: int | None = None,
        value_head_channels: int | None = None,
        hidden: int | None = None,
        activation: str = "relu",
        norm_first: bool = False,
        unbiased: bool = False,
        eps: float = 1e-6,
        bias: bool = False,
        causal: bool = False,
        dropout: float = 0.1,
        attention_dropout: float = 0.0,
        hidden_dropout: float = 0.0,
        return_weights: bool = False,
    ) -> None:
        super().__init__()
        widths = {"head_channels": head_channels, "value_head_channels": value_head_channels}
        self.heads = Heads(channels, heads=heads, bias=bias, **widths)
        self.feed = _FeedForward(channels, hidden, activation, hidden_dropout)
        self.first, self.last = (_Sublayer(channels, dropout, norm_first, unbiased, eps) for _ in range(2))
        self.causal, self.return_weights = flag("causal", causal), flag("return_weights", return_weights)
        self.attention_dropout = nn.Dropout(number("attention_dropout", attention_dropout, least=0, most=1))

    def forward(self, x: Tensor, visible: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        check_input(x, "B T C", C=self.heads.query.in_features)
        dot.check(visible, x, x, self.heads.heads)
        see = partial(self.see, "affinity") if self.watched or self.return_weights else None
        n = self.first.before(x)
        y, a = _attend(self.heads, n, n, visible, self.causal, self.attention_dropout, see)
        x = self.first.after(x, y)
        x = self.last.after(x, self.feed(self.last.before(x)))
        return (x, a) if self.return_weights and a is not None else x


class DecoderLayer(Attention):
    """Causal self-attention, attention to a memory, and a feed-forward network at every position.

    Args:
        channels: C of the input.
        memory_channels: width of the memory; None takes C.
        heads: h of both attentions; has to divide C, or `head_channels` has to be given.
        head_channels: d_k, width of each head's queries and keys; None takes C / h.
        value_head_channels: d_v, width of each head's values; None takes d_k.
        hidden: width of the feed-forward network; None takes 4C.
        activation: of the feed-forward network: relu, gelu or gelu_tanh.
        norm_first: pre-norm rather than post-norm.
        unbiased: norms divide by the unbiased deviation plus ε, as in the annotated transformer.
        eps: ε of the norms.
        bias: biases of the attentions' projections.
        causal: a position sees those up to its own only.
        dropout: of the sublayers' outputs.
        attention_dropout: of the weights.
        hidden_dropout: within the feed-forward network.
        return_weights: returns the weights of both attentions too, `B h T T` and `B h T K`.

    Shapes: x `B T C`, memory `B K memory_channels`, and masks of booleans, True where seen, both of them optional:
        visible `B T`, `B T T` or `B h T T`, and memory_visible `B K`, `B T K` or `B h T K` -> `B T C`.
    Maps: self `B h T T` and cross `B h T K`; rows sum to 1, or to 0 where nothing is seen.
    Raises: ValueError for an argument out of range, inputs of other shapes, or a mask that is none or does not fit.
    """

    def __init__(
        self,
        channels: int,
        *,
        memory_channels: int | None = None,
        heads: int = 8,
        head_channels: int | None = None,
        value_head_channels: int | None = None,
        hidden: int | None = None,
        activation: str = "relu",
        norm_first: bool = False,
        unbiased: bool = False,
        eps: float = 1e-6,
        bias: bool = False,
        causal: bool = True,
        dropout: float = 0.1,
        attention_dropout: float = 0.0,
        hidden_dropout: float = 0.0,
        return_weights: bool = False,
    ) -> None:
        super().__init__()
        widths = {"head_channels": head_channels, "value_head_channels": value_head_channels}
        memory = channels if memory_channels is None else positive("memory_channels", memory_channels)
        self.heads = Heads(channels, heads=heads, bias=bias, **widths)
        self.cross = Heads(channels, heads=heads, bias=bias, **widths, key_channels=memory, value_channels=memory)
        self.feed = _FeedForward(channels, hidden, activation, hidden_dropout)
        self.first, self.middle, self.last = (_Sublayer(channels, dropout, norm_first, unbiased, eps) for _ in range(3))
        self.causal, self.return_weights = flag("causal", causal), flag("return_weights", return_weights)
        self.attention_dropout = nn.Dropout(number("attention_dropout", attention_dropout, least=0, most=1))

    def forward(
        self, x: Tensor, memory: Tensor, visible: Tensor | None = None, memory_visible: Tensor | None = None
    ) -> Tensor | tuple[Tensor, Tensor, Tensor]:
        check_input(x, "B T C", C=self.heads.query.in_features)
        check_input(memory, "B K C", B=x.shape[0], C=self.cross.key.in_features)
        dot.check(visible, x, x, self.heads.heads)
        dot.check(memory_visible, x, memory, self.heads.heads)
        see = [partial(self.see, name) if self.watched or self.return_weights else None for name in ("self", "cross")]
        n = self.first.before(x)
        y, own = _attend(self.heads, n, n, visible, self.causal, self.attention_dropout, see[0])
        x = self.first.after(x, y)
        n = self.middle.before(x)
        y, across = _attend(self.cross, n, memory, memory_visible, False, self.attention_dropout, see[1])
        x = self.middle.after(x, y)
        x = self.last.after(x, self.feed(self.last.before(x)))
        return (x, own, across) if self.return_weights and own is not None and across is not None else x
