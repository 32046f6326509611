"""Bottom-Up and Top-Down: a captioner and a network for visual questions that attend to the regions of an image.

Bottom-Up and Top-Down Attention for Image Captioning and Visual Question Answering. Anderson, He, Buehler, Teney,
Johnson, Gould, Zhang. CVPR 2018, arXiv:1707.07998. Official code: peteanderson80/Up-Down-Captioner (Caffe) for
captions; none for answers, of which hengyuan-hu/bottom-up-attention-vqa is the widely used reading.

    v̄ = mean of the regions v_i                                                                        (1)
    h¹ = LSTM¹([h², v̄, W_e w], h¹)                  attention LSTM, of the word w before                (2)
    v̂ = top-down attention of h¹ over the v_i       see the mechanism                                   (3)
    h² = LSTM²([v̂, h¹], h²)                         language LSTM                                       (4)
    log p(next word) = log-softmax(W_p h² + b_p)                                                        (5)

    q = GRU(W_e w₁ … W_e w_T),  v̂ = top-down attention of q over the v_i                                (6)
    p(answer) = σ(W_o f_o(f_q(q) ⊙ f_v(v̂)))         f a gated tanh                                      (7)

Place: behind a detector, whose regions with their features are the input; or with a trunk of timm's, whose positions or
    whose map within given boxes takes the place of the regions: the paper's ResNet baseline, and its grid.
Cost: a step has two LSTM cells and one attention; at the paper's size 46 million multiplications, half of them in the
    cells, a fifth in the words.
Deviations: paper and Caffe attend to the features as they are and have no biases in the scores |
    ruotianluo/ImageCaptioning.pytorch puts a layer with a ReLU before regions, mean and words, with optional batch
    norms, and biases everywhere | `embedded`, `norms`. Paper (7) | hengyuan-hu relu for f, a wider f_o, normed
    matrices | `scores` of the answers. A question's padding is left out: hengyuan-hu pads in front and reads the
    padding too.
Errata: "the number of boxes" is a mask: ports that attend to the padding of 100 rows give it weight.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from regard.checks import check_input, choice, flag, number, positive, whole
from regard.core import Attention
from regard.networks.captioner import Encoder, Step, acting, log_softmax, teacher_forced
from regard.networks.places import EmbeddedPlaces
from regard.ops.precision import wide_linear, widened
from regard.ops.sampling import sample
from regard.ops.words import PAD
from regard.papers.top_down.decoding import Core, Looked, Memory
from regard.papers.top_down.mechanism import GatedTanh, Normed, TopDownAttention, check_mask, mean

POINTS = 4  # along each side of a box, at which a map is read


class Sight:
    """What a network sees: regions with features, the map of a trunk, or this map within boxes.

    Args:
        channels: of the regions, or of the image where there is a trunk.
        backbone: as for `networks.captioner.Encoder`; None for regions.
        boxed: read the map within boxes.

    Attributes:
        encoder: the trunk, which belongs to the network.
        fields: those of a batch that are seen.
        width: F, the width of the features.
    """

    def __init__(self, channels: int, backbone: str | None, boxed: bool) -> None:
        self.channels = positive("channels", channels)
        if flag("boxed", boxed) and backbone is None:
            raise ValueError("backbone=None: a backbone is needed with boxed=True, whose map is read within the boxes")
        self.encoder = None if backbone is None else Encoder(backbone, channels)
        self.width = channels if self.encoder is None else self.encoder.width
        self.fields: tuple[str, ...] = ("features", "features_mask")
        if self.encoder is not None:
            self.fields = ("image", "boxes", "boxes_mask") if boxed else ("image",)


def look(channels: int, encoder: nn.Module | None, seen: Sequence[Tensor | None]) -> tuple[Tensor, Tensor | None]:
    """The features of what is seen, `B N F` or of a map `B H W F`, and which are there, `bool B N`.

    Raises: ValueError for inputs of other shapes.
    """
    x, visible = seen[0], seen[-1]
    assert x is not None
    if encoder is None:
        check_input(x, "B N C", C=channels)
        if visible is not None:
            check_mask(visible, x.shape[:2])
        return x, visible
    levels = encoder(x)
    if len(seen) == 1:
        return levels.permute(0, 2, 3, 1), None
    boxes = seen[1]
    assert boxes is not None
    check_input(boxes, "B N 4", B=x.shape[0])
    if visible is not None:
        check_mask(visible, boxes.shape[:2])
    return within(levels, boxes), visible


def within(x: Tensor, boxes: Tensor) -> Tensor:
    """The mean of a map within boxes, read bilinearly at the centres of 4 × 4 bins.

    Shapes: x `B C H W`; boxes `B N 4`, left, top, right and bottom from 0 to 1 -> `B N C`.
    """
    bins = (torch.arange(POINTS, device=boxes.device, dtype=boxes.dtype) + 0.5) / POINTS
    low, size = boxes[..., :2], boxes[..., 2:] - boxes[..., :2]
    across = low[..., :1] + size[..., :1] * bins  # [B, N, POINTS]
    down = low[..., 1:] + size[..., 1:] * bins
    grid = torch.stack(torch.broadcast_tensors(across[:, :, None], down[..., None]), -1)  # [B, N, POINTS, POINTS, 2]
    read = sample(x, 2 * grid.flatten(2, 3) - 1, padding="border", align_corners=False)
    means: Tensor = read.mean(-1).mT
    return means


def average(features: Tensor, visible: Tensor | None) -> Tensor:
    """Equation (1), over the regions that are there: `B * F` -> `B F`."""
    x = widened(features).flatten(1, -2)
    if visible is None:
        return x.mean(1)
    count = visible.sum(1, keepdim=True).clamp_min(1)
    return x.masked_fill(~visible[..., None], 0).sum(1) / count


class TopDownCaptioner(Attention):
    """Writes a sentence about the regions of an image, and attends to some of them at every word.

    Args:
        channels: of the regions, or of the image where there is a backbone.
        vocabulary: V, the number of words, the four special ones included.
        embedding: width of a word.
        hidden: of both LSTM layers.
        scores: k, the width in which the scores of the attention are formed.
        embedded: a layer with a ReLU before regions, mean and words, and biases in the scores, as in ruotianluo; else
            the authors' network.
        norms: 0, 1 (before) or 2 (before and behind) batch norms at the layer of the regions; needs `embedded`.
        dropout: of the embedded inputs and of h², in training.
        backbone: a trunk of timm's for whole images, or "convolutions"; None for regions with features.
        boxed: attend to the trunk's map within given boxes, rather than to its positions.

    Shapes: features `B N C` and visible `bool B N` (or None), or image `B C H W`, or image, boxes `B N 4` (left, top,
        right, bottom from 0 to 1) and visible; words `B L`, which begin with the start -> log-probabilities `B L V`.
    Maps: attention `B L N`, or `B L H W` over the positions of a map; sums to 1 for each word.
    Raises: ValueError for an argument out of range, or inputs of other shapes; LookupError for an unknown backbone.
    """

    def __init__(
        self,
        channels: int = 2048,
        *,
        vocabulary: int,
        embedding: int = 1000,
        hidden: int = 1000,
        scores: int = 512,
        embedded: bool = False,
        norms: int = 0,
        dropout: float = 0.0,
        backbone: str | None = None,
        boxed: bool = False,
    ) -> None:
        super().__init__()
        sight = Sight(channels, backbone, boxed)
        self.channels, self.encoder, self.seen = sight.channels, sight.encoder, sight.fields
        self.vocabulary = whole("vocabulary", vocabulary, 5)
        for name, value in (("embedding", embedding), ("hidden", hidden), ("scores", scores)):
            positive(name, value)
        flag("embedded", embedded)
        if whole("norms", norms, 0, 2) and not embedded:
            raise ValueError(f"norms={norms}: 0 is needed with embedded=False")
        if number("dropout", dropout, least=0) >= 1:
            raise ValueError(f"dropout={dropout!r}: a number of at least 0 and below 1 is needed")
        width = sight.width
        self.embed = nn.Embedding(vocabulary, embedding)
        self.of_whole = EmbeddedPlaces(width, hidden, dropout=dropout) if embedded else None
        self.of_regions = EmbeddedPlaces(width, hidden, dropout=dropout, norms=norms) if embedded else None
        seen = hidden if embedded else width
        self.core = Core(embedding, seen, seen, hidden, scores, biases=2 if embedded else 1)
        self.dropout = nn.Dropout(dropout)
        self.predict = nn.Linear(hidden, vocabulary)
        self.hidden = hidden

    def start_from(self, state: Mapping[str, Tensor] | None = None) -> None:
        """Loads the weights of the trunk, as `networks.captioner.Encoder` does. Without a trunk there are none."""
        if self.encoder is not None:
            self.encoder.start_from(state)

    def forward(self, *inputs: Tensor) -> Tensor:
        *seen, words = inputs
        check_input(words, "B L", B=inputs[0].shape[0])
        return teacher_forced(self, seen, words).log_probabilities

    def start(self, *seen: Tensor | None) -> Looked:
        """The features and the empty memory."""
        if len(seen) != len(self.seen):
            raise ValueError(f"{len(seen)} inputs: {', '.join(self.seen)} are needed")
        features, visible = look(self.channels, self.encoder, seen)
        return self.of(features, average(features, visible), visible)

    def of(self, features: Tensor, whole: Tensor, visible: Tensor | None = None) -> Looked:
        """The state before the first word, of features and what stands for the whole image."""
        if self.of_regions is not None and self.of_whole is not None:
            features, whole = self.of_regions(features, visible), self.of_whole(whole)
        features, empty = widened(features), widened(whole).new_zeros(features.shape[0], self.hidden)
        return Looked(features, self.core.attention.project(features), whole, visible, Memory(*[empty] * 4))

    def step(self, words: Tensor, state: Looked) -> Step:
        """Equations (2) to (5)."""
        word = widened(self.embed(words))
        if self.of_whole is not None:
            word = self.dropout(word.relu())
        grid = state.features.shape[1:-1]
        memory, alpha = self.core(word, state, lambda alpha: acting(self, "attention", alpha, *grid))
        logits = wide_linear(self.predict, self.dropout(memory.writing))
        return Step(log_softmax(logits), state._replace(memory=memory), {"attention": alpha})


class TopDownAnswerer(Attention):
    """Answers a question about an image by attention of the question to the regions.

    Args:
        channels: of the regions, or of the image where there is a backbone.
        vocabulary: V, the number of words of questions, the four special ones included; word 0 is padding.
        answers: A, the number of answers to choose from.
        embedding: width of a word.
        hidden: of the GRU and of the layers.
        scores: of the attention and the layers: "gated-tanh" as in the paper, or hengyuan-hu's "rectified" or
            "product".
        dropout: before the last layer, in training; of the rectified layers only.
        backbone: a trunk of timm's for whole images, or "convolutions"; None for regions with features.
        boxed: attend to the trunk's map within given boxes, rather than to its positions.

    Shapes: features `B N C` and visible `bool B N` (or None), or image `B C H W`, or image, boxes `B N 4` (left, top,
        right, bottom from 0 to 1) and visible; question `B T` and asked `bool B T`, True where there is a word, None or
        left out for all -> logits `B A`.
    Maps: attention `B N`, or `B H W` over the positions of a map; sums to 1.
    Raises: ValueError for an argument out of range, or inputs of other shapes; LookupError for an unknown backbone.
    """

    def __init__(
        self,
        channels: int = 2048,
        *,
        vocabulary: int,
        answers: int,
        embedding: int = 300,
        hidden: int = 512,
        scores: str = "gated-tanh",
        dropout: float = 0.0,
        backbone: str | None = None,
        boxed: bool = False,
    ) -> None:
        super().__init__()
        sight = Sight(channels, backbone, boxed)
        self.channels, self.encoder, self.seen = sight.channels, sight.encoder, sight.fields
        self.vocabulary = whole("vocabulary", vocabulary, 5)
        for name, value in (("answers", answers), ("embedding", embedding), ("hidden", hidden)):
            positive(name, value)
        gated = choice("scores", scores, ("gated-tanh", "rectified", "product")) == "gated-tanh"
        if number("dropout", dropout, least=0) >= 1 or (dropout and gated):
            raise ValueError(f"dropout={dropout!r}: a number from 0 to below 1 is needed, and 0 with gated-tanh layers")
        width, self.hidden = sight.width, hidden
        self.embed = nn.Embedding(vocabulary, embedding, padding_idx=PAD)
        self.input, self.state = nn.Linear(embedding, 3 * hidden), nn.Linear(hidden, 3 * hidden)
        for layer in (self.input, self.state):
            for parameter in layer.parameters():
                nn.init.uniform_(parameter, -(hidden**-0.5), hidden**-0.5)
        self.attention = TopDownAttention(width, query_channels=hidden, hidden=hidden, scores=scores)
        if scores == "product":
            self.attention.dropout.p = 0.2 if dropout else 0.0  # as hengyuan-hu has it
        layer_of = GatedTanh if gated else Normed
        self.of_question, self.of_region = layer_of(hidden, hidden), layer_of(width, hidden)
        self.of_both = GatedTanh(hidden, hidden) if gated else Normed(hidden, 2 * hidden)
        self.dropout = nn.Dropout(dropout)
        self.answer: nn.Module = nn.Linear(hidden, answers) if gated else Normed(2 * hidden, answers)
        self.gated = gated

    def start_from(self, state: Mapping[str, Tensor] | None = None) -> None:
        """Loads the weights of the trunk, as `networks.captioner.Encoder` does. Without a trunk there are none."""
        if self.encoder is not None:
            self.encoder.start_from(state)

    def forward(self, *inputs: Tensor | None) -> Tensor:
        count = len(self.seen)
        if not count < len(inputs) <= count + 2:
            raise ValueError(f"{len(inputs)} inputs: {', '.join(self.seen)}, question and its mask are needed")
        question, asked = (*inputs[count:], None)[:2]
        features, visible = look(self.channels, self.encoder, inputs[:count])
        assert question is not None
        q = self.read(question, asked, features.shape[0])
        regions = features.flatten(1, -2)
        alpha = self.attention.weights(q, self.attention.project(regions), visible)
        alpha = self.see("attention", alpha.view(features.shape[:-1])).flatten(1)
        both = self._layer(self.of_question, q) * self._layer(self.of_region, mean(regions, alpha))
        y = self.dropout(self._layer(self.of_both, both))
        return wide_linear(self.answer, y) if isinstance(self.answer, nn.Linear) else self.answer(y)

    def read(self, question: Tensor, asked: Tensor | None, batch: int) -> Tensor:
        """q of (6): `B T` -> `B hidden`. Where no word is asked the state stays as it is."""
        check_input(question, "B T", B=batch)
        if asked is not None and (asked.shape != question.shape or asked.dtype is not torch.bool):
            raise ValueError(
                f"mask of {asked.dtype}, {tuple(asked.shape)}: booleans {tuple(question.shape)} are needed"
            )
        given = wide_linear(self.input, self.embed(question))  # [B, T, 3 hidden]
        q = given.new_zeros(batch, self.hidden)
        for i, x in enumerate(given.unbind(1)):
            r, z, n = x.chunk(3, 1)
            r_state, z_state, n_state = wide_linear(self.state, q).chunk(3, 1)
            z = (z + z_state).sigmoid()
            read = (1 - z) * (n + (r + r_state).sigmoid() * n_state).tanh() + z * q
            q = read if asked is None else torch.where(asked[:, i, None], read, q)
        return q

    def _layer(self, layer: nn.Module, x: Tensor) -> Tensor:
        y: Tensor = layer(x)
        return y if self.gated else y.relu()
