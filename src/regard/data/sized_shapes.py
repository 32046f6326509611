"""Drawn scenes for segmentation: discs, squares and triangles of three sizes.

Each scene has a large object, a medium and three small ones where there is room, none of which touch. The class of an
object is its shape; its colour says nothing, and the background is grey. A pixel in the middle of a large object is far
from every edge, so that a network has to see much of the image to know its class, while the edges of a small object are
lost where the image is seen small.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from regard.checks import positive, whole
from regard.data.batches import Sample

CLASSES = ("background", "disc", "square", "triangle")
COLOURS = ((0, 0, 0), (230, 159, 0), (86, 180, 233), (0, 158, 115))  # of label maps
SIDE = 33
DIAMETERS = ((18, 21), (9, 11), (5, 6))  # the least and the largest of the large, medium and small ones, in pixels
COUNTS = (1, 1, 3)
TRIES = 40  # places tried for an object before it is left out
GREYS = (0.4, 0.6)  # of the background
NOISE = 0.04


@dataclass(frozen=True)
class SizedShapes(Dataset[Sample]):
    """Scenes of discs, squares and triangles of three sizes.

    A sample has `image` float32 `3 33 33` in 0..1, `mask` uint8 `33 33` (the class of each pixel), `object` uint8
    `33 33` (the number of the object, 0 for the background) and `diameter` uint8 `33 33` (its diameter in pixels).

    Args:
        count: the number of scenes.
        seed: which scenes; those of two seeds have nothing in common.

    Raises: ValueError for a count below 1 or a seed below 0.
    """

    count: int
    seed: int = 0

    def __post_init__(self) -> None:
        positive("count", self.count)
        whole("seed", self.seed, 0)

    @property
    def classes(self) -> tuple[str, ...]:
        return CLASSES

    @property
    def colours(self) -> tuple[tuple[int, int, int], ...]:
        return COLOURS

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"scene-{i}" for i in range(self.count))

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, i: int) -> Sample:
        if not -self.count <= i < self.count:
            raise IndexError(f"scene {i} of {self.count}")
        draw = np.random.default_rng((self.seed, i % self.count))
        image = np.full((3, SIDE, SIDE), draw.uniform(*GREYS))
        background = image[:, 0, 0].copy()
        mask, objects, diameters = (np.zeros((SIDE, SIDE), np.uint8) for _ in range(3))
        taken = np.zeros((SIDE, SIDE), bool)
        number = 0
        for (least, most), count in zip(DIAMETERS, COUNTS, strict=True):
            for _ in range(count):
                diameter = int(draw.integers(least, most + 1))
                place = _free(draw, taken, diameter)
                if place is None:
                    continue
                number += 1
                kind = int(draw.integers(1, len(CLASSES)))
                window = tuple(slice(start, start + diameter) for start in place)
                inside = _shape(CLASSES[kind], diameter)
                image[:, window[0], window[1]][:, inside] = _colour(draw, background)[:, None]
                for values, value in ((mask, kind), (objects, number), (diameters, diameter)):
                    values[window][inside] = value
                taken[tuple(slice(max(start - 1, 0), start + diameter + 1) for start in place)] = True
        image += draw.normal(0, NOISE, image.shape)
        return {
            "image": torch.from_numpy(image.clip(0, 1).astype(np.float32)),
            "mask": torch.from_numpy(mask),
            "object": torch.from_numpy(objects),
            "diameter": torch.from_numpy(diameters),
        }


def _free(draw: np.random.Generator, taken: NDArray[np.bool_], diameter: int) -> tuple[int, int] | None:
    """Row and column of a window in which nothing is yet; None if no try finds one."""
    for _ in range(TRIES):
        top, left = (int(start) for start in draw.integers(0, SIDE - diameter + 1, 2))
        if not taken[top : top + diameter, left : left + diameter].any():
            return top, left
    return None


def _shape(name: str, diameter: int) -> NDArray[np.bool_]:
    """The pixels of a shape in a window of its diameter."""
    middle = (diameter - 1) / 2
    rows, columns = np.mgrid[:diameter, :diameter]
    if name == "disc":
        return np.asarray((rows - middle) ** 2 + (columns - middle) ** 2 <= (diameter / 2) ** 2)
    if name == "square":
        return np.ones((diameter, diameter), bool)
    return np.asarray(abs(columns - middle) <= (rows + 1) / 2)  # a triangle that stands on its base


def _colour(draw: np.random.Generator, other: NDArray[np.float64]) -> NDArray[np.float64]:
    """A colour that differs from another by 0.25 in one channel at least."""
    while True:
        colour = draw.uniform(0.05, 0.95, 3)
        if abs(colour - other).max() >= 0.25:
            return colour
