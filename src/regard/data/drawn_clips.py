"""Drawn clips: questions whose answer needs two moments of a clip, and nothing but colours.

A clip has four moments, each as long as a quarter of it, and each shows one square at a random place, or nothing:

    match    three frames in three colours, filled with three of four further colours, and a block in the colour of one
             of the frames, in random order. The class is the colour inside that frame.
    order    a red and a blue block, and two empty moments, in random order. The class is which block comes first.

A single image of `match` leaves three answers, and four if it is not the block; which moments came first does not
matter. In `order` nothing else matters: the images of both classes are the same, and so is every set of moments.

A clip is a function of (seed, part, index) only, whichever other clips are made.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from regard.checks import choice, positive, whole
from regard.data.frames import CLASSES as FILL_NAMES
from regard.data.frames import COLOURS, FILLS, GROUND, NOISE, VARIATION

MOMENTS = 4
CLASSES = {"match": FILL_NAMES, "order": ("red first", "blue first")}
FRAMES, SIZE = 8, 32
LEAST_SIZE = 16  # below, a frame has no inside
SIDE = (3 / 8, 1 / 2)  # of a square, as a share of the image's
ORDERED = (0, 2)  # red and blue, of `COLOURS`

Square = tuple[int, int | None]  # colour, and what is inside, as indices into `COLOURS` and `FILLS`; None for a block


class DrawnClips(Dataset[dict[str, Tensor | int]]):
    """A dataset of drawn clips: `image`, float32 `3 T H W` in 0..1, and `label`.

    Args:
        question: `match` or `order`.
        count: the number of clips; clip i has the class i mod the number of classes.
        frames: T, a multiple of 4.
        size: H and W, in pixels, at least 16.
        seed: of all clips.
        part: a further number that seeds them, such as 0 for training and 1 for testing.

    Raises: ValueError if an argument is out of range.
    """

    def __init__(
        self, question: str, *, count: int, frames: int = FRAMES, size: int = SIZE, seed: int = 0, part: int = 0
    ) -> None:
        self.question = choice("question", question, CLASSES)
        self.classes = CLASSES[question]
        if positive("frames", frames) % MOMENTS:
            raise ValueError(f"frames={frames}: a multiple of {MOMENTS} is needed")
        self.frames, self.size = frames, whole("size", size, LEAST_SIZE)
        self.key = (whole("seed", seed, 0), whole("part", part, 0))
        self.labels = [i % len(self.classes) for i in range(positive("count", count))]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> dict[str, Tensor | int]:
        if not 0 <= i < len(self):
            raise IndexError(f"index {i} is out of range: there are {len(self)} clips")
        return {"image": self.clip(i), "label": self.labels[i]}

    def moments(self, i: int) -> tuple[Square | None, ...]:
        """The contents of the four moments of clip `i`, in order; None for nothing."""
        return self._shown(i, np.random.default_rng([*self.key, i]))

    def clip(self, i: int) -> Tensor:
        """Clip `i`: float32 `3 T H W`."""
        random = np.random.default_rng([*self.key, i])
        shown = self._shown(i, random)
        ground = np.float32(random.uniform(*GROUND))
        clip = np.full((self.frames, self.size, self.size, 3), ground, np.float32)
        length = self.frames // MOMENTS
        for moment, square in enumerate(shown):
            if square is not None:
                self._draw(clip[moment * length : (moment + 1) * length], square, ground, random)
        clip += NOISE * random.standard_normal(clip.shape, dtype=np.float32)
        return torch.from_numpy(clip.clip(0, 1)).permute(3, 0, 1, 2).contiguous()

    def _shown(self, i: int, random: np.random.Generator) -> tuple[Square | None, ...]:
        label = self.labels[i]
        if self.question == "order":
            first, second = ORDERED if label == 0 else ORDERED[::-1]
            when = sorted(random.permutation(MOMENTS)[:2].tolist())
            of: dict[int, Square | None] = {when[0]: (first, None), when[1]: (second, None)}
            return tuple(of.get(moment) for moment in range(MOMENTS))
        colours = random.permutation(len(COLOURS)).tolist()
        others = [fill for fill in range(len(FILLS)) if fill != label]
        fills = [label, *random.permutation(others)[: len(COLOURS) - 1].tolist()]
        squares: list[Square] = [*zip(colours, fills, strict=True), (colours[0], None)]
        return tuple(squares[place] for place in random.permutation(MOMENTS))

    def _draw(self, images: np.ndarray, square: Square, ground: np.float32, random: np.random.Generator) -> None:
        """Draws a square at one place of the images `T H W 3` of a moment."""
        colour, fill = square
        side = round(self.size * random.uniform(*SIDE))
        top, left = random.integers(self.size - side + 1, size=2).tolist()
        place = images[:, top : top + side, left : left + side]
        place[:] = _varied(COLOURS[colour], random)
        if fill is not None:
            border, gap = max(2, round(self.size / 16)), max(1, round(self.size / 48))
            inside = place[:, border:-border, border:-border]
            inside[:] = ground
            inside[:, gap:-gap, gap:-gap] = _varied(FILLS[fill], random)


def _varied(colour: tuple[float, float, float], random: np.random.Generator) -> np.ndarray:
    varied: np.ndarray = (colour + random.uniform(-VARIATION, VARIATION, size=3)).clip(0, 1).astype(np.float32)
    return varied
