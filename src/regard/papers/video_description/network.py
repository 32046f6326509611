"""Describing videos by exploiting temporal structure: a captioner that looks at the frames of a clip for every word.

Describing Videos by Exploiting Temporal Structure. Yao, Torabi, Cho, Ballas, Pal, Larochelle, Courville. ICCV 2015,
arXiv:1502.08029. Official code: yaoli/arctic-capgen-vid (Theano).

    v_i = [2-D features of frame i; local 3-D features at frame i]                                      3.1    (1)
    e_ti = wᵀ tanh(W_a h_{t−1} + U_a v_i + b_a),  α_t = softmax(e_t)                                    3.2    (2)
    φ_t = Σ_i α_ti v_i                                                                                  3.2    (3)
    h_t, c_t = LSTM(E y_{t−1}, φ_t; h_{t−1}, c_{t−1})                                                   2.3    (4)
    p(y_t) = softmax(U_p tanh(W_p [h_t; φ_t; E y_{t−1}] + b_p) + d)                                     2.3    (5)

    (2) and (3) do not depend on the order of the frames: without local features a clip and its reverse get the same
    sentence, to rounding. What came first is told by the local features alone.

Place: a network of its own, over the maps of any backbone (the paper: GoogLeNet's mean, 1024 channels, of 26 frames).
Cost: Dk multiplications a frame of D channels, k of the score, once; for a word Tk of the scores, 4n(m + D + n) of the
    memory and (n + D + m)m + Vm of (5); beside the backbone.
Deviations: the equations are transcribed from memory, unverified where the released code, which was read and not run,
    does not have them. Paper | official code | here: local features come from a network with 3-D convolutions over
    histograms of gradients and motion, trained for action recognition | none | two 3 × 3 × 3 convolutions over the maps
    of the frames, trained along, and their maximum over the places; features of any origin can be given instead. The
    first memory is not given | layers with tanh of the frames' mean | the same. (5) has one W_p | separate layers of
    h_t and φ_t, and E y_{t−1} as it is | one W_p. No gate and no penalty on α | both | neither.
Errata: the released code calls Theano's first word −1, whose embedding is zeros; here the start is a word like others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from regard.checks import check_input, number, positive, whole
from regard.core import Attention
from regard.networks.captioner import Step, acting, log_softmax, teacher_forced
from regard.networks.frames import Memory, maps_of
from regard.networks.places import trunk_of
from regard.ops.precision import wide_linear, widened


class Watching(NamedTuple):
    """The state of the captioner: the frames, read once, and its memory.

    Attributes:
        frames: v of each, `B T D`.
        projected: their share of the scores, `B T k`.
        h, c: output and cell of the memory, `B n` each.
    """

    frames: Tensor
    projected: Tensor
    h: Tensor
    c: Tensor


class VideoDescription(Attention):
    """Captioner that looks at the frames of a clip for every word.

    Args:
        channels: of the frames' maps, or with a backbone of the clip.
        vocabulary: V, the number of words, the four special ones included.
        backbone: a network of timm's, or "convolutions", see `networks.captioner.Encoder`; None takes maps of frames,
            which may have a single place, as features of frames do.
        output_stride: of the backbone: its map is at most so many times smaller than a frame.
        local: channels of the local features; 0 has none.
        embed: m, width of the embeddings and of (5).
        hidden: n, width of the memory.
        attention: k, width of the scores; None takes D.
        dropout: probability that a value is dropped before the layers of (5).

    Shapes: maps, or with a backbone a clip, `B channels T H W`; words `B L` -> log-probabilities `B L V` of the word
        after each.
    Maps: temporal `B L T`, the weight of every frame for each word; sums to 1.
    Raises: ValueError for an argument out of range or an input of another shape; LookupError for an unknown backbone.
    """

    def __init__(
        self,
        channels: int = 3,
        *,
        vocabulary: int,
        backbone: str | None = None,
        output_stride: int = 32,
        local: int = 0,
        embed: int = 512,
        hidden: int = 512,
        attention: int | None = None,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.vocabulary = positive("vocabulary", vocabulary)
        self.encoder = trunk_of(channels, backbone, output_stride, False)
        self.channels = channels
        positive("embed", embed), positive("hidden", hidden)
        width = channels if self.encoder is None else self.encoder.width
        self.local: nn.Sequential | None = None
        if whole("local", local, 0):
            self.local = nn.Sequential(
                nn.Conv3d(width, local, 3, padding=1), nn.ReLU(), nn.Conv3d(local, local, 3, padding=1), nn.ReLU()
            )
        d = width + local
        k = d if attention is None else positive("attention", attention)
        self.words = nn.Embedding(vocabulary, embed)
        self.first = nn.ModuleList([nn.Linear(d, hidden), nn.Linear(d, hidden)])
        self.frame = nn.Linear(d, k)
        self.state = nn.Linear(hidden, k, bias=False)
        self.value = nn.Linear(k, 1, bias=False)
        self.memory = Memory(embed + d, hidden)
        self.dropout = nn.Dropout(number("dropout", dropout, least=0, most=1))
        self.output = nn.Linear(hidden + d + embed, embed)
        self.scores = nn.Linear(embed, vocabulary)

    @property
    def seen(self) -> tuple[str, ...]:
        """The field of a batch that it sees."""
        return ("features",) if self.encoder is None else ("image",)

    def start_from(self, state: Mapping[str, Tensor] | None = None) -> None:
        """Loads the weights of the backbone; see `networks.captioner.Encoder.start_from`."""
        if self.encoder is not None:
            self.encoder.start_from(state)

    def start(self, clip: Tensor) -> Watching:
        maps = maps_of(clip, self.channels, self.encoder)  # [B, T, H, W, D]
        frames = widened(maps).mean((2, 3))
        if self.local is not None:
            near = self.local(maps.permute(0, 4, 1, 2, 3))  # [B, local, T, H, W]
            frames = torch.cat([frames, widened(near).amax((3, 4)).mT], 2)
        h, c = (wide_linear(layer, frames.mean(1)).tanh() for layer in self.first)  # type: ignore[arg-type]
        return Watching(frames, wide_linear(self.frame, frames), h, c)

    def step(self, words: Tensor, state: Watching) -> Step:
        y = widened(self.words(words))
        e = wide_linear(self.value, (state.projected + wide_linear(self.state, state.h)[:, None]).tanh())
        alpha = acting(self, "temporal", e.squeeze(2).softmax(1), e.shape[1])
        seen = torch.bmm(alpha[:, None], state.frames).squeeze(1)
        h, c = self.memory(torch.cat([y, seen], 1), state.h, state.c)
        told = wide_linear(self.output, self.dropout(torch.cat([h, seen, y], 1))).tanh()
        scores = log_softmax(wide_linear(self.scores, self.dropout(told)))
        return Step(scores, state._replace(h=h, c=c), {"temporal": alpha})

    def forward(self, clip: Tensor, words: Tensor) -> Tensor:
        check_input(words, "B L", B=clip.shape[0])
        return teacher_forced(self, (clip,), words).log_probabilities
