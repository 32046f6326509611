"""Far cues: drawn scenes where the class of a region is set by a marker in none of its rows and columns.

A scene is a dark canvas with a grey region and a small marker, whose colour is the class of the region. All regions
look the same, so a network that does not see the marker from the region can only guess: one of three is right. The
marker shares no row and no column with its region, and a gap lies between, so that a single pass along rows and columns
(criss-cross attention) meets only what convolutions around it carry over; in one direction the marker is nearly half
the canvas away, where a few convolutions hardly see it. The marker itself belongs to the ground.

A scene is a function of (seed, part, index) only, whichever other scenes are made.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from regard.checks import positive, whole
from regard.data.frames import COLOURS, GROUND, NOISE, VARIATION
from regard.data.label_names import Colour
from regard.data.regions import filled

CLASSES = ("ground", "red", "green", "blue")
PALETTE: tuple[Colour, ...] = ((0, 0, 0), *((round(255 * r), round(255 * g), round(255 * b)) for r, g, b in COLOURS))
GREY = 0.6  # brightness of a region, varied as the channels of a colour are
TRAIN_SIZE, TEST_SIZE, SIZE = 3000, 500, 32
LEAST_SIZE = 16  # below, a marker is a single pixel
SIDE = (1 / 4, 3 / 8)  # of a region, as a share of the canvas's
MARKER = 1 / 8  # side of the marker
GAP, FAR = 1 / 16, 7 / 16  # the least distance of region and marker: in both directions, and in the larger one
AT_ONCE = 64  # candidates that are drawn together

Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels, the last two exclusive


class FarCue(Dataset[Mapping[str, Tensor]]):
    """A dataset of drawn scenes.

    Args:
        count: the number of scenes; scene i has the class 1 + i mod 3.
        size: height and width, in pixels, at least 16.
        seed: of all scenes.
        part: a further number that seeds them, such as 0 for training and 1 for testing.
        own: whether a sample also has `truth`, which is its `mask`.

    Raises: ValueError if an argument is out of range.
    """

    classes = CLASSES
    colours = PALETTE

    def __init__(
        self, count: int = TRAIN_SIZE, size: int = SIZE, *, seed: int = 0, part: int = 0, own: bool = False
    ) -> None:
        self.size, self.own = whole("size", size, LEAST_SIZE), own
        self.key = (whole("seed", seed, 0), whole("part", part, 0))
        self.names = tuple(f"{'train' if part == 0 else 'test'} scene {i}" for i in range(positive("count", count)))
        self.digest = f"far-cue 3 {count} {size} {seed} {part}"

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, i: int) -> dict[str, Tensor]:
        """The sample: `image` float `3 S S` in 0..1, `mask` uint8 `S S`, with `own` also `truth`."""
        random = self._random(i)
        region, marker = self._places(random)
        image = np.full((self.size, self.size, 3), random.uniform(*GROUND), np.float32)
        label = 1 + i % len(COLOURS)
        for (left, top, right, bottom), colour, channels in ((region, GREY, 1), (marker, COLOURS[label - 1], 3)):
            image[top:bottom, left:right] = colour + random.uniform(-VARIATION, VARIATION, size=channels)
        image += NOISE * random.standard_normal(image.shape, dtype=np.float32)
        mask = filled(region, self.size).to(torch.uint8) * label
        sample = {"image": torch.from_numpy(image.clip(0, 1)).permute(2, 0, 1).contiguous(), "mask": mask}
        return {**sample, "truth": mask} if self.own else sample

    def region(self, i: int) -> Tensor:
        """The pixels of the marker of scene `i`: bool `S S`."""
        return filled(self._places(self._random(i))[1], self.size)

    def _random(self, i: int) -> np.random.Generator:
        if not 0 <= i < len(self):
            raise IndexError(f"index {i} is out of range: there are {len(self)} scenes")
        return np.random.default_rng([*self.key, i])

    def _places(self, random: np.random.Generator) -> tuple[Box, Box]:
        """The boxes of region and marker: drawn until they share neither rows nor columns, and lie far apart."""
        side, gap = max(2, round(MARKER * self.size)), max(1, round(GAP * self.size))
        while True:
            extent = np.rint(self.size * random.uniform(*SIDE, size=(AT_ONCE, 2))).astype(int)  # of x, y
            start = random.integers(self.size - extent + 1)
            marker = random.integers(self.size - side + 1, size=(AT_ONCE, 2))
            apart = np.maximum(marker - (start + extent), start - (marker + side))
            (fit,) = np.nonzero((apart.min(1) >= gap) & (apart.max(1) >= FAR * self.size))
            if fit.size:
                (left, top), (wide, tall), (x, y) = (ends[fit[0]].tolist() for ends in (start, extent, marker))
                return (left, top, left + wide, top + tall), (x, y, x + side, y + side)


def far_cue(
    train_size: int = TRAIN_SIZE, test_size: int = TEST_SIZE, size: int = SIZE, seed: int = 0
) -> tuple[FarCue, FarCue]:
    """The training scenes and the test scenes."""
    return FarCue(train_size, size, seed=seed), FarCue(test_size, size, seed=seed, part=1)
