"""Handwritten digits whose background gives their class away, in most images of the training and never in the test.

The digits are scikit-learn's, embedded, nearly white, at a random place on a canvas of one hue. In the
share `agree` of the training images the hue is that of the digit's class; in the others, as in all test images, that of
another class. A classifier that reads the hue is right on the training images and below chance on the test. The pixels
of the digit are known.

An image is a function of (seed, part, index) only. The digits of the parts differ.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from regard.checks import number, whole
from regard.data import ImageSet, Split
from regard.data.digits import CLASSES, handwritten
from regard.data.dividing import divide

SIZE = 20
DIGIT = 8  # side of a digit
TEST_SHARE, HELD_SHARE = 0.3, 0.2  # of all digits, and of those that are not for the test
HUE, SATURATION, VALUE = 0.02, 0.6, (0.35, 0.65)  # of the background: by how much the hue varies, and the others
INK = (0.85, 1.0)  # greys of a digit
NOISE = 0.04
STROKE = 96  # greys of a digit from here up are its region


@dataclass(frozen=True)
class BiasedSet(ImageSet):
    """The training and the test images, and a third part, made as the test but from other digits.

    Args:
        held: images on which a threshold can be chosen without looking at the test.
    """

    held: Split | None = None


class BiasedDigits(Split):
    """Digits on a background whose hue says a class.

    Args:
        greys: the digits, uint8 `N 8 8`.
        labels: the digit that each of them shows.
        agree: the share of the images whose hue is that of their own class; of the others it is another class's.
        count: the number of images; the digits are taken in turn.
        key: (seed, part), which seeds the images together with their index.
    """

    def __init__(
        self, greys: np.ndarray, labels: np.ndarray, *, agree: float, count: int, key: tuple[int, int]
    ) -> None:
        super().__init__([int(labels[i % len(labels)]) for i in range(count)])
        self.greys, self.agree, self.key = greys, agree, key

    def pixels(self, i: int) -> Tensor:
        return self._compose(i)[0]

    def region(self, i: int) -> Tensor:
        """The strokes of the digit: bool `H W`."""
        return self._compose(self._index(i))[1]

    def hue(self, i: int) -> int:
        """The class whose hue the background of image `i` has."""
        return self._compose(self._index(i))[2]

    def name(self, i: int) -> str:
        return f"digit {self.labels[i]} on the hue of {self.hue(i)}, image {i}"

    def _compose(self, i: int) -> tuple[Tensor, Tensor, int]:
        random = np.random.default_rng([*self.key, i])
        own, classes = self.labels[i], len(CLASSES)
        hue = own if random.random() < self.agree else (own + int(random.integers(1, classes))) % classes
        colour = colorsys.hsv_to_rgb(hue / classes + random.uniform(-HUE, HUE), SATURATION, random.uniform(*VALUE))
        ink = self.greys[i % len(self.greys)]
        cover = np.zeros((SIZE, SIZE), np.float64)
        top, left = (int(value) for value in random.integers(SIZE - DIGIT + 1, size=2))
        cover[top : top + DIGIT, left : left + DIGIT] = ink
        grey = random.uniform(*INK)
        canvas = np.asarray(colour) + cover[..., None] / 255 * (grey - np.asarray(colour))
        canvas = canvas + NOISE * random.standard_normal(canvas.shape)
        pixels = (canvas.clip(0, 1) * 255 + 0.5).astype(np.uint8)
        region = torch.from_numpy(cover >= STROKE)
        return torch.from_numpy(pixels).permute(2, 0, 1).contiguous(), region, hue


def load(
    *, train_size: int | None = None, test_size: int | None = None, agree: float = 0.95, seed: int = 0
) -> BiasedSet:
    """Makes the parts: training images of which the share `agree` has the hue of its class; held and test ones.

    Args:
        train_size, test_size: numbers of images; None takes each digit once, 1,005 and 540.
        agree: of the training images; 0.1 is no bias at all.
        seed: of places, colours and noise, and of what digit is in which part.

    Raises: ValueError if an argument is out of range.
    """
    number("agree", agree, least=0, most=1)
    whole("seed", seed, 0)
    greys, labels = handwritten()
    rest, test = divide(labels.tolist(), TEST_SHARE, seed)
    first, second = divide(labels[rest].tolist(), HELD_SHARE, seed)

    def part(chosen: np.ndarray, which: int, size: int | None, share: float) -> BiasedDigits:
        count = len(chosen) if size is None else whole(("train_size", "held", "test_size")[which], size, 10)
        return BiasedDigits(greys[chosen], labels[chosen], agree=share, count=count, key=(seed, which))

    numbers = np.asarray(rest)
    return BiasedSet(
        "biased digits",
        CLASSES,
        part(numbers[first], 0, train_size, agree),
        part(np.asarray(test), 2, test_size, 0.0),
        held=part(numbers[second], 1, None, 0.0),
    )
