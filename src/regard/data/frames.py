"""Coloured frames: a question whose answer needs two distant places of an image, and nothing but colours.

Three quarters of the canvas have a frame each, in three colours, filled with three of four further colours. The fourth
quarter has a block in the colour of one of the frames. The class is the colour inside that frame:

    blue frame, cyan inside       red frame, white inside       the block is blue, so the class is `cyan`
    green frame, yellow inside    blue block

Without the block, three answers are equally likely; without looking at all, four. What each place shows is easy to
tell, and only the relation between two places is not. How hard that is depends on their distance in cells of the
network's maps, so the same images at a smaller size are the control.

An image is a function of (seed, part, index) only, whichever other images are made. Nothing is shared between training
and test images but the colours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from regard.data import ImageSet, Split
from regard.data.regions import filled

CLASSES = ("white", "yellow", "magenta", "cyan")
SIZE = 48
LEAST_SIZE = 24  # below, a frame has no inside
TRAIN_SIZE, TEST_SIZE = 5000, 500

COLOURS = ((0.95, 0.2, 0.15), (0.15, 0.75, 0.25), (0.25, 0.4, 1.0))  # red, green, blue
FILLS = ((0.97, 0.97, 0.97), (0.97, 0.85, 0.15), (0.95, 0.3, 0.85), (0.2, 0.85, 0.9))  # as `CLASSES`
VARIATION = 0.06  # of each channel of a colour, to either side
GROUND = (0.12, 0.18)  # brightness of the canvas: from, below
NOISE = 0.02
SIDE = (5 / 16, 2 / 5)  # of a frame or the block, as a share of the canvas
SHIFT = 1 / 12  # the most by which it is away from the corner of the canvas, as a share of it


@dataclass(frozen=True)
class Square:
    """A frame or the block, as it is drawn.

    Args:
        colour: as an index into `COLOURS`.
        fill: what is inside the frame, as an index into `CLASSES`; None for the block.
        box: left, top, right, bottom in pixels, the last two exclusive.
    """

    colour: int
    fill: int | None
    box: tuple[int, int, int, int]


class Frames(Split):
    """A dataset of images of three coloured frames and a block.

    Args:
        count: the number of images; image i has the class i mod 4.
        size: height and width, in pixels.
        key: (seed, part), which seeds the images together with their index.
    """

    def __init__(self, *, count: int, size: int, key: tuple[int, int]) -> None:
        super().__init__([i % len(CLASSES) for i in range(count)])
        self.size = size
        self.key = key

    def pixels(self, i: int) -> Tensor:
        random = self._random(i)
        squares = self._placed(i, random)
        canvas = np.full((self.size, self.size, 3), random.uniform(*GROUND), np.float32)
        border, gap = max(2, round(self.size / 16)), max(1, round(self.size / 48))
        for square in squares:
            left, top, right, bottom = square.box
            place = canvas[top:bottom, left:right]
            ground = float(place[0, 0, 0])
            place[:] = self._varied(COLOURS[square.colour], random)
            if square.fill is not None:
                inside = place[border:-border, border:-border]
                inside[:] = ground
                inside[gap:-gap, gap:-gap] = self._varied(FILLS[square.fill], random)
        canvas += NOISE * random.standard_normal(canvas.shape, dtype=np.float32)
        pixels = (canvas.clip(0, 1) * 255 + 0.5).astype(np.uint8)
        return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()

    def name(self, i: int) -> str:
        return f"{CLASSES[self.labels[i]]}, image {i}"

    def region(self, i: int) -> Tensor:
        """The frame that has the block's colour, with its inside: bool `H W`."""
        return filled(self.squares(i)[0].box, self.size)

    def squares(self, i: int) -> tuple[Square, ...]:
        """What image `i` shows: the frame that is asked for, the two others, and the block."""
        i = self._index(i)
        return self._placed(i, self._random(i))

    def _random(self, i: int) -> np.random.Generator:
        return np.random.default_rng([*self.key, i])

    def _placed(self, i: int, random: np.random.Generator) -> tuple[Square, ...]:
        """Draws colours, fills and boxes, one in each quarter, near the corner of the canvas."""
        colours = random.permutation(len(COLOURS)).tolist()
        others = [fill for fill in range(len(CLASSES)) if fill != self.labels[i]]
        fills = [self.labels[i], *random.permutation(others)[: len(COLOURS) - 1].tolist(), None]
        placed = []
        for quarter, colour, fill in zip(random.permutation(4), (*colours, colours[0]), fills, strict=True):
            side = min(round(self.size * random.uniform(*SIDE)), self.size // 2)
            free = min(round(self.size * SHIFT), self.size // 2 - side)
            left, top = random.integers(free + 1, size=2).tolist()
            left = self.size - side - left if quarter % 2 else left
            top = self.size - side - top if quarter // 2 else top
            placed.append(Square(colour, fill, (left, top, left + side, top + side)))
        return tuple(placed)

    def _varied(self, colour: tuple[float, float, float], random: np.random.Generator) -> np.ndarray:
        varied: np.ndarray = (colour + random.uniform(-VARIATION, VARIATION, size=3)).clip(0, 1).astype(np.float32)
        return varied


def load(*, image_size: int | None, seed: int, train_size: int | None, test_size: int | None) -> ImageSet:
    """Makes a dataset of coloured frames, by default 5000 training and 500 test images of 48×48.

    Raises: ValueError if `image_size` is below 24, or a split is too small to show all four classes.
    """
    size = SIZE if image_size is None else image_size
    if size < LEAST_SIZE:
        raise ValueError(f"image_size={size}: at least {LEAST_SIZE} pixels are needed for coloured frames")
    counts = (TRAIN_SIZE if train_size is None else train_size, TEST_SIZE if test_size is None else test_size)
    for name, count in zip(("train_size", "test_size"), counts, strict=True):
        if count < len(CLASSES):
            raise ValueError(f"{name}={count}: at least {len(CLASSES)} images are needed, one of each class")
    train, test = (Frames(count=count, size=size, key=(seed, part)) for part, count in enumerate(counts))
    return ImageSet("frames", CLASSES, train, test)
