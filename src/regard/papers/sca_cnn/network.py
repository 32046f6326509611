"""SCA-CNN: a captioner that weighs channels and positions of a network's last maps anew before every word.

SCA-CNN: Spatial and Channel-wise Attention in Convolutional Networks for Image Captioning. Chen, Zhang, Xiao, Nie,
Shao, Liu, Chua. CVPR 2017, arXiv:1611.05594. Official code: zjuchenlong/sca-cnn.cvpr17 (Theano).

    F₁' = SCA₁(F₁, h)                            F₁ res5c_branch2b, h of the word before                (1)
    F₂  = relu(BN(conv(F₁')) + F₀)               F₀ res5b; the layer is computed again at every word    (2)
    F₂' = SCA₂(F₂, h),  c = mean of F₂' over the positions, z = c / (‖c‖ + 1e-8)                        (3)
    h, m = LSTM(W_e w, z, h),  h and m at first tanh of layers of z without attention                  (4)
    log p(next word) = log-softmax(W tanh(W_h h + W_e w [+ W_z z]))                                     (5)

    SCA is the mechanism, channel-spatial or spatial-channel. With one layer (`inner=None`) F₂ is the last map itself.

Place: behind a residual network, whose last block is part of the decoder: (1) and (2) are its end. Of a ResNet of
    timm's the last block is taken out of the trunk, with its weights; behind another trunk a new block is appended.
Cost: at 7 × 7 and the paper's size each word computes two attentions with 49 + 49 and 512 + 2048 scores of width 512,
    and a 1 × 1 convolution of 51 million multiplications: many times what a fixed map costs.
Deviations: paper `scale=False` | official code multiplies by C and HW, for which the norm of (3) makes up but in (2) |
    as the code. Its first word is a row of zeros | here the start has a row of its own. Its dropout halves in
    evaluation rather than doubles in training, the same function after training.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regard.checks import check_input, choice, flag, number, positive, whole
from regard.core import Attention
from regard.networks.captioner import Encoder, Step, acting, log_softmax, teacher_forced
from regard.ops.precision import uncast, wide_linear, wide_norm, widened
from regard.papers.sca_cnn.mechanism import SpatialChannel

ORDERS = ("channel-spatial", "spatial-channel", "channel", "spatial")
EPSILON = 1e-8  # of the norm in (3), as in the official code


class Decoding(NamedTuple):
    """The state of the captioner.

    Attributes:
        features: the last map, or what is added to it in (2), `B C H W`.
        inner: F₁, `B C₁ H W`; None with one layer.
        hidden, memory: h and m of the LSTM, `B hidden`.
    """

    features: Tensor
    inner: Tensor | None
    hidden: Tensor
    memory: Tensor


class SpatialChannelCaptioner(Attention):
    """Writes a sentence about an image whose last maps are weighed anew before every word.

    Args:
        channels: of the last map, or of the image where there is a backbone.
        vocabulary: V, the number of words, the four special ones included.
        inner: channels of F₁; None for one layer of attention. Of a ResNet as backbone they are those of its block.
        embedding: width of a word.
        hidden: of the LSTM.
        scores: k, the width in which the scores are formed.
        order: "channel-spatial" or "spatial-channel", or "channel" or "spatial" alone.
        selector: weigh z by a gate of h.
        word_to_output, context_to_output: the terms W_e w and W_z z of (5).
        output_layers: layers before the last one in (5); those after the first have a ReLU.
        dropout: of h and of each layer of (5), in training.
        gate_dropout: the same on the gates of the LSTM.
        backbone: a trunk of timm's for whole images, or "convolutions"; None for maps.

    Shapes: features `B C H W` and inner `B C₁ H W` (with two layers), or image `B C H W`; words `B L`, which begin with
        the start -> log-probabilities `B L V`.
    Maps: channel `B L C` and spatial `B L H W` of the last map, inner_channel and inner_spatial of F₁; each sums to 1
        for each word.
    Raises: ValueError for an argument out of range, or inputs of other shapes; LookupError for an unknown backbone.
    """

    def __init__(
        self,
        channels: int = 2048,
        *,
        vocabulary: int,
        inner: int | None,
        embedding: int = 100,
        hidden: int = 1000,
        scores: int = 512,
        order: str = "channel-spatial",
        selector: bool = False,
        word_to_output: bool = True,
        context_to_output: bool = False,
        output_layers: int = 1,
        dropout: float = 0.5,
        gate_dropout: bool = False,
        backbone: str | None = None,
    ) -> None:
        super().__init__()
        self.channels = positive("channels", channels)
        self.vocabulary = whole("vocabulary", vocabulary, 5)
        for name, value in (("embedding", embedding), ("hidden", hidden), ("scores", scores)):
            positive(name, value)
        whole("output_layers", output_layers, 1, 100)
        if number("dropout", dropout, least=0) >= 1:
            raise ValueError(f"dropout={dropout!r}: a number of at least 0 and below 1 is needed")
        choice("order", order, ORDERS)
        if inner is not None:
            positive("inner", inner)
        self.encoder = None if backbone is None else Encoder(backbone, channels)
        width = channels if self.encoder is None else self.encoder.width
        self.seen: tuple[str, ...] = ("image",) if self.encoder else ("features", "inner")[: 1 if inner is None else 2]
        self.first: SpatialChannel | None = None
        if inner is not None:
            self.reduce, self.conv, self.norm = _block(self.encoder, width, inner)
            inner = self.conv.in_channels
            self.first = SpatialChannel(inner, hidden=scores, state_channels=hidden, order=order)
        self.last = SpatialChannel(width, hidden=scores, state_channels=hidden, order=order)
        self.embed = nn.Embedding(vocabulary, embedding)
        self.start_hidden, self.start_memory = nn.Linear(width, hidden), nn.Linear(width, hidden)
        self.of_word = nn.Linear(embedding, 4 * hidden)
        self.of_state = nn.Linear(hidden, 4 * hidden, bias=False)
        self.of_context = nn.Linear(width, 4 * hidden, bias=False)
        self.select = nn.Linear(hidden, 1) if flag("selector", selector) else None
        self.word_to_output = flag("word_to_output", word_to_output)
        self.show_state = nn.Linear(hidden, embedding)
        self.show_context = nn.Linear(width, embedding) if flag("context_to_output", context_to_output) else None
        self.deep = nn.ModuleList(nn.Linear(embedding, embedding) for _ in range(output_layers - 1))
        self.predict = nn.Linear(embedding, vocabulary)
        self.dropout = nn.Dropout(dropout)
        self.gate_dropout = nn.Dropout(dropout) if flag("gate_dropout", gate_dropout) else None
        nn.init.normal_(self.embed.weight, std=0.01)

    def start_from(self, state: Mapping[str, Tensor] | None = None) -> None:
        """Loads the weights of the trunk, as `networks.captioner.Encoder` does, and of its last block."""
        if self.encoder is None:
            return
        loaded = Encoder(self.encoder.backbone, self.encoder.channels)
        loaded.start_from(state)
        if self.first is not None and _last_block(loaded) is not None:
            for own, part in zip(
                (self.reduce, self.conv, self.norm), _block(loaded, self.encoder.width, 1), strict=True
            ):
                own.load_state_dict(part.state_dict())
        self.encoder.load_state_dict(loaded.state_dict())

    def forward(self, *inputs: Tensor) -> Tensor:
        *seen, words = inputs
        check_input(words, "B L", B=inputs[0].shape[0])
        return teacher_forced(self, seen, words).log_probabilities

    def start(self, *seen: Tensor | None) -> Decoding:
        """The maps, and h and m of the map without attention: equation (4)."""
        if len(seen) != len(self.seen):
            raise ValueError(f"{len(seen)} inputs: {', '.join(self.seen)} are needed")
        x = seen[0]
        assert x is not None
        if self.encoder is not None:
            x = self.encoder(x)
            inner = None if self.first is None else self.reduce(x)
        else:
            check_input(x, "B C H W", C=self.channels)
            inner = seen[1] if len(seen) == 2 else None
            if self.first is not None:
                assert inner is not None
                check_input(inner, "B C H W", B=x.shape[0], C=self.first.channels, H=x.shape[2], W=x.shape[3])
        x, inner = widened(x), None if inner is None else widened(inner)
        context = pooled(x if inner is None else self.end(inner, x))
        hidden, memory = (wide_linear(layer, context).tanh() for layer in (self.start_hidden, self.start_memory))
        return Decoding(x, inner, hidden, memory)

    def end(self, inner: Tensor, features: Tensor) -> Tensor:
        """Equation (2)."""
        with uncast(inner):
            y = F.conv2d(inner, widened(self.conv.weight))
        return (wide_norm(self.norm, y) + features).relu()

    def attend(self, state: Decoding) -> tuple[Tensor, dict[str, Tensor]]:
        """z of (3) for the next word, and the maps of both layers."""
        maps: dict[str, Tensor] = {}
        own = self.of_state.weight.dtype  # of the mechanism, which adds up in float32 by itself
        x, h = state.features, state.hidden.to(own)
        if self.first is not None:
            assert state.inner is not None
            attended, beta, alpha = self.first.attended(state.inner.to(own), h, self._acting("inner_"))
            maps |= _shown("inner_", beta, alpha)
            x = self.end(widened(attended), x)
        x, beta, alpha = self.last.attended(x.to(own), h, self._acting(""))
        maps |= _shown("", beta, alpha)
        z = pooled(x)
        return (z if self.select is None else wide_linear(self.select, state.hidden).sigmoid() * z), maps

    def _acting(self, prefix: str) -> Callable[[str, Tensor], Tensor]:
        """What edits make of β `B C 1 1` or α `B 1 H W` for one word."""

        def act(name: str, map: Tensor) -> Tensor:
            shape = map.shape[1:2] if name == "channel" else map.shape[2:]
            return acting(self, f"{prefix}{name}", map, *shape)

        return act

    def step(self, words: Tensor, state: Decoding) -> Step:
        """Equations (1) to (5)."""
        word = widened(self.embed(words))
        z, maps = self.attend(state)
        gates = wide_linear(self.of_word, word) + wide_linear(self.of_state, state.hidden)
        i, f, o, g = (gates + wide_linear(self.of_context, z)).chunk(4, 1)
        if self.gate_dropout is not None:
            i, f, o = (self.gate_dropout(gate) for gate in (i, f, o))
        memory = f.sigmoid() * state.memory + i.sigmoid() * g.tanh()
        hidden = o.sigmoid() * memory.tanh()
        y = wide_linear(self.show_state, self.dropout(hidden))
        if self.word_to_output:
            y = y + word
        if self.show_context is not None:
            y = y + wide_linear(self.show_context, z)
        y = self.dropout(y.tanh())
        for layer in self.deep:
            assert isinstance(layer, nn.Linear)
            y = self.dropout(wide_linear(layer, y).relu())
        log_probabilities = log_softmax(wide_linear(self.predict, y))
        return Step(log_probabilities, state._replace(hidden=hidden, memory=memory), maps)


def pooled(x: Tensor) -> Tensor:
    """The mean over the positions, divided by its norm: `B C H W` -> `B C`, in float32 at least."""
    with uncast(x):
        c = widened(x).mean((2, 3))
        norm: Tensor = torch.linalg.vector_norm(c, dim=1, keepdim=True) + EPSILON
        return c / norm


def _shown(prefix: str, beta: Tensor | None, alpha: Tensor | None) -> dict[str, Tensor]:
    """β `B C` and α `B H W` under their names, those that there are."""
    found = {} if beta is None else {f"{prefix}channel": beta[:, :, 0, 0]}
    return found if alpha is None else {**found, f"{prefix}spatial": alpha[:, 0]}


def _last_block(encoder: Encoder | None) -> nn.Module | None:
    """The last block of a trunk, if it is a bottleneck of a ResNet of timm's."""
    stage = None if encoder is None else getattr(getattr(encoder.trunk, "network", None), "layer4", None)
    block = stage[-1] if isinstance(stage, nn.Sequential) else None
    return block if hasattr(block, "conv3") and getattr(block, "downsample", None) is None else None


