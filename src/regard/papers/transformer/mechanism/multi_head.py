"""Multi-head attention: every position attends to every position, in several heads.

Attention Is All You Need. Vaswani, Shazeer, Parmar, Uszkoreit, Jones, Gomez, Kaiser, Polosukhin. NIPS 2017,
arXiv:1706.03762. Official code: tensorflow/tensor2tensor.

    Attention(Q, K, V) = softmax(Q Kᵀ / √d_k) V                       Eq. 1                          (1)
    head_i = Attention(Q W_i^Q, K W_i^K, V W_i^V)                     Section 3.2.2                  (2)
    MultiHead(Q, K, V) = [head_1; …; head_h] W^O                                                     (3)
    y = x + MultiHead(x + P, x + P, x + P)                            over a map of positions        (4)

    A masked logit counts as -∞. P of (4) are sinusoids of rows and columns, or 0.

Place: (3) inside a transformer's layers; (4) between the blocks of a network, where maps are small.
Cost: 4C² + 2CK multiplications for each query; no Q × K matrix unless watched or returned, then h Q K memory.
Deviations: paper and official code have no biases | torch and the annotated transformer have them | `bias`. Paper
    speaks of no dropout of the weights | official code since its second version has one | `attention_dropout`. The
    official code, as most, fills a mask with a large negative number, so that a query that sees nothing attends to
    everything alike, and torch returns NaN | here it gets zeros before W^O. (4) with its residual is our own form for
    maps; the official code adds the same sinusoids to images.
Errata: ports that scale by √C in place of √d_k, reshape heads without transposing them back, or mask after the softmax
    without renormalising are not this mechanism. Masks hide where True in torch and show where True here.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from regard.checks import check_input, flag, number, positive
from regard.core import Attention
from regard.layers import Heads
from regard.ops import heads as dot
from regard.ops import positions as sinusoids


class MultiHead(Attention):
    """Multi-head attention over a sequence, or from one sequence to another.

    Called with x alone it attends to itself, with q and k to k, with q, k and v it weighs v. A mask comes last.

    Args:
        channels: C of queries and output.
        heads: h; has to divide C, or `head_channels` has to be given.
        head_channels: d_k, width of each head's queries and keys; None takes C / h.
        value_head_channels: d_v, width of each head's values; None takes d_k.
        key_channels: width of k; None takes C.
        value_channels: width of v; None takes C.
        bias: biases of the four projections; the paper has none.
        scale: what multiplies the logits; None takes 1/√d_k.
        causal: query t sees the keys up to t only.
        extra_key: a learned key and value, which every query sees.
        zero_key: a key and value of zeros, so that a query may attend to nothing.
        sublayer: returns LN(q + dropout(y)), what the paper wraps around it.
        dropout: of y, within the sublayer.
        attention_dropout: of the weights.
        return_weights: returns the weights too, `B h Q K`.

    Shapes: x `B T C` -> `B T C`; q `B Q C`, k `B K key_channels`, v `B K value_channels` -> `B Q C`. visible: booleans,
        True where a key is seen, `B K`, `B Q K` or `B h Q K`; numbers of three or four axes are added to the logits.
    Maps: affinity `B h Q K`, rows sum to 1, or to 0 where a query sees nothing; extra keys come last.
    Raises: ValueError for an argument out of range, inputs of other shapes, or a mask that is none or does not fit.
    """

    def __init__(
        self,
        channels: int,
        *,
        heads: int = 8,
        head_channels: int | None = None,
        value_head_channels: int | None = None,
        key_channels: int | None = None,
        value_channels: int | None = None,
        bias: bool = False,
        scale: float | None = None,
        causal: bool = False,
        extra_key: bool = False,
        zero_key: bool = False,
        sublayer: bool = False,
        dropout: float = 0.1,
        attention_dropout: float = 0.0,
        return_weights: bool = False,
    ) -> None:
        super().__init__()
        self.channels = positive("channels", channels)
        if scale is not None:
            number("scale", scale)
        for name, value in (("extra_key", extra_key), ("sublayer", sublayer)):
            flag(name, value)
        number("dropout", dropout, least=0, most=1)
        number("attention_dropout", attention_dropout, least=0, most=1)
        self.heads = Heads(
            channels,
            heads=heads,
            head_channels=head_channels,
            value_head_channels=value_head_channels,
            key_channels=key_channels,
            value_channels=value_channels,
            bias=bias,
        )
        widths = (self.heads.key.out_features, self.heads.value.out_features)
        self.scale = (widths[0] // heads) ** -0.5 if scale is None else scale
        self.causal = flag("causal", causal)
        self.extra = nn.ParameterList([torch.randn(width) * width**-0.5 for width in widths] if extra_key else [])
        self.zero_key = flag("zero_key", zero_key)
        self.norm = nn.LayerNorm(channels, eps=1e-6) if sublayer else None
        self.dropout = nn.Dropout(dropout)
        self.attention_dropout = nn.Dropout(attention_dropout)
        self.return_weights = flag("return_weights", return_weights)

    def forward(
        self, q: Tensor, k: Tensor | None = None, v: Tensor | None = None, visible: Tensor | None = None
    ) -> Tensor | tuple[Tensor, Tensor]:
        y, weights = self.attend(q, k, v, visible, weights=self.return_weights)
        return y if weights is None or not self.return_weights else (y, weights)

    def attend(
        self,
        q: Tensor,
        k: Tensor | None = None,
        v: Tensor | None = None,
        visible: Tensor | None = None,
        *,
        weights: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """The output, and the weights if they are asked for."""
        k = q if k is None else k
        v = k if v is None else v
        check_input(q, "B Q C", C=self.channels)
        check_input(k, "B K C", B=q.shape[0], C=self.heads.key.in_features)
        check_input(v, "B K C", B=q.shape[0], K=k.shape[1], C=self.heads.value.in_features)
        dot.check(visible, q, k, self.heads.heads)
        queries, keys, values = self.heads.split(q, k, v)  # [B, h, Q, D], [B, h, K, D], [B, h, K, E]
        causal = self.causal
        if self.extra or self.zero_key:
            visible, causal = dot.merged(queries, keys, visible, causal), False
            keys, values, visible = self.extend(keys, values, visible)
        y, a = dot.attend(
            queries,
            keys,
            values,
            scale=self.scale,
            visible=visible,
            causal=causal,
            dropout=self.attention_dropout.p if self.training else 0.0,
            see=partial(self.see, "affinity") if weights or self.watched else None,
        )
        y = self.heads.merge(y)  # [B, Q, C]
        return (y if self.norm is None else self.norm(q + self.dropout(y))), a

    def extend(self, k: Tensor, v: Tensor, visible: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
        """Appends the extra keys and values, which every query sees."""
        extra = [tuple(self.extra)] if self.extra else []
        extra += [(k.new_zeros(k.shape[1] * k.shape[3]), v.new_zeros(v.shape[1] * v.shape[3]))] if self.zero_key else []
        for key, value in extra:
            k, v = (
                torch.cat([x, one.to(x.dtype).view(1, x.shape[1], 1, -1).expand(x.shape[0], -1, -1, -1)], 2)
                for x, one in ((k, key), (v, value))
            )
            if visible is not None:
                seen = visible[..., :1]
                seen = torch.ones_like(seen) if seen.dtype is torch.bool else torch.zeros_like(seen)
                visible = torch.cat([visible, seen], -1)
        return k, v, visible


class GridMultiHead(Attention):
    """Multi-head attention over the positions of a map, added to it.

    Args:
        channels: C of the input.
        heads: h; has to divide C, or `head_channels` has to be given.
        head_channels: width of each head's queries, keys and values; None takes C / h.
        bias: biases of the four projections; the paper has none.
        positions: adds sinusoids of rows and columns to what is attended to.
        residual: adds the input to the output.
        attention_dropout: of the weights.

    Shapes: x `B C H W` -> `B C H W`. Maps: affinity `B h Q K`, Q and K the HW positions; rows sum to 1.
    Raises: ValueError for an argument out of range, or an input of another shape.
    """

    def __init__(
        self,
        channels: int,
        *,
        heads: int = 8,
        head_channels: int | None = None,
        bias: bool = False,
        positions: bool = False,
        residual: bool = True,
        attention_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.channels = positive("channels", channels)
        self.positions = flag("positions", positions)
        self.residual = flag("residual", residual)
        number("attention_dropout", attention_dropout, least=0, most=1)
        self.heads = Heads(channels, heads=heads, head_channels=head_channels, bias=bias)
        self.scale = (self.heads.key.out_features // heads) ** -0.5
        self.attention_dropout = nn.Dropout(attention_dropout)

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, "B C H W", C=self.channels)
        grid = (x.shape[2], x.shape[3])
        tokens = (x + sinusoids.grid(x, *grid, x.shape[1]) if self.positions else x).flatten(2).mT  # [B, N, C]
        y, _ = dot.attend(
            *self.heads.split(tokens, tokens, tokens),
            scale=self.scale,
            dropout=self.attention_dropout.p if self.training else 0.0,
            see=partial(self.see, "affinity", Q=grid, K=grid) if self.watched else None,
        )
        y = self.heads.merge(y).mT.unflatten(-1, grid)  # [B, C, H, W]
        z: Tensor = x + y if self.residual else y
        return z
