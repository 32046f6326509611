"""Knowing When to Look: for every word a captioner looks at the image, or at a sentinel of what it knows already.

Knowing When to Look: Adaptive Attention via A Visual Sentinel for Image Captioning. Lu, Xiong, Parikh, Socher.
CVPR 2017, arXiv:1612.01887. Official code: jiasenlu/AdaptiveAttention (Lua).

    v_i = ReLU(W_a a_i),  v^g = ReLU(W_b mean_i a_i),  x_t = [w_t; v^g]                         Eq. 15–17   (1)
    h_t, m_t = LSTM(x_t, h_{t−1}, m_{t−1})                                                      Eq. 5       (2)
    s_t = σ(W_x x_t + W_h h_{t−1}) ∘ tanh(m_t)                                                  Eq. 9, 10   (3)
    z_i = w_hᵀ tanh(W_v v_i + W_g h_t),  α = softmax(z),  c = Σ_i α_i v_i                       Eq. 6–8     (4)
    β   = last of softmax([z; w_hᵀ tanh(W_s s_t + W_g h_t)])                                    Eq. 12      (5)
    ĉ   = β s_t + (1 − β) c                                                                     Eq. 11      (6)
    p   = softmax(W_p (ĉ + h_t))                                                                Eq. 13      (7)

Place: a network of its own, over the map of any backbone (the paper: ResNet-152's last, 7 × 7 × 2048) or over regions.
Cost: for a word 4n(2m + n) multiplications of the memory, n(2m + n) of the sentinel, k·n·(N + 2) of the attention
    over N places, and V·n for the scores.
Deviations: paper | released | here: `AdaptiveAttention` is the paper's, with the dropouts of yufengm/Adaptive, which
    follows the equations; `sentinel=False` is its spatial-only model. `AdaAtt` is the released one: the word and the
    image go through rectifiers and enter the gates by matrices of their own; places, sentinel and h_t are embedded
    twice; one softmax over the sentinel, in front, and the places, so that β and the α of (4) times 1 − β sum to 1; (7)
    is softmax(L tanh(L(ĉ + h'_t))). `maxout=True` is AdaAttMO of ruotianluo/ImageCaptioning.pytorch, which has the
    larger of two candidates. There a mask multiplies after the softmax; here masked places are not in it.
Errata: β is the weight of the sentinel: 1 − β is how much is looked, which some ports plot upside down.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor, nn

from regard.checks import check_input, flag, number, positive, whole
from regard.core import Attention
from regard.networks.captioner import Step, acting, log_softmax, teacher_forced
from regard.networks.places import EmbeddedPlaces, fields_of, mean_of, places_of, trunk_of
from regard.ops.precision import wide_linear, widened
from regard.papers.adaptive_attention.decoder import Act, ReleasedCore, Writer


class Knowing(NamedTuple):
    """The state of a decoder: what it sees, read once, and its memory.

    Attributes:
        places: embedded, `B H W n` of a map, or `B N n` of regions.
        projected: their share of the scores, `B * k`; None where each step makes it.
        whole: the image as a whole, embedded.
        visible: which regions are there, `bool B N`; None for all.
        memory: output and cell of each layer, `B n` each, one after another.
    """

    places: Tensor
    projected: Tensor | None
    whole: Tensor
    visible: Tensor | None
    memory: list[Tensor]


def _acting(model: Attention, state: Knowing) -> Act:
    """What edits make of the maps of one word."""
    grid = state.places.shape[1:-1]
    return lambda name, map: acting(model, name, map, *(grid if name == "attention" else ()))


class AdaptiveAttention(Attention):
    """Captioner that looks at the image, or at its sentinel where a word needs no look, by the paper's equations.

    Args:
        channels: of the places, or with a backbone of the image.
        vocabulary: V, the number of words, the four special ones included.
        backbone: a network of timm's, or "convolutions", see `networks.captioner.Encoder`; None takes places.
        output_stride: of the backbone: its map is at most so many times smaller than the image.
        regions: the places are regions, of which some may be padding, and not those of a map.
        embed: m, width of the embeddings of words and image.
        hidden: n, width of the memory, and of embedded places.
        attention: k, width of the scores.
        sentinel: (3) and (5); without, ĉ = c: the paper's model with spatial attention only.
        dropout: probability that a value is dropped.

    Shapes: places `B C H W`, regions `B N C` with visible `bool B N` or None, or with a backbone an image
        `B channels H W`; words `B L` -> log-probabilities `B L V` of the word after each.
    Maps: attention `B L H W` or `B L N`, sums to 1; sentinel `B L`, β.
    Raises: ValueError for an argument out of range or an input of another shape; LookupError for an unknown backbone.
    """

    def __init__(
        self,
        channels: int,
        *,
        vocabulary: int,
        backbone: str | None = None,
        output_stride: int = 32,
        regions: bool = False,
        embed: int = 512,
        hidden: int = 512,
        attention: int = 49,
        sentinel: bool = True,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.vocabulary = positive("vocabulary", vocabulary)
        positive("embed", embed), positive("attention", attention), flag("sentinel", sentinel)
        self.hidden = positive("hidden", hidden)
        number("dropout", dropout, least=0, most=1)
        self.encoder, self.regions = trunk_of(channels, backbone, output_stride, regions), regions
        self.seen = fields_of(self.encoder, regions)
        self.width = channels if self.encoder is None else self.encoder.width
        self.place, self.whole = nn.Linear(self.width, hidden), nn.Linear(self.width, embed)
        self.dropout = nn.Dropout(dropout)
        self.writer = Writer(vocabulary, embed, hidden, attention, dropout, sentinel=sentinel)

    def start_from(self, state: Mapping[str, Tensor] | None = None) -> None:
        """Loads the weights of the image encoder; see `networks.captioner.Encoder.start_from`."""
        if self.encoder is not None:
            self.encoder.start_from(state)

    def start(self, seen: Tensor, visible: Tensor | None = None) -> Knowing:
        places = places_of(seen, visible, self.encoder, self.width, self.regions)
        whole = wide_linear(self.whole, self.dropout(mean_of(places.flatten(1, -2), visible))).relu()
        places = wide_linear(self.place, self.dropout(places)).relu()
        empty = places.new_zeros(places.shape[0], self.hidden)
        return Knowing(places, None, whole, visible, [empty, empty])

    def step(self, words: Tensor, state: Knowing) -> Step:
        places = state.places.flatten(1, -2)
        logits, h, c, alpha, beta = self.writer(
            words, *state.memory, state.whole, places, state.visible, _acting(self, state)
        )
        maps = {"attention": alpha.unflatten(1, state.places.shape[1:-1])}
        if beta is not None:
            maps["sentinel"] = beta
        return Step(log_softmax(logits), state._replace(memory=[h, c]), maps)

    def forward(self, *inputs: Tensor) -> Tensor:
        *seen, words = inputs
        check_input(words, "B L", B=seen[0].shape[0])
        return teacher_forced(self, seen, words).log_probabilities


class AdaAtt(Attention):
    """Captioner that looks at the image, or at its sentinel where a word needs no look, as released.

    Args:
        channels: of the places, or with a backbone of the image.
        vocabulary: V, the number of words, the four special ones included.
        backbone: a network of timm's, or "convolutions", see `networks.captioner.Encoder`; None takes places.
        output_stride: of the backbone: its map is at most so many times smaller than the image.
        regions: the places are regions, of which some may be padding, and not those of a map.
        whole_channels: of a feature of the whole image, for `begin`; None takes the mean of the places.
        embed: width of words, image and embedded places.
        hidden: width of the memory.
        attention: width of the scores.
        layers: of the memory.
        maxout: the candidate of the memory is the larger of two, without tanh.
        norms: batch norms of the places: 0, 1 before their embedding, 2 before and behind it.
        dropout: probability that a value is dropped.

    Shapes: places `B C H W`, regions `B N C` with visible `bool B N` or None, or with a backbone an image
        `B channels H W`; words `B L` -> log-probabilities `B L V` of the word after each.
    Maps: attention `B L H W` or `B L N`, and sentinel `B L`; together they sum to 1.
    Raises: ValueError for an argument out of range or an input of another shape; LookupError for an unknown backbone.
    """

    def __init__(
        self,
        channels: int,
        *,
        vocabulary: int,
        backbone: str | None = None,
        output_stride: int = 32,
        regions: bool = False,
        whole_channels: int | None = None,
        embed: int = 512,
        hidden: int = 512,
        attention: int = 512,
        layers: int = 1,
        maxout: bool = False,
        norms: int = 0,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.vocabulary = positive("vocabulary", vocabulary)
        positive("embed", embed), positive("attention", attention), positive("layers", layers)
        self.hidden, self.depth = positive("hidden", hidden), layers
        flag("maxout", maxout), number("dropout", dropout, least=0, most=1)
        whole("norms", norms, 0, 2)
        self.encoder, self.regions = trunk_of(channels, backbone, output_stride, regions), regions
        self.seen = fields_of(self.encoder, regions)
        self.width = channels if self.encoder is None else self.encoder.width
        width = self.width if whole_channels is None else positive("whole_channels", whole_channels)
        self.words = nn.Embedding(vocabulary, embed)
        self.whole = nn.Linear(width, embed)
        self.places = EmbeddedPlaces(self.width, embed, dropout=dropout, norms=norms)
        self.projection = nn.Linear(embed, attention)
        self.core = ReleasedCore(embed, hidden, attention, layers=layers, maxout=maxout, dropout=dropout)
        self.dropout = nn.Dropout(dropout)
        self.scores = nn.Linear(embed, vocabulary)

    def start_from(self, state: Mapping[str, Tensor] | None = None) -> None:
        """Loads the weights of the image encoder; see `networks.captioner.Encoder.start_from`."""
        if self.encoder is not None:
            self.encoder.start_from(state)

    def start(self, seen: Tensor, visible: Tensor | None = None) -> Knowing:
        places = places_of(seen, visible, self.encoder, self.width, self.regions)
        return self.begin(places, mean_of(places.flatten(1, -2), visible), visible)

    def begin(self, places: Tensor, whole: Tensor, visible: Tensor | None = None) -> Knowing:
        """The first state, of places `B * C` and a feature of the whole image `B G`."""
        places = self.places(places, visible)
        whole = self.dropout(wide_linear(self.whole, whole).relu())
        empty = places.new_zeros(places.shape[0], self.hidden)
        return Knowing(places, wide_linear(self.projection, places), whole, visible, [empty] * 2 * self.depth)

    def step(self, words: Tensor, state: Knowing) -> Step:
        logits, state, maps = self.advance(words, state)
        return Step(log_softmax(logits), state, maps)

    def advance(self, words: Tensor, state: Knowing) -> tuple[Tensor, Knowing, dict[str, Tensor]]:
        """A step: the words' scores `B V`, the state, the maps."""
        assert state.projected is not None
        x = self.dropout(widened(self.words(words)).relu())
        places, projected = state.places.flatten(1, -2), state.projected.flatten(1, -2)
        out, weights, memory = self.core(
            x, state.whole, places, projected, state.memory, state.visible, _acting(self, state)
        )
        maps = {"attention": weights[:, 1:].unflatten(1, state.places.shape[1:-1]), "sentinel": weights[:, 0]}
        return wide_linear(self.scores, out), state._replace(memory=memory), maps

    def forward(self, *inputs: Tensor) -> Tensor:
        *seen, words = inputs
        check_input(words, "B L", B=seen[0].shape[0])
        return teacher_forced(self, seen, words).log_probabilities
