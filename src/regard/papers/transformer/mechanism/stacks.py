"""The transformer's encoder and decoder: layers on each other, without embeddings and without an output layer.

Attention Is All You Need. Vaswani, Shazeer, Parmar, Uszkoreit, Jones, Gomez, Kaiser, Polosukhin. NIPS 2017,
arXiv:1706.03762. Official code: tensorflow/tensor2tensor.

    m_0 = x,  m_n = encoder_n(m_{n−1})                                Section 3.1                    (1)
    y_n = decoder_n(y_{n−1}, m_N)                                                                    (2)

    The layers are those of `encoder_layer` and `decoder_layer`.

Place: between embeddings with positions and what reads out.
Cost: that of its layers; a decoder that writes word by word keeps the keys and values of the words before.
Deviations: paper none behind the last layer | official code since it is pre-norm one more LN behind each stack; torch
    and the annotated transformer always | `final_norm`.
Errata: a pre-norm stack without the last LN hands on a sum that no norm ever saw.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from regard.checks import check_input, flag, positive, whole
from regard.core import Attention
from regard.ops import heads as dot
from regard.papers.transformer.mechanism.layers import DecoderLayer, EncoderLayer, norm


class Past(NamedTuple):
    """What a decoder layer knows before the next position; every tensor has the batch first.

    Attributes:
        keys, values: of the positions before, `B h t D` and `B h t E`.
        memory_keys, memory_values: of the memory, `B h K D` and `B h K E`.
    """

    keys: Tensor
    values: Tensor
    memory_keys: Tensor
    memory_values: Tensor


class EncoderDecoder(Attention):
    """An encoder and a decoder of transformer layers.

    Args:
        channels: C of both sequences.
        layers: of the encoder.
        decoder_layers: of the decoder; None for as many.
        heads: h of every attention; has to divide C, or `head_channels` has to be given.
        head_channels: d_k, width of each head's queries and keys; None takes C / h.
        value_head_channels: d_v, width of each head's values; None takes d_k.
        hidden: width of the feed-forward networks; None takes 4C.
        activation: of the feed-forward networks: relu, gelu or gelu_tanh.
        norm_first: pre-norm rather than post-norm.
        final_norm: one more norm behind each stack; None for one if pre-norm.
        unbiased: norms divide by the unbiased deviation plus ε, as in the annotated transformer.
        eps: ε of the norms.
        bias: biases of the attentions' projections.
        causal: a position of the second sequence sees those up to its own only.
        dropout: of the sublayers' outputs.
        attention_dropout: of the weights.
        hidden_dropout: within the feed-forward networks.

    Shapes: x `B K C`, y `B T C`, and masks of booleans, True where seen, all optional: visible of x, `B K`, `B K K` or
        `B h K K`, own of y, `B T`, `B T T` or `B h T T`, and memory_visible from y to x, `B K`, `B T K` or `B h T K`
        (None for visible if this is `B K`) -> `B T C`.
    Maps: those of the layers: affinity `B h K K`, self `B h T T` and cross `B h T K`.
    Raises: ValueError for an argument out of range, inputs of other shapes, or a mask that is none or does not fit.
    """

    def __init__(
        self,
        channels: int,
        *,
        layers: int = 6,
        decoder_layers: int | None = None,
        heads: int = 8,
        head_channels: int | None = None,
        value_head_channels: int | None = None,
        hidden: int | None = None,
        activation: str = "relu",
        norm_first: bool = False,
        final_norm: bool | None = None,
        unbiased: bool = False,
        eps: float = 1e-6,
        bias: bool = False,
        causal: bool = True,
        dropout: float = 0.1,
        attention_dropout: float = 0.0,
        hidden_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.channels = positive("channels", channels)
        positive("layers", layers)
        behind = layers if decoder_layers is None else positive("decoder_layers", decoder_layers)
        for name, count in (("layers", layers), ("decoder_layers", behind)):
            whole(name, count, 1, 1000)
        if final_norm is not None:
            flag("final_norm", final_norm)
        settings: dict[str, Any] = {
            "heads": heads,
            "head_channels": head_channels,
            "value_head_channels": value_head_channels,
            "hidden": hidden,
            "activation": activation,
            "norm_first": norm_first,
            "unbiased": unbiased,
            "eps": eps,
            "bias": bias,
            "dropout": dropout,
            "attention_dropout": attention_dropout,
            "hidden_dropout": hidden_dropout,
        }
        self.encoder = nn.ModuleList([EncoderLayer(channels, **settings) for _ in range(layers)])
        self.decoder = nn.ModuleList([DecoderLayer(channels, causal=causal, **settings) for _ in range(behind)])
        ends = norm_first if final_norm is None else final_norm
        self.norms = nn.ModuleList([norm(channels, unbiased, eps) for _ in range(2)] if ends else [])

    def forward(
        self,
        x: Tensor,
        y: Tensor,
        visible: Tensor | None = None,
        own: Tensor | None = None,
        memory_visible: Tensor | None = None,
    ) -> Tensor:
        memory = self.encode(x, visible)
        if memory_visible is None and visible is not None and visible.ndim == 2:
            memory_visible = visible
        return self.decode(y, memory, own, memory_visible)

    def encode(self, x: Tensor, visible: Tensor | None = None) -> Tensor:
        """Equation (1): the memory `B K C`."""
        check_input(x, "B K C", C=self.channels)
        for layer in self.encoder:
            x = layer(x, visible)
        return self.norms[0](x) if len(self.norms) else x

    def decode(
        self, y: Tensor, memory: Tensor, own: Tensor | None = None, memory_visible: Tensor | None = None
    ) -> Tensor:
        """Equation (2): `B T C`."""
        check_input(y, "B T C", B=memory.shape[0], C=self.channels)
        for layer in self.decoder:
            y = layer(y, memory, own, memory_visible)
        return self.norms[1](y) if len(self.norms) else y

    def begin(self, memory: Tensor) -> tuple[Past, ...]:
        """What each layer of the decoder knows before the first position."""
        return tuple(_before(layer, memory) for layer in self._decoders())

    def advance(self, y: Tensor, past: tuple[Past, ...], memory_visible: Tensor | None) -> Advanced:
        """One more position of the second sequence, as `decode` of a causal decoder computes it: y `B 1 C`.

        Args:
            y: the position.
            past: what `begin` or the call before returned.
            memory_visible: `bool B K`.
        """
        after, cross = [], []
        for layer, before in zip(self._decoders(), past, strict=True):
            y, known, weights = _advanced(layer, y, before, memory_visible)
            after.append(known)
            cross.append(weights)
        y = self.norms[1](y) if len(self.norms) else y
        return Advanced(y, tuple(after), torch.stack(cross, 1))

    def _decoders(self) -> list[DecoderLayer]:
        return [layer for layer in self.decoder if isinstance(layer, DecoderLayer)]


class Advanced(NamedTuple):
    """One more position of a decoder.

    Attributes:
        output: `B 1 C`.
        past: what each layer knows after it.
        cross: the weights of every layer and head over the memory, `B N h K`.
    """

    output: Tensor
    past: tuple[Past, ...]
    cross: Tensor


def _before(layer: DecoderLayer, memory: Tensor) -> Past:
    """What a layer knows before the first position."""
    keys, values = (layer.cross.by_head(project(memory)) for project in (layer.cross.key, layer.cross.value))
    return Past(keys[:, :, :0], values[:, :, :0], keys, values)


def _advanced(layer: DecoderLayer, x: Tensor, past: Past, memory_visible: Tensor | None) -> tuple[Tensor, Past, Tensor]:
    """The next position x `B 1 C` alone, as the layer computes it among the others if it is causal.

    Returns: `B 1 C`; what the layer knows after it; and the weights over the memory, `B h K`.
    """
    drop = layer.attention_dropout.p if layer.training else 0.0
    n = layer.first.before(x)
    q, k, v = layer.heads.split(n, n, n)
    keys, values = torch.cat([past.keys, k], 2), torch.cat([past.values, v], 2)
    y, _ = dot.attend(q, keys, values, scale=q.shape[-1] ** -0.5, dropout=drop)
    x = layer.first.after(x, layer.heads.merge(y))
    q = layer.cross.by_head(layer.cross.query(layer.middle.before(x)))
    y, a = dot.attend(
        q,
        past.memory_keys,
        past.memory_values,
        scale=q.shape[-1] ** -0.5,
        visible=memory_visible,
        dropout=drop,
        see=lambda weights: weights,
    )
    assert a is not None
    x = layer.middle.after(x, layer.cross.merge(y))
    x = layer.last.after(x, layer.feed(layer.last.before(x)))
    return x, past._replace(keys=keys, values=values), a[:, :, 0]
