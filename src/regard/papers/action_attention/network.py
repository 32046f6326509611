"""Action recognition using visual attention: a recurrent network looks at one place after another of a clip's frames.

Action Recognition using Visual Attention. Sharma, Kiros, Salakhutdinov. ICLR workshop 2016, arXiv:1511.04119.
Official code: kracwarlock/action-recognition-visual-attention (Theano).

    X_t = the map of frame t, K × K places of D channels, by a network for images                       3.1    (1)
    c_0, h_0 = f_c(m), f_h(m),  m the mean over all places of all frames                                Eq. 6  (2)
    l_ti = exp(W_i h_{t−1}) / Σ_j exp(W_j h_{t−1})                                                      Eq. 4  (3)
    x_t  = Σ_i l_ti X_ti                                                                                Eq. 5  (4)
    h_t, c_t = LSTM(x_t, h_{t−1}, c_{t−1}), several layers, the last one's h in (3) and (6)             Eq. 1–3 (5)
    ŷ_t = softmax(W_y tanh(W_o h_t + b_o) + b_y);  the prediction is the mean of all ŷ_t                3.2    (6)
    L = −Σ_t log ŷ_t(y) + λ Σ_i (1 − Σ_t l_ti)² + weight decay                                          Eq. 8  (7)

Place: a network of its own, over the maps of any backbone (the paper: GoogLeNet's last one, 7 × 7 × 1024, not trained).
Cost: 4n(D + n) multiplications a frame and layer of n units, beside the backbone; (3) takes K²n of them, and "content"
    K²Dk with k channels.
Deviations: the equations are transcribed, their numbers and the sizes from memory, unverified. Paper | official code,
    which was read and not run | here: three layers | one | `layers`. (3) knows what was seen before, not frame t | the
    additive score of Show, Attend and Tell, which sees it: uᵀ tanh(W X_ti + V h_{t−1} + b) | `score`: "location" is the
    paper's, "content" the released one. f are multilayer perceptrons | one layer with tanh | the same, for each layer
    of memory. The loss is a sum over frames | the same | means over frames and places in (7), as the losses here
    are means. Dropout on all connections but the recurrent ones | before and behind W_o | the paper's. Released dropout
    halves all values in evaluation | torch's dropout, the same function.
Errata: the released Adam takes a rate of 0.0002 whatever rate it is given.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from regard.checks import check_input, choice, each_axis, number, positive
from regard.core import Attention
from regard.networks.captioner import log_softmax
from regard.networks.frames import Memory, maps_of
from regard.networks.places import trunk_of
from regard.ops.precision import wide_linear, widened

SCORES = ("location", "content")


class Watched(NamedTuple):
    """What the network says at each frame, and where it looked.

    Attributes:
        log_probabilities: of the classes, `B T K`.
        weights: of the places, `B T H W`.
    """

    log_probabilities: Tensor
    weights: Tensor


class ActionAttention(Attention):
    """Classifies a clip by looking at places of its frames, one frame after another.

    Args:
        channels: of the frames' maps, or with a backbone of the clip.
        classes: the number of classes.
        backbone: a network of timm's, or "convolutions", see `networks.captioner.Encoder`; None takes maps of frames.
        output_stride: of the backbone: its map is at most so many times smaller than a frame.
        score: "location", the paper's (3), of a fixed number of places, or "content", the released one, of any.
        places: height and width of the map, or one number for both, with "location".
        attention: k, the channels of "content"; None takes D.
        hidden: n, the units of a layer of memory.
        layers: of memory.
        output: width of the layer with tanh in (6).
        coverage: λ.
        dropout: probability that a value is dropped in the connections that are not recurrent.

    Shapes: maps, or with a backbone a clip, `B channels T H W` -> `B K`, the logarithms of the mean probabilities; with
        `steps=True` a `Watched`.
    Maps: spatial `B T H W`, sums to 1 over the places of each frame.
    Raises: ValueError for an argument out of range, an input of another shape, or with "location" a map of another size
        than `places`; LookupError for an unknown backbone.
    """

    def __init__(
        self,
        channels: int = 3,
        *,
        classes: int,
        backbone: str | None = None,
        output_stride: int = 32,
        score: str = "location",
        places: int | Sequence[int] = 7,
        attention: int | None = None,
        hidden: int = 512,
        layers: int = 3,
        output: int = 512,
        coverage: float = 0.0,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.encoder = trunk_of(channels, backbone, output_stride, False)
        self.channels, self.classes = channels, positive("classes", classes)
        self.score = choice("score", score, SCORES)
        size = each_axis("places", places, 2)
        self.grid = size if score == "location" else None
        positive("hidden", hidden), positive("layers", layers), positive("output", output)
        self.coverage = number("coverage", coverage, least=0)
        width = channels if self.encoder is None else self.encoder.width
        k = width if attention is None else positive("attention", attention)
        self.dropout = nn.Dropout(number("dropout", dropout, least=0, most=1))
        self.first = nn.ModuleList(nn.Linear(width, hidden) for _ in range(2 * layers))
        self.where: nn.Linear | None = None
        if score == "location":
            self.where = nn.Linear(hidden, math.prod(size), bias=False)
        self.place = nn.Linear(width, k) if score == "content" else None
        self.state = nn.Linear(hidden, k, bias=False) if score == "content" else None
        self.value = nn.Linear(k, 1) if score == "content" else None
        self.memory = nn.ModuleList(Memory(hidden if i else width, hidden) for i in range(layers))
        self.output = nn.Linear(hidden, output)
        self.classify = nn.Linear(output, classes)

    def start_from(self, state: Mapping[str, Tensor] | None = None) -> None:
        """Loads the weights of the backbone; see `networks.captioner.Encoder.start_from`."""
        if self.encoder is not None:
            self.encoder.start_from(state)

    def forward(self, clip: Tensor, *, steps: bool = False) -> Any:
        maps = maps_of(clip, self.channels, self.encoder)  # [B, T, H, W, D]
        grid = maps.shape[2:4]
        if self.grid is not None and tuple(grid) != self.grid:
            raise ValueError(
                f"input of shape {tuple(clip.shape)}: maps of {grid[0]} x {grid[1]} places; places={self.grid} are "
                f'needed, or score="content"'
            )
        places = widened(maps.flatten(2, 3))  # [B, T, N, D]
        mean = places.mean((1, 2))
        states = [wide_linear(layer, mean).tanh() for layer in cast("list[nn.Linear]", self.first)]
        h, c = states[::2], states[1::2]
        projected = None if self.place is None else wide_linear(self.place, places)
        weights, said = [], []
        for t in range(places.shape[1]):
            alpha = self._scores(h[-1], None if projected is None else projected[:, t]).softmax(1)
            alpha = self.edited("spatial", alpha[:, None].unflatten(2, grid)).flatten(1)
            x = torch.bmm(alpha[:, None], places[:, t]).squeeze(1)
            for i, layer in enumerate(cast("list[Memory]", self.memory)):
                h[i], c[i] = layer(self.dropout(x), h[i], c[i])
                x = h[i]
            y = wide_linear(self.output, self.dropout(x)).tanh()
            said.append(log_softmax(wide_linear(self.classify, self.dropout(y))))
            weights.append(alpha)
        alphas = torch.stack(weights, 1).unflatten(2, grid)
        self.show("spatial", alphas)
        log_probabilities = torch.stack(said, 1)
        if steps:
            return Watched(log_probabilities, alphas)
        return log_probabilities.logsumexp(1) - math.log(len(said))

    def penalty(self, weights: Tensor) -> Tensor:
        """λ times the second part of (7), a mean over clips and places: weights `B T H W` -> a number."""
        check_input(weights, "B T H W")
        penalty: Tensor = self.coverage * (1 - weights.sum(1)).square().mean()
        return penalty

    def _scores(self, h: Tensor, projected: Tensor | None) -> Tensor:
        """The scores of the places, `B N`, before the softmax."""
        if self.where is not None:
            return wide_linear(self.where, h)
        assert self.state is not None and self.value is not None and projected is not None
        total = projected + wide_linear(self.state, h)[:, None]
        return wide_linear(self.value, total.tanh()).squeeze(2)
