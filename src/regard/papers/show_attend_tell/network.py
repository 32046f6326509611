"""Show, Attend and Tell: an LSTM looks at places of an image for every word, softly or at one of them; and att2in.

Show, Attend and Tell: Neural Image Caption Generation with Visual Attention. Xu, Ba, Kiros, Cho, Courville,
Salakhutdinov, Zemel, Bengio. ICML 2015, arXiv:1502.03044. Official code: kelvinxu/arctic-captions (Theano).

    h_0 = tanh(W_h m),  c_0 = tanh(W_c m),  m the mean of the places a_i, behind rectified layers   3.1.2  (1)
    e_i = uᵀ tanh(W a_i + V h_{t−1} + b) + c,  α = softmax(e)                                   Eq. 4, 5   (2)
    ẑ   = Σ_i α_i a_i, or hard a_i with i ~ α                                                   Eq. 8, 13  (3)
    z   = β ẑ,  β = σ(w h_{t−1} + b)                                                            4.2.1      (4)
    h_t, c_t = LSTM([E y_{t−1}; z], h_{t−1}, c_{t−1})                                           Eq. 1–3    (5)
    p(y_t) = softmax(L_o tanh(L_h h_t + L_z z + E y_{t−1}))                                     Eq. 7      (6)
    L = −Σ_t log p(y_t) + λ Σ_i (1 − Σ_t α_ti)²                                                 Eq. 14     (7)

Place: a network of its own, over the map of any backbone (the paper: VGG's conv5_3, 14 × 14 × 512) or over regions.
Cost: with N places of C channels N·C·k multiplications once, and for a word N·(C + k) of the attention, 4n·(m + C + n)
    of the memory and V·m for the scores. COCO's soft form has 35,333,450 parameters at 10,000 words.
Deviations: paper | released | here: e has one layer | `n_layers_att`, with tanh behind all but the first, 2 for COCO |
    `attention_layers`. Hard: half of the batches are soft by a coin | the same | `draws`; in evaluation paper and code
    draw (code: or take α), here the likeliest place is taken, so that two runs agree. (7) sums over
    places | the mean over places, summed over captions, and padding counts | the mean over both, as the costs here are
    means, and real words only. The word before the first is a vector of zeros | the same | the row of the start is
    zeros and is not trained. Released dropout halves all values in evaluation | torch's dropout, the same function.
    `form="tutorial"` is sgrvinod/a-PyTorch-Tutorial-to-Image-Captioning: a rectifier in (2), biases everywhere, β a
    gate for each channel, (1) without tanh, (6) a single layer of h_t, and the start a word like others.
Errata: Theano's code trains hard attention without the gradient of (7), as the gradient of α is replaced (`choosing`).
    Its 1-D encoder over the places reverses the batch in training; it stands in `published` alone. Ports that stop the
    gradient nowhere, or use a Gumbel softmax, are another method.

att2in is of Self-critical Sequence Training for Image Captioning. Rennie et al. CVPR 2017, arXiv:1612.00563; recorded
is ruotianluo/ImageCaptioning.pytorch. What is seen enters the candidate of the memory alone, which is the larger of two
and has no tanh; `into="gates"` is its att2all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from regard.checks import check_input, choice, flag, number, positive, whole
from regard.core import Attention
from regard.networks.captioner import Forced, Step, acting, log_softmax, teacher_forced
from regard.networks.places import EmbeddedPlaces, fields_of, mean_of, places_of, trunk_of
from regard.ops.precision import wide_linear, widened
from regard.ops.words import START
from regard.papers.show_attend_tell.decoder import Act, Layer, Maxout

FORMS = ("authors", "tutorial")
INTO = ("candidate", "gates")


class Looking(NamedTuple):
    """The state of a decoder: the places, read once, and its memory.

    Attributes:
        places: `B H W C` of a map, or `B N C` of regions.
        projected: their share of the scores, `B * k`, of each layer.
        visible: which regions are there, `bool B N`; None for all.
        memory: output and cell of each layer, `B n` each, one after another.
        draws: whether places are drawn, `bool B`; None in soft attention and in evaluation.
    """

    places: Tensor
    projected: list[Tensor]
    visible: Tensor | None
    memory: list[Tensor]
    draws: Tensor | None


class ShowAttendTell(Attention):
    """Captioner that looks at the places of an image for every word, softly or at one drawn place.

    Args:
        channels: of the places, or with a backbone of the image.
        vocabulary: V, the number of words, the four special ones included.
        backbone: a network of timm's, or "convolutions", see `networks.captioner.Encoder`; None takes places.
        output_stride: of the backbone: its map is at most so many times smaller than the image.
        regions: the places are regions, of which some may be padding, and not those of a map.
        embed: m, width of the embeddings.
        hidden: n, width of the memory.
        attention: k, width of the scores; None takes the channels of the places.
        layers: of memory; each looks for itself, and the last one's maps are shown.
        attention_layers: of the places in the scores.
        initial_layers: from the mean of the places to the first memory, the last one included.
        output_layers: from the memory to the words, the last one not included.
        hard: one place instead of the mean: drawn in training, the likeliest in evaluation.
        draws: probability that a batch is drawn in training, and not soft.
        temperature: factor of the scores of hard attention.
        selector: β.
        previous_word, context: whether the word before and z enter the words' scores directly.
        coverage: λ.
        dropout: probability that a value is dropped in the output layers and behind the initial ones.
        gate_dropout: values of the gates of the memory are dropped too, which the authors found not to help.
        form: "authors" or "tutorial"; the latter has one layer each, and neither `hard` nor direct inputs.

    Shapes: places `B C H W`, regions `B N C` with visible `bool B N` or None, or with a backbone an image
        `B channels H W`; words `B L` -> log-probabilities `B L V` of the word after each.
    Maps: attention `B L H W` or `B L N`, sums to 1; selector `B L`, or `B L C` in the tutorial's form; of hard
        attention also choice, the place that was taken.
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
        hidden: int = 1800,
        attention: int | None = None,
        layers: int = 1,
        attention_layers: int = 2,
        initial_layers: int = 2,
        output_layers: int = 1,
        hard: bool = False,
        draws: float = 0.5,
        temperature: float = 1.0,
        selector: bool = True,
        previous_word: bool = True,
        context: bool = True,
        coverage: float = 1.0,
        dropout: float = 0.5,
        gate_dropout: bool = False,
        form: str = "authors",
    ) -> None:
        super().__init__()
        self.vocabulary = positive("vocabulary", vocabulary)
        self.encoder, self.regions = trunk_of(channels, backbone, output_stride, regions), regions
        self.seen = fields_of(self.encoder, regions)
        positive("embed", embed), positive("hidden", hidden), positive("layers", layers)
        tutorial = choice("form", form, FORMS) == "tutorial"
        for name, depth in (
            ("attention_layers", attention_layers),
            ("initial_layers", initial_layers),
            ("output_layers", output_layers),
        ):
            positive(name, depth)
        self.hard, self.draws = flag("hard", hard), number("draws", draws, least=0, most=1)
        self.coverage, self.tutorial = number("coverage", coverage, least=0), tutorial
        number("temperature", temperature, above=0)
        flag("selector", selector), flag("previous_word", previous_word), flag("context", context)
        if tutorial and (hard or layers > 1):
            raise ValueError(f"form={form!r}: hard=False and layers=1 are needed")
        width = channels if self.encoder is None else self.encoder.width
        self.width = width
        scores = width if attention is None else positive("attention", attention)
        self.words = nn.Embedding(vocabulary, embed, padding_idx=None if tutorial else START)
        self.dropout = nn.Dropout(number("dropout", dropout, least=0, most=1))
        flag("gate_dropout", gate_dropout)
        self.initial = nn.ModuleList(nn.Linear(width, width) for _ in range(0 if tutorial else initial_layers - 1))
        self.first = nn.ModuleList(nn.Linear(width, hidden) for _ in range(2 * layers))
        self.layers = nn.ModuleList(
            Layer(
                embed if i == 0 else hidden,
                width,
                hidden,
                width=scores,
                depth=1 if tutorial else attention_layers,
                temperature=temperature if hard else 1,
                tutorial=tutorial,
                selector=selector,
                dropout=dropout if gate_dropout else 0.0,
            )
            for i in range(layers)
        )
        self.memory = None if tutorial else nn.Linear(hidden, embed)
        self.sight = nn.Linear(width, embed) if context and not tutorial else None
        self.previous_word = previous_word and not tutorial
        self.deeper = nn.ModuleList(nn.Linear(embed, embed) for _ in range(0 if tutorial else output_layers - 1))
        self.scores = nn.Linear(hidden if tutorial else embed, vocabulary)
        self.register_buffer("baseline", torch.zeros(()) if hard else None)
        nn.init.uniform_(self.words.weight, -0.1, 0.1)
        if not tutorial:
            nn.init.zeros_(self.words.weight[START : START + 1].detach())

    def start_from(self, state: Mapping[str, Tensor] | None = None) -> None:
        """Loads the weights of the image encoder; see `networks.captioner.Encoder.start_from`."""
        if self.encoder is not None:
            self.encoder.start_from(state)

    def start(self, seen: Tensor, visible: Tensor | None = None) -> Looking:
        places = places_of(seen, visible, self.encoder, self.width, self.regions)
        m = mean_of(places.flatten(1, -2), visible)
        for layer in cast("list[nn.Linear]", self.initial):
            m = self.dropout(wide_linear(layer, m).relu())
        first = [wide_linear(layer, m) for layer in cast("list[nn.Linear]", self.first)]
        draws = None
        if self.hard and self.training:
            draws = (torch.rand((), device=m.device) < self.draws).expand(m.shape[0])
        projected = [layer.attention.project(places) for layer in cast("list[Layer]", self.layers)]
        return Looking(places, projected, visible, first if self.tutorial else [one.tanh() for one in first], draws)

    def step(self, words: Tensor, state: Looking) -> Step:
        logits, state, maps = self.advance(self.words(words), state)
        return Step(log_softmax(logits), state, maps)

    def advance(
        self, word: Tensor, state: Looking, choices: Sequence[Tensor] | None = None
    ) -> tuple[Tensor, Looking, dict[str, Tensor]]:
        """A step from the embedding of the word before: the words' scores `B V`, the state, the maps.

        Args:
            choices: the weights `B N` with which each layer is to look; None lets it look by itself.
        """
        word = widened(word)
        below, memory, gate = word, [], None
        places = state.places.flatten(1, -2)
        for i, layer in enumerate(cast("list[Layer]", self.layers)):
            h, c = state.memory[2 * i : 2 * i + 2]
            projected = state.projected[i].flatten(1, -2)
            given = None if choices is None else choices[i]
            act = self._acting(state) if i == len(self.layers) - 1 else None
            seen, alpha, used = self._looked(layer, h, places, projected, state, given, act)
            h, c, z, gate = layer(below, h, c, seen, act)
            memory += [h, c]
            below = h
        grid = state.places.shape[1:-1]
        maps = {"attention": alpha.unflatten(1, grid)}
        if self.hard:
            maps["choice"] = used.unflatten(1, grid)
        if gate is not None:
            maps["selector"] = gate if self.tutorial else gate.squeeze(1)
        y = self.dropout(below)
        if self.memory is not None:
            y = wide_linear(self.memory, y)
            y = y + word if self.previous_word else y
            y = self.dropout((y if self.sight is None else y + wide_linear(self.sight, z)).tanh())
            for deeper in cast("list[nn.Linear]", self.deeper):
                y = self.dropout(wide_linear(deeper, y).relu())
        return wide_linear(self.scores, y), state._replace(memory=memory), maps

    def _acting(self, state: Looking) -> Act | None:
        """What edits make of the maps of the last layer, which are shown; None if nobody edits or watches."""
        if not self.watched:
            return None
        grid = state.places.shape[1:-1]

        def act(name: str, map: Tensor) -> Tensor:
            shape = grid if name != "selector" else map.shape[1:] if self.tutorial else ()
            return acting(self, name, map, *shape)

        return act

    def _looked(
        self,
        layer: Layer,
        h: Tensor,
        places: Tensor,
        projected: Tensor,
        state: Looking,
        given: Tensor | None,
        act: Act | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """What a layer sees, α, and the weights that it used."""
        draws, visible = state.draws, state.visible
        how = "soft" if not self.hard else "best" if draws is None else "draw"
        seen, alpha, used = layer.look(h, places, projected, visible, given, how, act)
        if draws is not None:
            soft = layer.look(h, places, projected, visible, alpha if given is None else given, "soft")
            seen, used = torch.where(draws[:, None], seen, soft[0]), torch.where(draws[:, None], used, soft[2])
        if act is not None and self.hard:
            used = act("choice", used)
            seen = torch.bmm(used[:, None], widened(places)).squeeze(1)
        return seen, alpha, used

    def penalty(self, maps: Mapping[str, Tensor], mask: Tensor) -> Tensor:
        """λ times the second part of (7), a mean over captions and places: maps `B L *`, `bool B L` -> a number."""
        covered = (maps["attention"].flatten(2) * mask[..., None]).sum(1)
        penalty: Tensor = self.coverage * (1 - covered).square().mean()
        return penalty

    def forward(self, *inputs: Tensor, return_maps: bool = False) -> Any:
        *seen, words = inputs
        check_input(words, "B L", B=seen[0].shape[0])
        forced: Forced = teacher_forced(self, seen, words)
        return forced if return_maps else forced.log_probabilities


class Att2in(Attention):
    """Captioner whose memory takes up what is seen in its candidate alone.

    Args:
        channels: of the places, or with a backbone of the image.
        vocabulary: V, the number of words, the four special ones included.
        backbone: a network of timm's, or "convolutions", see `networks.captioner.Encoder`; None takes places.
        output_stride: of the backbone: its map is at most so many times smaller than the image.
        regions: the places are regions, of which some may be padding, and not those of a map.
        embed: width of the embeddings.
        hidden: width of the memory, and of embedded places.
        attention: width of the scores.
        into: what is seen enters the "candidate" or all five "gates".
        embedded: words and places go through a rectifier, places through a layer before it (att2in2); else they are
            taken as they are (att2in).
        norms: batch norms of embedded places: 0, 1 before the layer, 2 before and behind it.
        dropout: probability that a value is dropped in the embeddings and before the words' scores.

    Shapes: places `B C H W`, regions `B N C` with visible `bool B N` or None, or with a backbone an image
        `B channels H W`; words `B L` -> log-probabilities `B L V` of the word after each.
    Maps: attention `B L H W` or `B L N`, sums to 1.
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
        attention: int = 512,
        into: str = "candidate",
        embedded: bool = True,
        norms: int = 0,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.vocabulary = positive("vocabulary", vocabulary)
        self.encoder, self.regions = trunk_of(channels, backbone, output_stride, regions), regions
        self.seen = fields_of(self.encoder, regions)
        positive("embed", embed), positive("attention", attention), choice("into", into, INTO)
        self.hidden, self.embedded = positive("hidden", hidden), flag("embedded", embedded)
        if whole("norms", norms, 0, 2) and not embedded:
            raise ValueError(f"norms={norms!r}: 0 is needed with embedded=False")
        width = channels if self.encoder is None else self.encoder.width
        self.width = width
        self.words = nn.Embedding(vocabulary, embed)
        self.dropout = nn.Dropout(number("dropout", dropout, least=0, most=1))
        self.places = EmbeddedPlaces(width, hidden, dropout=dropout, norms=norms) if embedded else None
        self.place = nn.Linear(hidden if embedded else width, attention)
        self.memory = Maxout(embed, hidden if embedded else width, hidden, attention, into)
        self.scores = nn.Linear(hidden, vocabulary)
        if not embedded:
            nn.init.uniform_(self.words.weight, -0.1, 0.1)
            nn.init.uniform_(self.scores.weight, -0.1, 0.1)
            nn.init.zeros_(self.scores.bias)

    def start_from(self, state: Mapping[str, Tensor] | None = None) -> None:
        """Loads the weights of the image encoder; see `networks.captioner.Encoder.start_from`."""
        if self.encoder is not None:
            self.encoder.start_from(state)

    def start(self, seen: Tensor, visible: Tensor | None = None) -> Looking:
        places = places_of(seen, visible, self.encoder, self.width, self.regions)
        places = widened(places) if self.places is None else self.places(places, visible)
        empty = places.new_zeros(places.shape[0], self.hidden)
        return Looking(places, [wide_linear(self.place, places)], visible, [empty, empty], None)

    def step(self, words: Tensor, state: Looking) -> Step:
        x = widened(self.words(words))
        if self.embedded:
            x = self.dropout(x.relu())
        projected = state.projected[0].flatten(1, -2)
        grid = state.places.shape[1:-1]
        h, c, alpha = self.memory(
            x,
            *state.memory,
            state.places.flatten(1, -2),
            projected,
            state.visible,
            lambda name, map: acting(self, name, map, *grid),
        )
        maps = {"attention": alpha.unflatten(1, grid)}
        scores = log_softmax(wide_linear(self.scores, self.dropout(h)))
        return Step(scores, state._replace(memory=[h, c]), maps)

    def forward(self, *inputs: Tensor) -> Tensor:
        *seen, words = inputs
        check_input(words, "B L", B=seen[0].shape[0])
        return teacher_forced(self, seen, words).log_probabilities
