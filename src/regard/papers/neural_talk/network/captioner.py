"""NeuralTalk: a recurrent network that writes what it sees, in the forms of the paper and of both released codes.

Deep Visual-Semantic Alignments for Generating Image Descriptions. Karpathy, Fei-Fei. CVPR 2015, arXiv:1412.2306.
Official code: karpathy/neuraltalk (NumPy) and karpathy/neuraltalk2 (Torch). f is the image's feature.

    b_v = W_e f + b_e                                                                        Eq. 13   (1)
    h_t = max(0, b_v + W_xh x_t + b_xh + W_hh h_{t-1} + b_hh)      cell="rnn"                Eq. 14   (2)
    x_{-1} = b_v;  i, f, o = σ(W x_t + U h_{t-1} + b)              the other cells                    (3)
    c_t = f ⊙ c_{t-1} + i ⊙ tanh(W_c x_t + U_c h_{t-1} + b_c)                                         (4)
    h_t = o ⊙ tanh(c_t)        cell="tanh";    o ⊙ c_t             cell="linear"                      (5)
    log p(S_{t+1}) = log softmax(W_o h_t + b_o)                                              Eq. 15   (6)

Place: a network of its own, without attention: what captioners with attention are compared with.
Cost: for each word 4·hidden·(embed + hidden) multiplications a layer, a quarter of it with cell="rnn", and V·hidden
    for the scores.
Deviations: paper (2) with b_v at t = 1 only | neuraltalk adds it at every step, unless `rnn_feed_once` | as released,
    and `once=True` as in the paper. neuraltalk's LSTM has cell="linear" by default (`tanhC_version` 0), one bias and a
    width of words equal to that of the memory; neuraltalk2's has cell="tanh", `layers`, and a second bias in U | both
    biases. neuraltalk can put a ReLU on b_v and on W_xh x_t + b_xh | `rectified`. neuraltalk drops out the input of the
    memory and its output, neuraltalk2 the output of each layer | the output of each layer. The prediction at the image
    is dropped, as in all of them.
Errata: with cell="rnn" the image is added to the first word and is no step of its own. The released codes have one row
    for start and end (0, or V + 1 counted from 1); here each has its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from regard.checks import check_input, choice, flag, number, positive
from regard.core import Attention
from regard.networks.captioner import Encoder, Step, log_softmax, teacher_forced

CELLS = ("tanh", "linear", "rnn")


class Memory(NamedTuple):
    """What is known before each word.

    Attributes:
        hidden: h of each layer, `B layers hidden`.
        cell: c of each layer; of a "rnn", which has none, b_v `B 1 hidden`, or zeros where it is no longer added.
    """

    hidden: Tensor
    cell: Tensor


class _Layer(nn.Module):
    """One layer of memory: the maps of its input and of the output before, in the order i, f, o, candidate."""

    def __init__(self, before: int, hidden: int, cell: str) -> None:
        super().__init__()
        chunks = 1 if cell == "rnn" else 4
        self.kind = cell
        self.input = nn.Linear(before, chunks * hidden)
        self.state = nn.Linear(hidden, chunks * hidden)

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """The new output and the new cell, of `B before` and two of `B hidden`: equations (3) to (5)."""
        i, f, o, g = (self.input(x) + self.state(h)).chunk(4, 1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return o.sigmoid() * (c.tanh() if self.kind == "tanh" else c), c


class NeuralTalk(Attention):
    """A captioner that sees the image once or at every word, and has no attention.

    Args:
        channels: of the global feature of an image, or with a backbone of the image.
        vocabulary: V, the number of words, the four special ones included.
        backbone: a network of timm's, or "convolutions", see `networks.captioner.Encoder`; None takes features.
        embed: width of the embeddings of words, and of the image but for cell="rnn".
        hidden: width of the memory.
        layers: number of layers of memory; 1 for cell="rnn".
        cell: "tanh", "linear" or "rnn", equations (2) to (5).
        once: whether cell="rnn" sees the image at the first word only.
        rectified: whether cell="rnn" has a ReLU on its encodings of image and words.
        dropout: probability that a value of a layer's output is dropped.

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
        cell: str = "tanh",
        once: bool = False,
        rectified: bool = False,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.channels, self.vocabulary = positive("channels", channels), positive("vocabulary", vocabulary)
        positive("embed", embed)
        self.hidden = positive("hidden", hidden)
        self.cell = choice("cell", cell, CELLS)
        if cell == "rnn" and positive("layers", layers) != 1:
            raise ValueError(f"layers={layers!r}: 1 is needed with cell='rnn'")
        if cell != "rnn" and (once or rectified):
            raise ValueError(f"cell={cell!r}: 'rnn' is needed with once=True or rectified=True")
        self.once, self.rectified = flag("once", once), flag("rectified", rectified)
        self.encoder = None if backbone is None else Encoder(backbone, channels)
        self.seen = ("features",) if self.encoder is None else ("image",)
        seen = channels if self.encoder is None else self.encoder.width
        self.image: nn.Module = nn.Linear(seen, hidden if cell == "rnn" else embed)
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

    def start(self, seen: Tensor) -> Memory:
        """What is known before the first word: with an LSTM the memory after the image."""
        if self.encoder is None:
            check_input(seen, "B C", C=self.channels)
        else:
            seen = self.encoder(seen).mean((2, 3))
        image = self.image(seen)
        empty = image.new_zeros(image.shape[0], len(self.layers), self.hidden)
        if self.cell == "rnn":
            return Memory(empty, image[:, None])
        return self._through(image, Memory(empty, empty))[1]

    def step(self, words: Tensor, state: Memory) -> Step:
        h, state = self._through(self.words(words), state)
        return Step(log_softmax(self.scores(h)), state, {})

    def forward(self, seen: Tensor, words: Tensor) -> Tensor:
        check_input(words, "B L", B=seen.shape[0])
        return teacher_forced(self, (seen,), words).log_probabilities

    def _recurrent(self, layer: _Layer, x: Tensor, h: Tensor, image: Tensor) -> Tensor:
        """The new output of equation (2)."""
        word, image = layer.input(x), image.relu() if self.rectified else image
        output: Tensor = (image + (word.relu() if self.rectified else word) + layer.state(h)).relu()
        return output

    def _through(self, x: Tensor, state: Memory) -> tuple[Tensor, Memory]:
        """The output of the last layer, and what is known afterwards."""
        outputs, cells = [], []
        for layer, h, c in zip(self.layers, state.hidden.unbind(1), state.cell.unbind(1), strict=True):
            assert isinstance(layer, _Layer)
            if self.cell == "rnn":
                h, c = self._recurrent(layer, x, h, c), torch.zeros_like(c) if self.once else c
            else:
                h, c = layer(x, h, c)
            outputs.append(h)
            cells.append(c)
            x = self.dropout(h)
        return x, Memory(torch.stack(outputs, 1), torch.stack(cells, 1))
