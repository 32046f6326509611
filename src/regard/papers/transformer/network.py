"""The Transformer: a translator of attention alone.

Attention Is All You Need. Vaswani, Shazeer, Parmar, Uszkoreit, Jones, Gomez, Kaiser, Polosukhin. NIPS 2017,
arXiv:1706.03762. Official code: tensorflow/tensor2tensor.

    x_t = dropout(√C E w_t + P_t)                                     Sections 3.4, 3.5              (1)
    z = decoder(y, encoder(x)),  p(w_t) = softmax(E z_t)              one matrix E for both languages (2)

    P are the sinusoids of `sinusoidal`, encoder and decoder those of `encoder_decoder`.

Place: a whole system; source and target words have one vocabulary for `shared="all"`.
Cost: that of its layers, and C·V multiplications for each word that is predicted. 63,045,632 parameters with 6 layers
    of 512 channels at a shared vocabulary of 37,000.
Deviations: paper shares E between both embeddings and the output | ports share it less often | `shared`. Paper
    multiplies the embeddings by √C | jadore801120 divides the logits by √C in place of it, and normalises the sum of
    (1) once more | `scale`, `embedding_norm`. The paper's output has no bias | the annotated transformer's has |
    `output_bias`.
    Positions are computed in float64 for any length | ports keep a float32 table with the weights | `positions`.
    E starts at normal numbers of C^-½, as in the official code, and every other matrix at Xavier's uniform numbers.
Errata: a decoder that computes a mask of the past and forgets that of padding in the memory attends to nothing that
    was written. Dropout of a tenth is that of the base model; the big one has 0.3.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regard.checks import check_input, choice, flag, number, positive
from regard.core import Attention
from regard.networks.captioner import Step, log_softmax
from regard.ops import positions as sinusoids
from regard.papers.transformer.mechanism.layers import norm
from regard.papers.transformer.mechanism.stacks import EncoderDecoder, Past

SHARED = ("all", "embeddings", "output", "none")
SCALES = ("embeddings", "logits", "none")


class Written(NamedTuple):
    """What the decoder knows before each word; every tensor has the batch first.

    Attributes:
        visible: `bool B T`, where there is a source word.
        past: keys and values of every layer, of the words before and of the memory.
    """

    visible: Tensor
    past: tuple[Past, ...]


class Transformer(Attention):
    """The Transformer, encoder and decoder with their embeddings and output.

    Args:
        channels: C.
        source_vocabulary: words of the source language, with padding, start, end and unknown.
        vocabulary: words of the target language, likewise.
        layers: of the encoder.
        decoder_layers: of the decoder; None for as many.
        heads: h of every attention.
        head_channels, value_head_channels: widths of each head; None takes C / h.
        hidden: width of the feed-forward networks; None takes 4C.
        activation: of the feed-forward networks: relu, gelu or gelu_tanh.
        shared: what is one matrix: "all", both embeddings and the output layer; both "embeddings"; the target's
            embedding and the "output" layer; or "none". The first two need as many source as target words.
        scale: what is scaled: "embeddings" by √C, "logits" by 1/√C, or "none".
        embedding_norm: one more norm behind the sum of (1), in the encoder and the decoder.
        output_bias: a bias of the output layer.
        positions: rows of a table of positions that is kept with the weights; None computes them for any length.
        norm_first: pre-norm rather than post-norm.
        final_norm: one more norm behind each stack; None for one if pre-norm.
        unbiased: norms divide by the unbiased deviation plus ε, as in the annotated transformer.
        eps: ε of the norms.
        bias: biases of the attentions' projections.
        dropout: of the sublayers' outputs, and of the sum of (1).
        attention_dropout: of the weights.
        hidden_dropout: within the feed-forward networks.

    Shapes: source `word B T`, source_mask `bool B T`, true where there is a word (None: everywhere), words `word B L`,
        the first of which is the start -> log-probabilities `B L vocabulary` of the word after each.
    Maps: affinity `B h T T` of each layer of the encoder, self `B h L L` and cross `B h L T` of the decoder's.
    Raises: ValueError for an argument out of range, inputs of other shapes, or a sentence longer than `positions`.
    """

    seen = ("source", "source_mask")

    def __init__(
        self,
        channels: int = 512,
        *,
        source_vocabulary: int,
        vocabulary: int,
        layers: int = 6,
        decoder_layers: int | None = None,
        heads: int = 8,
        head_channels: int | None = None,
        value_head_channels: int | None = None,
        hidden: int | None = None,
        activation: str = "relu",
        shared: str = "output",
        scale: str = "embeddings",
        embedding_norm: bool = False,
        output_bias: bool = False,
        positions: int | None = None,
        norm_first: bool = False,
        final_norm: bool | None = None,
        unbiased: bool = False,
        eps: float = 1e-6,
        bias: bool = False,
        dropout: float = 0.1,
        attention_dropout: float = 0.0,
        hidden_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        positive("source_vocabulary", source_vocabulary)
        self.vocabulary = positive("vocabulary", vocabulary)
        choice("shared", shared, SHARED)
        if shared in ("all", "embeddings") and source_vocabulary != vocabulary:
            raise ValueError(
                f"shared={shared!r}: source_vocabulary={source_vocabulary} has to equal vocabulary={vocabulary}"
            )
        self.scale = choice("scale", scale, SCALES)
        flag("embedding_norm", embedding_norm)
        flag("output_bias", output_bias)
        if positions is not None:
            positive("positions", positions)
        self.channels = positive("channels", channels)
        self.stacks = EncoderDecoder(
            channels,
            layers=layers,
            decoder_layers=decoder_layers,
            heads=heads,
            head_channels=head_channels,
            value_head_channels=value_head_channels,
            hidden=hidden,
            activation=activation,
            norm_first=norm_first,
            final_norm=final_norm,
            unbiased=unbiased,
            eps=eps,
            bias=bias,
            dropout=dropout,
            attention_dropout=attention_dropout,
            hidden_dropout=hidden_dropout,
        )
        self.target = nn.Embedding(vocabulary, channels)
        self.source = None if shared in ("all", "embeddings") else nn.Embedding(source_vocabulary, channels)
        self.output = None if shared in ("all", "output") else nn.Linear(channels, vocabulary, bias=False)
        self.output_bias = nn.Parameter(torch.zeros(vocabulary)) if output_bias else None
        self.norms = nn.ModuleList([norm(channels, unbiased, eps) for _ in range(2)] if embedding_norm else [])
        self.table: Tensor | None
        rows = None if positions is None else sinusoids.sequence(self.target.weight, positions, channels).clone()
        self.register_buffer("table", rows)
        self.dropout = nn.Dropout(number("dropout", dropout, least=0, most=1))
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
            elif isinstance(layer, nn.Embedding):
                nn.init.normal_(layer.weight, std=channels**-0.5)

    def forward(self, source: Tensor, source_mask: Tensor | None, words: Tensor) -> Tensor:
        return log_softmax(self.logits(source, source_mask, words))

    def logits(
        self, source: Tensor, source_mask: Tensor | None, words: Tensor, visible: Tensor | None = None
    ) -> Tensor:
        """The logits `B L V`.

        Args:
            source, source_mask, words: as in `forward`.
            visible: `bool B L`, target words that are seen; a sentence that is padded at its end needs none.
        """
        check_input(words, "B L", B=source.shape[0])
        memory, seen = self._memory(source, source_mask)
        return self._read(self.stacks.decode(self._embedded(words, self.target, 1), memory, visible, seen))

    def start(self, source: Tensor, source_mask: Tensor | None = None) -> Written:
        """What is known before the first word."""
        memory, visible = self._memory(source, source_mask)
        return Written(visible, self.stacks.begin(memory))

    def step(self, words: Tensor, state: Written) -> Step:
        """The log-probabilities of the word after `words`, `word B`; the map attention is `B N h T`, layer by layer."""
        y = self._embedded(words[:, None], self.target, 1, first=state.past[0].keys.shape[2])
        output, past, cross = self.stacks.advance(y, state.past, state.visible)
        return Step(log_softmax(self._read(output)[:, 0]), state._replace(past=past), {"attention": cross})

    def _memory(self, source: Tensor, source_mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """The memory `B T C`, and where it is no padding."""
        check_input(source, "B T")
        visible = torch.ones_like(source, dtype=torch.bool) if source_mask is None else source_mask
        check_input(visible, "B T", B=source.shape[0], T=source.shape[1])
        x = self._embedded(source, self.target if self.source is None else self.source, 0)
        return self.stacks.encode(x, visible), visible

    def _embedded(self, words: Tensor, embedding: nn.Module, side: int, first: int = 0) -> Tensor:
        """Equation (1) for words from position `first` on."""
        e: Tensor = embedding(words)
        end = first + words.shape[1]
        if self.table is None:
            rows = sinusoids.sequence(e, end, self.channels)
        else:
            rows = self.table.to(e.dtype)
            if end > len(rows):
                raise ValueError(f"input of {end} words: at most positions={len(rows)} are possible")
        y = (e * self.channels**0.5 if self.scale == "embeddings" else e) + rows[first:end]
        y = self.dropout(y)
        normed: Tensor = self.norms[side](y) if len(self.norms) else y
        return normed

    def _read(self, z: Tensor) -> Tensor:
        """Equation (2) without the softmax."""
        weight = self.target.weight if self.output is None else self.output.weight
        logits = F.linear(z, weight, self.output_bias)
        return logits * self.channels**-0.5 if self.scale == "logits" else logits
