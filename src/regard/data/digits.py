"""Cluttered digits: handwritten digits at random positions on a canvas with pieces of other digits.

The digits are scikit-learn's own 1,797 (8×8, from the UCI set "Optical Recognition of Handwritten Digits", Alpaydin and
Kaynak, 1998). The idea of clutter cut from other digits is that of cluttered MNIST (Mnih, Heess, Graves, Kavukcuoglu,
"Recurrent Models of Visual Attention", 2014, arXiv:1406.6247). Here scale, contrast, polarity, colour and lighting vary
as well, and the box of the digit is known.

An image is a function of (seed, part, index) only, whichever other images are made. The digits of training images,
including their clutter, never appear in test images.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from regard.data import ImageSet, Split
from regard.data.dividing import divide
from regard.data.regions import filled
from regard.data.shipped import shipped

CLASSES = tuple("0123456789")
SIZE = LEAST_SIZE = 48
TRAIN_SIZE, TEST_SIZE = 2000, 1000
TEST_SHARE = 0.3

CELL = 10  # a digit of 8×8 pixels with an empty border, so that strokes at the edge keep their shape
SCALE = (0.5, 0.7)  # height of the cell, as a share of the canvas
STRETCH = (0.8, 1.2)  # width against height
CONTRAST = (0.5, 0.7)  # between digit and canvas; 1 is black on white
PIECES = (1, 4)  # number of pieces of clutter: from, below
PIECE = (3, 5)  # side of a piece, in pixels of the 8×8 digit: from, below
NOISE = 0.02


class Digits(Split):
    """A dataset of cluttered digits, made from a set of handwritten digits.

    Args:
        sources: the handwritten digits, from which digits and clutter are taken: uint8 `M 8 8`, 0 to 255.
        source_labels: the digit that each of them shows.
        count: the number of images; image i shows the digit i mod 10.
        size: height and width, in pixels.
        key: (seed, part), which seeds the images together with their index.
    """

    def __init__(
        self, sources: np.ndarray, source_labels: np.ndarray, *, count: int, size: int, key: tuple[int, int]
    ) -> None:
        super().__init__([i % len(CLASSES) for i in range(count)])
        self.sources = sources
        self.by_digit = [np.flatnonzero(source_labels == digit) for digit in range(len(CLASSES))]
        self.size = size
        self.key = key

    def pixels(self, i: int) -> Tensor:
        return self._compose(i)[0]

    def name(self, i: int) -> str:
        return f"digit {self.labels[i]}, image {i}"

    def region(self, i: int) -> Tensor:
        return filled(self.box(i), self.size)

    def box(self, i: int) -> tuple[int, int, int, int]:
        """The box around the digit of image `i`: left, top, right, bottom, the last two exclusive."""
        return self._compose(self._index(i))[1]

    def _compose(self, i: int) -> tuple[Tensor, tuple[int, int, int, int]]:
        random = np.random.default_rng([*self.key, i])
        base = random.uniform(0.35, 0.65)
        canvas = self._lit(base, random)
        same = self.by_digit[self.labels[i]]
        source = same[random.integers(len(same))]
        for other in random.integers(len(self.sources) - 1, size=random.integers(*PIECES)):
            side = random.integers(*PIECE)
            row, column = random.integers(8 - side + 1, size=2)
            greys = self.sources[other + (other >= source)]  # any except the digit itself
            self._paste(canvas, greys[row : row + side, column : column + side], base, random)
        left, top, cover = self._paste(canvas, self.sources[source], base, random)
        rows, columns = (np.flatnonzero(cover.max(axis) > 0.25).tolist() for axis in (1, 0))
        box = left + columns[0], top + rows[0], left + columns[-1] + 1, top + rows[-1] + 1
        canvas += NOISE * random.standard_normal(canvas.shape, dtype=np.float32)
        pixels = (canvas.clip(0, 1) * 255 + 0.5).astype(np.uint8)
        return torch.from_numpy(pixels).permute(2, 0, 1).contiguous(), box

    def _lit(self, base: float, random: np.random.Generator) -> np.ndarray:
        """An empty canvas of uneven brightness and slight colour: float32 `H W 3`."""
        light = random.integers(96, 160, size=(4, 4), dtype=np.uint8)
        smooth = Image.fromarray(light).resize((self.size, self.size), Image.Resampling.BICUBIC)
        shade = (np.asarray(smooth, dtype=np.float32) - 128) / 255 + np.float32(base)
        return shade[..., None] + random.uniform(-0.05, 0.05, size=3).astype(np.float32)

    def _paste(
        self, canvas: np.ndarray, greys: np.ndarray, base: float, random: np.random.Generator
    ) -> tuple[int, int, np.ndarray]:
        """Draws a digit or a piece of one on the canvas, at random position, scale, stretch, polarity and colour.

        Returns: left and top of its upper left corner, and its opacity, `h w` in [0, 1].
        """
        framed = np.zeros((len(greys) + 2, len(greys) + 2), np.uint8)
        framed[1:-1, 1:-1] = greys
        shares = random.uniform(*SCALE), random.uniform(*STRETCH), random.uniform(*CONTRAST)
        height = round(len(framed) * shares[0] * self.size / CELL)
        width = min(round(height * shares[1]), self.size)
        ink = Image.fromarray(framed).resize((width, height), Image.Resampling.BICUBIC)
        cover = np.asarray(ink, dtype=np.float32) / 255
        top, left = int(random.integers(self.size - height + 1)), int(random.integers(self.size - width + 1))
        polarity = 2 * random.integers(2) - 1
        colour = base + polarity * shares[2] + random.uniform(-0.08, 0.08, size=3)
        place = canvas[top : top + height, left : left + width]
        place += cover[..., None] * (colour.clip(0, 1).astype(np.float32) - place)
        return left, top, cover


def load(*, image_size: int | None, seed: int, train_size: int | None, test_size: int | None) -> ImageSet:
    """Makes a dataset of cluttered digits, by default 2000 training and 1000 test images of 48×48.

    Raises: ValueError if `image_size` is below 48, or a split is too small to show all ten digits.
    """
    size = SIZE if image_size is None else image_size
    if size < LEAST_SIZE:
        raise ValueError(f"image_size={size}: at least {LEAST_SIZE} pixels are needed for cluttered digits")
    greys, labels = handwritten()
    train, test = divide(labels.tolist(), TEST_SHARE, seed)

    def split(chosen: list[int], count: int, part: int) -> Digits:
        if count < len(CLASSES):
            name = ("train_size", "test_size")[part]
            raise ValueError(f"{name}={count}: at least 10 images are needed, one of each digit")
        return Digits(greys[chosen], labels[chosen], count=count, size=size, key=(seed, part))

    return ImageSet(
        "digits",
        CLASSES,
        split(train, TRAIN_SIZE if train_size is None else train_size, 0),
        split(test, TEST_SIZE if test_size is None else test_size, 1),
    )


@cache
def handwritten() -> tuple[np.ndarray, np.ndarray]:
    """Scikit-learn's 1,797 handwritten digits, uint8 `M 8 8` from 0 to 255, and the label of each."""
    table = np.loadtxt(shipped("sklearn", "datasets/data/digits.csv.gz"), delimiter=",")
    greys, labels = table[:, :-1].reshape(-1, 8, 8), table[:, -1].astype(int)
    return np.rint(greys * (255 / 16)).astype(np.uint8), labels
