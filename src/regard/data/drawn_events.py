"""Drawn events: clips of handwritten digits in which three events happen one after another, at changing places.

A clip has four moments of equal length. Every frame shows a few digits, each in a cell of its own of a grid of 3 × 3
that is drawn anew for every frame. Three of the moments have an event each: one of their digits, in all their frames,
is a 1, a 4 or a 7, in an order that is the class; the others are none of these. Every class shows the same frames, only
in another order: to tell it, one has to find the event of each frame, and to remember which came first.

    coloured    an event is red, green or blue by its kind, and the rest is grey: it is easily found
    otherwise   all digits are grey, and an event is found by its shape alone

A clip also has sentences, which say the events in their order: "a one then a four then a seven".
A clip is a function of (seed, part, index) only. The handwritten digits of training clips are in no test clip.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import permutations
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from regard.checks import choice, flag, positive, whole
from regard.data.batches import Batch, Sample, padded
from regard.data.digits import handwritten
from regard.data.dividing import divide
from regard.data.words import Words
from regard.ops.seeds import mixed

MOMENTS, GRID = 4, 3
KINDS = {1: "one", 4: "four", 7: "seven"}  # the digits that are events
COLOURS = {1: (0.95, 0.25, 0.2), 4: (0.25, 0.8, 0.3), 7: (0.35, 0.5, 1.0)}
GREY = 0.85
ORDERS = tuple(permutations(KINDS))
CLASSES = tuple(" ".join(KINDS[digit] for digit in order) for order in ORDERS)
SENTENCES = (
    "a {} then a {} then a {}",
    "first a {} then a {} and then a {}",
    "a {} comes before a {} and that before a {}",
    "there is a {} and then a {} and a {}",
)
WORDS = Words.of([sentence.replace("{}", " ".join(KINDS.values())).split() for sentence in SENTENCES], least=1)
FRAMES, SIZE, LEAST_SIZE, CLUTTER = 8, 36, 24, 2
TEST_SHARE = 0.3  # of the handwritten digits
GROUND = (0.05, 0.15)
NOISE = 0.02


class Shown(NamedTuple):
    """A digit in a frame, and its box in pixels: left, top, right, bottom, the last two exclusive."""

    digit: int
    box: tuple[int, int, int, int]


@dataclass(frozen=True)
class DrawnEvents(Dataset[Sample]):
    """A dataset of drawn events; clip i has the class i mod 6.

        data = DrawnEvents(count=100)
        data[0]  # image, label
        data.told()[0]  # image, words (one of the four sentences of its clip), references, name

    Args:
        count: the number of clips.
        frames: T, a multiple of 4.
        size: H and W, in pixels, at least 24.
        clutter: the number of digits in a frame besides an event, 0 to 8.
        coloured: events have colours.
        seed: of all clips.
        part: "train" or "test".
        view: what an item is: a clip with its "label", with one of its "words" in turn, or with all "references" once;
            set by `told` and `asked`.

    Raises: ValueError if an argument is out of range.
    """

    count: int
    frames: int = FRAMES
    size: int = SIZE
    clutter: int = CLUTTER
    coloured: bool = False
    seed: int = 0
    part: str = "train"
    view: str = "label"

    words = WORDS
    classes = CLASSES

    def __post_init__(self) -> None:
        positive("count", self.count)
        if positive("frames", self.frames) % MOMENTS:
            raise ValueError(f"frames={self.frames}: a multiple of {MOMENTS} is needed")
        whole("size", self.size, LEAST_SIZE)
        whole("clutter", self.clutter, 0, GRID * GRID - 1)
        flag("coloured", self.coloured)
        whole("seed", self.seed, 0)
        choice("part", self.part, ("train", "test"))

    def __len__(self) -> int:
        return self.count * (len(SENTENCES) if self.view == "words" else 1)

    def told(self) -> DrawnEvents:
        """One item a sentence."""
        return replace(self, view="words")

    def asked(self) -> DrawnEvents:
        """One item a clip, with its sentences as references."""
        return replace(self, view="references")

    @property
    def labels(self) -> list[int]:
        """The class of each clip."""
        return [i % len(ORDERS) for i in range(self.count)]

    @property
    def lengths(self) -> list[int]:
        """The number of words of each item, for `Buckets`."""
        return [len(SENTENCES[i % len(SENTENCES)].split()) + 2 for i in range(len(self))]

    @property
    def digest(self) -> str:
        """A digest of all that the clips are a function of."""
        facts = (self.count, self.frames, self.size, self.clutter, self.coloured, self.seed, self.part, self.view)
        return f"events 1, {mixed(*facts) % 16**8:08x}"

    def __getitem__(self, i: int) -> dict[str, Any]:
        if not 0 <= i < len(self):
            raise IndexError(f"index {i} is out of range: there are {len(self)} items")
        clip, sentence = divmod(i, len(SENTENCES)) if self.view == "words" else (i, 0)
        if self.view == "label":
            return {"image": self.clip(clip), "label": self.labels[clip]}
        known = self.sentences(clip)
        words = torch.tensor(self.words.encode(known[sentence]))
        return {
            "image": self.clip(clip),
            "words": words,
            "references": [list(one) for one in known],
            "name": f"clip {clip}",
        }

    def collate_fn(self, samples: Sequence[Sample]) -> Batch:
        """A batch, whose sentences are padded."""
        return padded(samples, fields={} if self.view == "label" else {"words": 0}, listed=("references",))

    def order(self, i: int) -> tuple[int, ...]:
        """The digits that are the events of clip `i`, in their order."""
        return ORDERS[self.labels[i]]

    def sentences(self, i: int) -> tuple[tuple[str, ...], ...]:
        """The four sentences of clip `i`, as words."""
        named = [KINDS[digit] for digit in self.order(i)]
        return tuple(tuple(sentence.format(*named).split()) for sentence in SENTENCES)

    def clip(self, i: int) -> Tensor:
        """Clip `i`: float32 `3 T H W` in 0..1."""
        return _drawn(self._which, i % len(ORDERS), i)[0].float() / 255

    def shown(self, i: int) -> tuple[tuple[Shown, ...], ...]:
        """The digits in each frame of clip `i`, the event first."""
        return _drawn(self._which, i % len(ORDERS), i)[1]

    def events(self, i: int) -> tuple[Shown | None, ...]:
        """The event of each frame of clip `i`; None without one."""
        return tuple(frame[0] if frame and frame[0].digit in KINDS else None for frame in self.shown(i))

    @property
    def _which(self) -> Which:
        return Which(self.frames, self.size, self.clutter, self.coloured, self.seed, self.part)


class Which(NamedTuple):
    """The arguments of `DrawnEvents` that, with its number, determine a clip."""

    frames: int
    size: int
    clutter: int
    coloured: bool
    seed: int
    part: str


@cache
def _drawn(which: Which, label: int, i: int) -> tuple[Tensor, tuple[tuple[Shown, ...], ...]]:
    """Clip `i`, uint8 `3 T H W`, and what each of its frames shows."""
    random = np.random.default_rng([which.seed, int(which.part == "test"), i])
    others = [digit for digit in range(10) if digit not in KINDS]
    when = sorted(random.permutation(MOMENTS)[: len(KINDS)].tolist())
    at = dict(zip(when, ORDERS[label], strict=True))
    canvas = np.full((which.frames, which.size, which.size, 3), random.uniform(*GROUND))
    found: list[tuple[Shown, ...]] = []
    for t in range(which.frames):
        event = at.get(t * MOMENTS // which.frames)
        digits = random.choice(others, which.clutter + (event is None)).tolist()
        digits = digits if event is None else [event, *digits]
        cells = random.permutation(GRID * GRID)[: len(digits)].tolist()
        found.append(tuple(_paste(canvas[t], which, *one, random) for one in zip(digits, cells, strict=True)))
    canvas += NOISE * random.standard_normal(canvas.shape)
    pixels = (canvas.clip(0, 1) * 255 + 0.5).astype(np.uint8)
    return torch.from_numpy(pixels).permute(3, 0, 1, 2).contiguous(), tuple(found)


def _paste(canvas: np.ndarray, which: Which, digit: int, cell: int, random: np.random.Generator) -> Shown:
    """Draws a digit of random width somewhere in its cell of the frame `H W 3`."""
    side = which.size // GRID
    height, width = side - 1, side - 1 - int(random.integers(3))
    covers = _handwritten(which.seed, which.part, height, width)[digit]
    top, left = (side * place for place in divmod(cell, GRID))
    top, left = top + int(random.integers(side - height + 1)), left + int(random.integers(side - width + 1))
    colour = np.asarray(COLOURS[digit] if which.coloured and digit in COLOURS else (GREY,) * 3)
    place = canvas[top : top + height, left : left + width]
    place += covers[random.integers(len(covers))][..., None] * (colour - place)
    return Shown(digit, (left, top, left + width, top + height))


@cache
def _handwritten(seed: int, part: str, height: int, width: int) -> dict[int, np.ndarray]:
    """Digit -> its handwritten examples in a part, `N height width` in 0..1."""
    greys, labels = handwritten()
    chosen = np.asarray(divide(labels.tolist(), TEST_SHARE, seed)[part == "test"])
    values = torch.from_numpy(greys[chosen])[:, None].float() / 255
    covers = F.interpolate(values, (height, width), mode="bilinear", align_corners=False)[:, 0].numpy()
    return {digit: covers[labels[chosen] == digit] for digit in range(10)}
