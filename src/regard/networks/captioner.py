"""Captioners: networks that write a sentence about what they see, one word after another.

A captioner gives three functions, which are one arithmetic:

    start(*seen) -> state                               reads the image or its regions, once
    step(words B, state) -> Step                        log-probabilities of the next word, the new state, the maps
    forward(*seen, words B L) -> B L V                  a whole sentence with the true words given: `teacher_forced`

`decode` writes the best sentences by beam search, with the maps of each; `sample` draws one, with gradients.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Generator, Tensor, nn

from regard.checks import check_input, positive
from regard.core import Attention
from regard.networks.dilated import STRIDES, Trunk
from regard.ops.beam_search import Hypothesis, Penalty, beam_search
from regard.ops.precision import widened
from regard.ops.words import END, PAD, START

State = Any  # tensors with the batch first, in tuples, lists and dicts
CONVOLUTIONS = "convolutions"
WIDTHS = (32, 48, 64)  # of the trunk of a few convolutions


class Step(NamedTuple):
    """What a captioner answers to one word.

    Attributes:
        log_probabilities: of the next word, `B V`.
        state: for the next step.
        maps: name -> what was looked at for the next word, `B H W`, `B N`, `B` or `B C`.
    """

    log_probabilities: Tensor
    state: State
    maps: dict[str, Tensor]


class Forced(NamedTuple):
    """A whole sentence with the true words given: log-probabilities `B L V`, and the maps, `B L *`."""

    log_probabilities: Tensor
    maps: dict[str, Tensor]


class Sampled(NamedTuple):
    """Drawn sentences: words `B L`, the log-probability of each, and which are no padding, `bool B L`."""

    words: Tensor
    log_probabilities: Tensor
    mask: Tensor


@runtime_checkable
class Captioner(Protocol):
    """A network that writes sentences.

    Attributes:
        seen: the fields of a batch that it sees, in the order of its inputs: `("image",)`.
        vocabulary: V, the number of words, the four special ones included.
    """

    @property
    def seen(self) -> tuple[str, ...]: ...

    @property
    def vocabulary(self) -> int: ...

    def start(self, *seen: Tensor) -> State: ...

    def step(self, words: Tensor, state: State) -> Step: ...


def teacher_forced(model: Any, seen: Sequence[Tensor | None], words: Tensor) -> Forced:
    """The log-probabilities of the word after each given one; each map is shown once, over all words.

    Args:
        model: a captioner; if it is an `Attention`, it shows its maps. Edits act on them word by word, in `step`.
        seen: its inputs.
        words: the given words, which begin with the start.

    Shapes: words `B L` -> log_probabilities `B L V`; maps `B L *`.
    Raises: ValueError for words of another shape.
    """
    first = next(one for one in seen if one is not None)
    check_input(words, "B L", B=first.shape[0])
    state = model.start(*seen)
    steps = []
    for word in words.unbind(1):
        step = model.step(word, state)
        state = step.state
        steps.append(step)
    maps = {name: torch.stack([step.maps[name] for step in steps], 1) for name in steps[0].maps}
    if isinstance(model, Attention):
        for name, map in maps.items():
            model.show(name, map)
    return Forced(torch.stack([step.log_probabilities for step in steps], 1), maps)


def acting(model: Attention, name: str, map: Tensor, *shape: int) -> Tensor:
    """What edits make of the map of one word; `teacher_forced` shows the maps of all words as one.

    Args:
        model: the captioner.
        name: the map's name in the label.
        map: the weights of one word, `B *` or flattened.
        shape: the map's sizes behind batch and words.
    """
    if not model.watched:
        return map
    whole = map.reshape(map.shape[0], 1, *shape)
    edited = model.edited(name, whole)
    return map if edited is whole else edited.reshape(map.shape)


def decode(
    model: Any,
    seen: Sequence[Tensor | None],
    *,
    beam: int = 3,
    longest: int = 20,
    finished: str = "shrink",
    penalty: Penalty = "none",
    start: int = START,
    end: int = END,
    never: Sequence[int] = (PAD, START),
) -> list[list[Hypothesis]]:
    """The best sentences for each image, best first, in evaluation mode and without gradients.

    Args:
        model: a captioner.
        seen: its inputs.
        beam: the number of hypotheses; 1 is greedy.
        longest: the most words, the end counted.
        finished, penalty, start, end, never: as for `ops.beam_search.beam_search`.

    Raises: ValueError as `beam_search`.
    """
    with evaluated(model), torch.no_grad():
        return beam_search(
            model.step,
            model.start(*seen),
            start=start,
            end=end,
            beam=beam,
            longest=longest,
            finished=finished,
            penalty=penalty,
            never=never,
        )


def sample(
    model: Any,
    seen: Sequence[Tensor | None],
    *,
    longest: int = 20,
    generator: Generator | None = None,
    start: int = START,
    end: int = END,
    never: Sequence[int] = (PAD, START),
) -> Sampled:
    """A drawn sentence for each image, in the model's own mode; the log-probabilities have gradients.

    Args:
        model: a captioner.
        seen: its inputs.
        longest: the most words, the end counted.
        generator: of the draws; None for torch's own.
        start, end: numbers of the words at which a sentence begins and ends.
        never: words that are not drawn; the others share their probability.

    Shapes: words, log_probabilities and mask `B L`; after the end the words are padding and the log-probabilities 0.
    Raises: ValueError if `longest` is not positive.
    """
    positive("longest", longest)
    state = model.start(*seen)
    first = next(one for one in seen if one is not None)
    words = torch.full((len(first),), start, dtype=torch.int64, device=first.device)
    ended = torch.zeros_like(words, dtype=torch.bool)
    drawn, chances, kept = [], [], []
    for _ in range(longest):
        step = model.step(words, state)
        state = step.state
        log_probabilities = step.log_probabilities
        if never:
            outside = torch.tensor(list(never), device=words.device)
            log_probabilities = log_probabilities.index_fill(1, outside, -math.inf).log_softmax(1)
        words = torch.multinomial(log_probabilities.detach().exp(), 1, generator=generator).squeeze(1)
        chance = log_probabilities.gather(1, words[:, None]).squeeze(1)
        drawn.append(words.masked_fill(ended, PAD))
        chances.append(chance.masked_fill(ended, 0))
        kept.append(~ended)
        ended = ended | (words == end)
        if bool(ended.all()):
            break
    return Sampled(torch.stack(drawn, 1), torch.stack(chances, 1), torch.stack(kept, 1))


def log_softmax(logits: Tensor) -> Tensor:
    """Log-probabilities over the last axis, in float32 or wider."""
    return widened(logits).log_softmax(-1)


@contextmanager
def evaluated(model: nn.Module) -> Iterator[None]:
    """Evaluation mode in the block; afterwards every module has its own mode again."""
    before = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, was in before:
            module.training = was


class Encoder(nn.Module):
    """The image encoder of a captioner: the last map of any trunk of timm's, or of three convolutions.

    Args:
        backbone: a network of timm's that gives feature maps, or "convolutions": three of 3 × 3 with stride 2, batch
            norm and ReLU, for small images; its map is 8 times smaller.
        channels: of the image.
        output_stride: 4, 8, 16 or 32: the map is at most so many times smaller than the image.

    Attributes:
        width: the channels of the map.

    Shapes: image `B channels H W` -> `B width h w`.
    Raises: LookupError if there is no such backbone; ValueError for another argument out of range.
    """

    def __init__(self, backbone: str, channels: int, *, output_stride: int = STRIDES[-1]) -> None:
        super().__init__()
        self.backbone, self.channels = backbone, positive("channels", channels)
        if backbone == CONVOLUTIONS:
            self.trunk: nn.Module = _Convolutions(channels)
            self.width = WIDTHS[-1]
        else:
            self.trunk = Trunk(backbone, channels, output_stride=output_stride)
            self.width = self.trunk.widths[-1]

    def start_from(self, state: Mapping[str, Tensor] | None = None) -> None:
        """Loads the weights of the trunk: those given, by timm's names for the whole network, or the published ones.

        The three convolutions have no published weights: nothing is loaded without a state.

        Raises: OSError if the published ones cannot be loaded; ValueError if those given do not fit.
        """
        if isinstance(self.trunk, Trunk):
            self.trunk.start_from(state)
        elif state is not None:
            raise ValueError(f"backbone={self.backbone!r}: a network of timm's is needed to begin with its weights")

    def forward(self, image: Tensor) -> Tensor:
        check_input(image, "B C H W", C=self.channels)
        levels: list[Tensor] = self.trunk(image)
        return levels[-1]


class _Convolutions(nn.Module):
    """Three convolutions of 3 × 3 with stride 2, each with batch norm and ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, width in zip((channels, *WIDTHS), WIDTHS, strict=False):
            layers += [nn.Conv2d(before, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers)

    def forward(self, image: Tensor) -> list[Tensor]:
        return [self.layers(image)]
