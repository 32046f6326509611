"""A captioner that sees an image as the probabilities of its attributes, once, before the first word.

What Value Do Explicit High Level Concepts Have in Vision to Language Problems? Wu, Shen, Liu, Dick, van den Hengel.
CVPR 2016, arXiv:1506.01144, Section 3.2. Official code: none; recorded are the equations as transcribed.

    x_{-1} = W_ea V_att(I)                                          Eq. 5  (1)
    x_t    = W_es S_t                                                      (2)
    i, f, o = σ(W x_t + U h_{t-1})                                  Eq. 6  (3)
    c_t    = f ⊙ c_{t-1} + i ⊙ tanh(W_c x_t + U_c h_{t-1})                 (4)
    h_t    = o ⊙ tanh(c_t)                                                 (5)
    log p(S_{t+1}) = log softmax(W_o h_t + b_o)                            (6)

Place: a network of its own; V_att comes from `attribute_net`, which may be a part of it.
Cost: for each word 4·hidden·(embed + hidden) multiplications and V·hidden for the scores; for the attributes see there.
Deviations: paper (5) is of its figure; NIC, which it follows, has o ⊙ c | `cell="linear"`. The paper trains V_att
    before, and keeps it | the recipe does so in two phases. The paper also puts attributes into a network that answers
    questions, which is not built.
Errata: V_att are probabilities, not the scores; their order is that of the vocabulary of attributes, which belongs to
    the weights.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from regard.checks import check_input, choice, flag, number, positive
from regard.core import Attention
from regard.networks.captioner import Step, log_softmax, teacher_forced
from regard.papers.attribute_lstm.mechanism import AttributeNet

CELLS = ("tanh", "linear")


class AttributeLSTM(Attention):
    """A captioner of attributes: an LSTM whose first input are the probabilities of an image's attributes.

    Args:
        channels: the number of attributes, or with a backbone the channels of the image.
        vocabulary: V, the number of words, the four special ones included.
        backbone: of the attribute network, see `networks.captioner.Encoder`; None takes the probabilities.
        attributes: A, the number of attributes, with a backbone.
        proposals: whether boxes of an image are hypotheses beside the whole of it, with a backbone.
        embed: width of the embeddings of words and attributes.
        hidden: width of the memory.
        cell: "tanh" for equation (5), or "linear".
        dropout: probability that a value is dropped before the scores.

    Shapes: probabilities `B A` (or an image `B C H W` with a backbone, then also boxes `B N 4` and `bool B N` with
        proposals), words `B L` -> log-probabilities `B L V` of the word after each.
    Maps: none; those of the attribute network with a backbone.
    Raises: ValueError for an argument out of range or an input of another shape; LookupError for an unknown backbone.
    """

    def __init__(
        self,
        channels: int,
        *,
        vocabulary: int,
        backbone: str | None = None,
        attributes: int = 256,
        proposals: bool = False,
        embed: int = 256,
        hidden: int = 512,
        cell: str = "tanh",
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.channels, self.vocabulary = positive("channels", channels), positive("vocabulary", vocabulary)
        self.hidden = positive("hidden", hidden)
        positive("embed", embed)
        positive("attributes", attributes)
        self.cell = choice("cell", cell, CELLS)
        if flag("proposals", proposals) and backbone is None:
            raise ValueError("backbone=None: a network is needed with proposals=True, which sees the boxes")
        self.attributes = None if backbone is None else AttributeNet(channels, attributes=attributes, backbone=backbone)
        self.seen = ("features",) if backbone is None else ("image", "boxes", "boxes_mask")[: 3 if proposals else 1]
        self.image = nn.Linear(channels if backbone is None else attributes, embed, bias=False)
        self.words = nn.Embedding(vocabulary, embed)
        self.input = nn.Linear(embed, 4 * hidden, bias=False)
        self.state = nn.Linear(hidden, 4 * hidden, bias=False)
        self.dropout = nn.Dropout(number("dropout", dropout, least=0, most=1))
        self.scores = nn.Linear(hidden, vocabulary)
        for layer in (self.words, self.scores):
            nn.init.uniform_(layer.weight, -0.1, 0.1)
        nn.init.zeros_(self.scores.bias)

    def start_from(self, state: Mapping[str, Tensor] | None = None) -> None:
        """Loads the weights of the image encoder; see `networks.captioner.Encoder.start_from`."""
        if self.attributes is not None:
            self.attributes.start_from(state)

    def start(self, *seen: Tensor | None) -> tuple[Tensor, Tensor]:
        """The memory after the attributes: h and c, `B hidden` each."""
        x = self.image(self.recognised(*seen))
        empty = x.new_zeros(x.shape[0], self.hidden)
        return self._remembered(x, empty, empty)

    def recognised(self, *seen: Tensor | None) -> Tensor:
        """V_att, the probabilities of the attributes, `B A`."""
        if self.attributes is None:
            (probabilities,) = seen
            assert probabilities is not None
            check_input(probabilities, "B C", C=self.channels)
            return probabilities
        shares: Tensor = self.attributes(*seen).sigmoid()
        return shares

    def step(self, words: Tensor, state: tuple[Tensor, Tensor]) -> Step:
        h, c = self._remembered(self.words(words), *state)
        return Step(log_softmax(self.scores(self.dropout(h))), (h, c), {})

    def forward(self, *inputs: Tensor) -> Tensor:
        *seen, words = inputs
        check_input(words, "B L", B=inputs[0].shape[0])
        return teacher_forced(self, seen, words).log_probabilities

    def _remembered(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """The new h and c: equations (3) to (5)."""
        i, f, o, g = (self.input(x) + self.state(h)).chunk(4, 1)
        c = f.sigmoid() * c + i.sigmoid() * torch.tanh(g)
        return o.sigmoid() * (c.tanh() if self.cell == "tanh" else c), c
