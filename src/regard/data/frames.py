"""Coloured frames: a question whose answer needs two distant places of an image, and nothing but colours.

Each quarter of the canvas has a coloured frame. Three frames, of three colours, are filled, with three of four further
colours; the fourth frame is empty and has the colour of one of them. The class is the colour that fills its partner:

    red frame, white inside       empty blue frame                   blue goes with cyan: the class is `cyan`
    green frame, yellow inside    blue frame, cyan inside

Whoever sees the filled frames but not which one the empty frame names is right once in three times, and whoever does
not look at all once in four times. What each place shows is easy to tell; only the relation between the two places is
not. How hard that is depends on their distance in cells of the network's maps, so the same images at a smaller size are
the control.

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
TRAIN_SIZE, TEST_SIZE = 8000, 1000

FRAMES = ((0.95, 0.2, 0.15), (0.15, 0.75, 0.25), (0.25, 0.4, 1.0))  # red, green, blue
FILLS = ((0.97, 0.97, 0.97), (0.97, 0.85, 0.15), (0.95, 0.3, 0.85), (0.2, 0.85, 0.9))  # as `CLASSES`
VARIATION = 0.06  # of each colour channel of a frame or a fill, to either side
GROUND = (0.12, 0.18)  # brightness of the canvas: from, below
NOISE = 0.02
SIDE = (5 / 16, 2 / 5)  # of a frame, as a share of the canvas
SHIFT = 1 / 12  # the most by which a frame is away from the corner of the canvas, as a share of it


@dataclass(frozen=True)
class Frame:
    """A frame as it is drawn.

    Args:
        colour: of the frame, as an index into `FRAMES`.
        fill: of its inside, as an index into `CLASSES`; None if it is empty.
        box: left, top, right, bottom in pixels, the last two exclusive.
    """

    colour: int
    fill: int | None
    box: tuple[int, int, int, int]


class Frames(Split):
    """A dataset of images of four coloured frames.

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
        frames = self._placed(i, random)
        canvas = np.full((self.size, self.size, 3), random.uniform(*GROUND), np.float32)
        border, gap = max(2, round(self.size / 16)), max(1, round(self.size / 48))
        for frame in frames:
            left, top, right, bottom = frame.box
            place = canvas[top:bottom, left:right]
            inside = place[border:-border, border:-border]
            ground = float(place[0, 0, 0])
            place[:] = self._varied(FRAMES[frame.colour], random)
            inside[:] = ground
            if frame.fill is not None:
                inside[gap:-gap, gap:-gap] = self._varied(FILLS[frame.fill], random)
        canvas += NOISE * random.standard_normal(canvas.shape, dtype=np.float32)
        pixels = (canvas.clip(0, 1) * 255 + 0.5).astype(np.uint8)
        return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()

    def name(self, i: int) -> str:
        return f"{CLASSES[self.labels[i]]}, image {i}"

    def region(self, i: int) -> Tensor:
        """The filled frame that the empty one names, as a box: bool `H W`."""
        return filled(self.frames(i)[0].box, self.size)

    def frames(self, i: int) -> tuple[Frame, ...]:
        """The frames of image `i`: the one that is asked for, two others, and the empty one."""
        i = self._index(i)
        return self._placed(i, self._random(i))

    def _random(self, i: int) -> np.random.Generator:
        return np.random.default_rng([*self.key, i])

    def _placed(self, i: int, random: np.random.Generator) -> tuple[Frame, ...]:
        """Draws colours, fills and boxes: a frame in each quarter, near the corner of the canvas."""
        colours = random.permutation(len(FRAMES)).tolist()
        others = [fill for fill in range(len(CLASSES)) if fill != self.labels[i]]
        fills = [self.labels[i], *random.permutation(others)[: len(FRAMES) - 1].tolist(), None]
        placed = []
        for quarter, colour, fill in zip(random.permutation(4), (*colours, colours[0]), fills, strict=True):
            side = min(round(self.size * random.uniform(*SIDE)), self.size // 2)
            free = min(round(self.size * SHIFT), self.size // 2 - side)
            left, top = random.integers(free + 1, size=2).tolist()
            left = self.size - side - left if quarter % 2 else left
            top = self.size - side - top if quarter // 2 else top
            placed.append(Frame(colour, fill, (left, top, left + side, top + side)))
        return tuple(placed)

    def _varied(self, colour: tuple[float, float, float], random: np.random.Generator) -> np.ndarray:
        varied: np.ndarray = (colour + random.uniform(-VARIATION, VARIATION, size=3)).clip(0, 1).astype(np.float32)
        return varied


def load(*, image_size: int | None, seed: int, train_size: int | None, test_size: int | None) -> ImageSet:
    """Makes a dataset of coloured frames, by default 8000 training and 1000 test images of 48×48.

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
