"""gLSTM: a captioner whose memory is guided at every word by one vector of what the image means.

Guiding the Long-Short Term Memory Model for Image Caption Generation. Jia, Gavves, Fernando, Tuytelaars. ICCV 2015,
arXiv:1509.04942. Official code: none; recorded are the equations as transcribed.

    i, f, o = σ(W x_t + U m_{t-1} + Q g)                                             Eq. 8–10  (1)
    c_t = f ⊙ c_{t-1} + i ⊙ tanh(W_c x_t + U_c m_{t-1} + Q_c g)                      Eq. 11    (2)
    m_t = o ⊙ c_t                                                                    Eq. 12    (3)
    log p(S_{t+1}) = log softmax(W_o m_t + b_o)                                                (4)

    x_{-1} is the embedded image, as in NIC, and g is the same at every step. Where it comes from is another matter
    (`guides`): sentences of similar training images (ret-gLSTM, source="retrieval"), a space that images and sentences
    share (emb-gLSTM, source="cca"), or the image itself (img-gLSTM, guide=None). Sentences are ranked by Σ log p
    divided by a function of their length (`ops.beam_search`, equations 4 to 6 there).

Place: a network of its own, without attention over places.
Cost: NIC's, and 4·hidden·guide once for each image: the guide's share is computed before the first word. Retrieval
    keeps feature and words of each training image: of COCO's 82,783 at 512 channels and 1,000 words half a gigabyte.
Deviations: paper (3) | the same, and `cell="tanh"` for o ⊙ tanh(c) of later codes. One bias, in W.
Errata: g enters the candidate too, not only the three gates.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor, nn

from regard.checks import check_input, choice, number, positive
from regard.core import Attention
from regard.networks.captioner import Encoder, Step, log_softmax, teacher_forced
from regard.papers.guided_lstm.guides import CommonSpace, Retrieval

SOURCES = ("given", "retrieval", "cca")
CELLS = ("linear", "tanh")


class Memory(NamedTuple):
    """What is known before each word: m and c `B hidden`, and the guide's share of the gates `B 4·hidden`."""

    output: Tensor
    cell: Tensor
    guided: Tensor


class GuidedLSTM(Attention):
    """A captioner that sees the image once and its guide at every word.

    Args:
        channels: of the global feature of an image, or with a backbone of the image.
        vocabulary: V, the number of words, the four special ones included.
        guide: width of the guide; None for the image itself, whose feature then guides (img-gLSTM).
        source: where a guide of this width is from: "given" with the image; or found from its feature, by "retrieval"
            of training images or in the common space of a "cca"; see `guides`.
        known: the number of training images, for retrieval.
        count: of the images whose captions are averaged, for retrieval.
        backbone: a network of timm's, or "convolutions", see `networks.captioner.Encoder`; None takes features.
        embed: width of the embeddings of words and image.
        hidden: width of the memory.
        cell: "linear" for equation (3), or "tanh".
        dropout: probability that a value is dropped before the scores.

    Shapes: features `B C` (or an image `B C H W` with a backbone), guide `B G` if it is given, words `B L` ->
        log-probabilities `B L V` of the word after each.
    Maps: none.
    Raises: ValueError for an argument out of range or an input of another shape; LookupError for an unknown backbone.
    """

    def __init__(
        self,
        channels: int,
        *,
        vocabulary: int,
        guide: int | None = None,
        source: str = "given",
        known: int | None = None,
        count: int = 15,
        backbone: str | None = None,
        embed: int = 256,
        hidden: int = 256,
        cell: str = "linear",
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.channels, self.vocabulary = positive("channels", channels), positive("vocabulary", vocabulary)
        self.hidden = positive("hidden", hidden)
        positive("embed", embed)
        self.guide = None if guide is None else positive("guide", guide)
        self.cell = choice("cell", cell, CELLS)
        self.encoder = None if backbone is None else Encoder(backbone, channels)
        width = channels if self.encoder is None else self.encoder.width
        choice("source", source, SOURCES), positive("count", count)
        if known is not None:
            positive("known", known)
        if source != "given" and guide is None:
            raise ValueError(f"source={source!r}: the width of the guide is needed, guide=…")
        self.given = guide is not None and source == "given"
        self.seen = ("features" if backbone is None else "image", *(["guide"] if self.given else []))
        self.guiding: Retrieval | CommonSpace | None = None
        if guide is not None and source == "retrieval":
            if known is None:
                raise ValueError("known=None: the number of training images is needed with source='retrieval'")
            self.guiding = Retrieval(width, width=guide, known=known, count=count)
        elif guide is not None and source == "cca":
            self.guiding = CommonSpace(width, width=guide)
        self.image = nn.Linear(width, embed)
        self.words = nn.Embedding(vocabulary, embed)
        self.input = nn.Linear(embed, 4 * hidden)
        self.state = nn.Linear(hidden, 4 * hidden, bias=False)
        self.guides = nn.Linear(guide or width, 4 * hidden, bias=False)
        self.dropout = nn.Dropout(number("dropout", dropout, least=0, most=1))
        self.scores = nn.Linear(hidden, vocabulary)
        for layer in (self.words, self.scores):
            nn.init.uniform_(layer.weight, -0.1, 0.1)
        nn.init.zeros_(self.scores.bias)

    def start_from(self, state: Mapping[str, Tensor] | None = None) -> None:
        """Loads the weights of the image encoder; see `networks.captioner.Encoder.start_from`."""
        if self.encoder is not None:
            self.encoder.start_from(state)

    def feature(self, seen: Tensor) -> Tensor:
        """The global feature of an image, `B C`."""
        if self.encoder is not None:
            pooled: Tensor = self.encoder(seen).mean((2, 3))
            return pooled
        check_input(seen, "B C", C=self.channels)
        return seen

    def start(self, seen: Tensor, guide: Tensor | None = None) -> Memory:
        """What is known after the image."""
        seen = self.feature(seen)
        if not self.given:
            guide = seen if self.guiding is None else self.guiding(seen)
        elif guide is None:
            raise ValueError("guide=None: the guide of each image is needed, B G")
        else:
            check_input(guide, "B G", B=seen.shape[0], G=self.guide or 0)
        x = self.image(seen)
        empty = x.new_zeros(x.shape[0], self.hidden)
        return self._remembered(x, Memory(empty, empty, self.guides(guide)))

    def step(self, words: Tensor, state: Memory) -> Step:
        state = self._remembered(self.words(words), state)
        return Step(log_softmax(self.scores(self.dropout(state.output))), state, {})

    def forward(self, *inputs: Tensor) -> Tensor:
        *seen, words = inputs
        check_input(words, "B L", B=inputs[0].shape[0])
        return teacher_forced(self, seen, words).log_probabilities

    def _remembered(self, x: Tensor, memory: Memory) -> Memory:
        """Equations (1) to (3)."""
        i, f, o, g = (self.input(x) + self.state(memory.output) + memory.guided).chunk(4, 1)
        c = f.sigmoid() * memory.cell + i.sigmoid() * g.tanh()
        return Memory(o.sigmoid() * (c.tanh() if self.cell == "tanh" else c), c, memory.guided)