def _block(encoder: Encoder | None, width: int, inner: int) -> tuple[nn.Sequential, nn.Conv2d, nn.BatchNorm2d]:
    """The layers before F₁, and convolution and norm of (2): new ones, or the trunk's last block, taken out of it."""
    block = _last_block(encoder)
    if block is None:
        reduce = nn.Sequential(
            nn.Conv2d(width, inner, 1, bias=False), nn.BatchNorm2d(inner), nn.ReLU(inplace=True),
            nn.Conv2d(inner, inner, 3, padding=1, bias=False), nn.BatchNorm2d(inner), nn.ReLU(inplace=True),
        )  # fmt: skip
        if encoder is None:
            reduce = nn.Sequential()  # F₁ is an input
        return reduce, nn.Conv2d(inner, width, 1, bias=False), nn.BatchNorm2d(width)
    assert encoder is not None
    parts = [block.get_submodule(name) for name in ("conv1", "bn1", "act1", "conv2", "bn2", "act2", "conv3", "bn3")]
    encoder.trunk.get_submodule("network.layer4")[-1] = nn.Identity()  # type: ignore[operator]
    assert isinstance(parts[6], nn.Conv2d) and isinstance(parts[7], nn.BatchNorm2d)
    return nn.Sequential(*parts[:6]), parts[6], parts[7]
