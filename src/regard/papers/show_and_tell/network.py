"""NIC: an LSTM writes the caption of an image that it sees once, as if it were the word before the first.

Show and Tell: A Neural Image Caption Generator. Vinyals, Toshev, Bengio, Erhan. CVPR 2015, arXiv:1411.4555.
Official code: tensorflow/models, research/im2txt; recorded are ruotianluo/ImageCaptioning.pytorch's two versions.

    x_{-1} = W_I f                     f: the mean of the last map of a convolutional network       Eq. 10  (1)
    x_t    = W_e S_t                   S_0 the start                                                Eq. 11  (2)
    i, f, o = σ(W x_t + U m_{t-1})                                                                  Eq. 4–6 (3)
    c_t    = f ⊙ c_{t-1} + i ⊙ tanh(W_c x_t + U_c m_{t-1})                                          Eq. 7   (4)
    m_t    = o ⊙ c_t                                                                                Eq. 8   (5)
    log p(S_{t+1}) = log softmax(W_o m_t + b_o)                                                     Eq. 9   (6)

Place: a network of its own, without attention: what captioners with attention are compared with.
Cost: for each word 4·hidden·(embed + hidden) multiplications a layer, and V·hidden for the scores.
Deviations: paper | released | here: m = o ⊙ c | im2txt and ImageCaptioning have o ⊙ tanh(c) | `cell="paper"`, and
    `cell="tanh"` as released. `cell="maxout"` is ImageCaptioning's FCModel: biases, and the candidate of (4) is the
    larger of two linear ones, without tanh. The prediction at the image is dropped, as in all of them. Dropout acts
    before the scores, as in ImageCaptioning; im2txt also drops inside its cell. The paper's ensembles are not built.
Errata: networks that add the image at every step are of other papers; here it is seen once. Forget biases of 1 are the
    defaults of TensorFlow's cell and not in the paper.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from regard.checks import check_input, choice, number, positive
from regard.core import Attention
from regard.networks.captioner import Encoder, Step, log_softmax, teacher_forced

CELLS = ("paper", "tanh", "maxout")


class _Layer(nn.Module):
    """One layer of memory: equations (3) to (5), or one of the released forms."""

    def __init__(self, before: int, hidden: int, cell: str) -> None:
        super().__init__()
        self.cell = cell
        chunks, bias = (5, True) if cell == "maxout" else (4, False)
        self.input = nn.Linear(before, chunks * hidden, bias=bias)
        self.state = nn.Linear(hidden, chunks * hidden, bias=bias)

    def forward(self, x: Tensor, m: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """The new output and the new cell: `B before`, `B hidden`, `B hidden` -> two of `B hidden`."""
        pre = self.input(x) + self.state(m)
        if self.cell == "maxout":
            i, f, o, one, other = pre.chunk(5, 1)
            candidate = torch.max(one, other)
        else:
            i, f, g, o = pre.chunk(4, 1)
            candidate = g.tanh()
        c = f.sigmoid() * c + i.sigmoid() * candidate
        return o.sigmoid() * (c if self.cell == "paper" else c.tanh()), c


class ShowAndTell(Attention):
    """A captioner that sees the image once and has no attention.

    Args:
        channels: of the global feature of an image, or with a backbone of the image.
        vocabulary: V, the number of words, the four special ones included.
        backbone: a network of timm's, or "convolutions", see `networks.captioner.Encoder`; None takes features.
        embed: width of the embeddings of words and image.
        hidden: width of the memory.
        layers: number of layers of memory.
        cell: "paper", "tanh" or "maxout"; see Deviations.
        dropout: probability that a value is dropped before the scores.

    Shapes: features `B C` (or an image `B C H W` with a backbone), words `B L` -> log-probabilities `B L V` of the word
        after each.
    Maps: none.
    Raises: ValueError for an argument out of range or an input of another shape; LookupError for an unknown backbone.
    """

    def __init__(
        self,
        channels: int,
        *,
        vocabulary: int,
        backbone: str | None = None,
        embed: int = 512,
        hidden: int = 512,
        layers: int = 1,
        cell: str = "paper",
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.channels, self.vocabulary = positive("channels", channels), positive("vocabulary", vocabulary)
        positive("embed", embed)
        self.hidden = positive("hidden", hidden)
        choice("cell", cell, CELLS)
        self.encoder = None if backbone is None else Encoder(backbone, channels)
        self.seen = ("features",) if self.encoder is None else ("image",)
        self.image = nn.Linear(channels if self.encoder is None else self.encoder.width, embed)
        self.words = nn.Embedding(vocabulary, embed)
        widths = [embed, *[hidden] * positive("layers", layers)]
        self.layers = nn.ModuleList(_Layer(before, hidden, cell) for before in widths[:-1])
        self.dropout = nn.Dropout(number("dropout", dropout, least=0, most=1))
        self.scores = nn.Linear(hidden, vocabulary)
        nn.init.uniform_(self.words.weight, -0.1, 0.1)
        nn.init.uniform_(self.scores.weight, -0.1, 0.1)
        nn.init.zeros_(self.scores.bias)

    def start_from(self, state: Mapping[str, Tensor] | None = None) -> None:
        """Loads the weights of the image encoder; see `networks.captioner.Encoder.start_from`."""
        if self.encoder is not None:
            self.encoder.start_from(state)

    def start(self, seen: Tensor) -> list[Tensor]:
        """The memory after the image: m and c of each layer, `B hidden` each."""
        if self.encoder is None:
            check_input(seen, "B C", C=self.channels)
        else:
            seen = self.encoder(seen).mean((2, 3))
        x = self.image(seen)
        return self._layers(x, [x.new_zeros(x.shape[0], self.hidden)] * 2 * len(self.layers))[1]

    def step(self, words: Tensor, state: list[Tensor]) -> Step:
        m, state = self._layers(self.words(words), state)
        return Step(log_softmax(self.scores(self.dropout(m))), state, {})

    def forward(self, seen: Tensor, words: Tensor) -> Tensor:
        return teacher_forced(self, (seen,), words).log_probabilities

    def _layers(self, x: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """The output of the last layer, and m and c of each."""
        after: list[Any] = []
        for i, layer in enumerate(self.layers):
            x, c = layer(x, state[2 * i], state[2 * i + 1])
            after += [x, c]
        return x, after
