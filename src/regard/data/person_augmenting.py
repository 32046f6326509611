"""Augmentations of images of persons and of their clips: a shift, and a rectangle that is erased.

Image, masks of parts and the region of the person are changed alike; all frames of a clip are, too.

Random Erasing Data Augmentation. Zhong, Zheng, Kang, Li, Yang. AAAI 2020, arXiv:1708.04896.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator

from regard.checks import number, sequence
from regard.data.augmenting import DENSITIES, LABEL_MAPS, Crop, resized
from regard.data.batches import Sample

LARGER = 1.125
TRIES = 100


@dataclass(frozen=True)
class Shift:
    """Enlarges a sample by an eighth and crops a window of its old size at a random position.

    Args:
        share: the probability of it.

    Raises: ValueError if `share` is outside 0..1.
    """

    share: float = 0.5

    def __post_init__(self) -> None:
        number("share", self.share, least=0, most=1)

    def __call__(self, sample: Sample, generator: Generator) -> Sample:
        if torch.rand((), generator=generator) >= self.share:
            return sample
        height, width = sample["image"].shape[-2:]
        return Crop(height, width)(resized(sample, round(height * LARGER), round(width * LARGER)), generator)


@dataclass(frozen=True)
class Erase:
    """Replaces a random rectangle of the image by a colour; masks have nothing there.

    Args:
        share: the probability of it.
        fill: the colour, before normalisation.
        least, most: the bounds of the rectangle's share of the area.
        stretch: the smallest ratio of height to width; the largest is 1 / stretch.

    Raises: ValueError if an argument is out of range.
    """

    share: float = 0.5
    fill: tuple[float, float, float] = (0.0, 0.0, 0.0)
    least: float = 0.02
    most: float = 0.4
    stretch: float = 0.3

    def __post_init__(self) -> None:
        number("share", self.share, least=0, most=1)
        number("least", self.least, above=0, most=self.most)
        number("most", self.most, above=0, most=1)
        number("stretch", self.stretch, above=0, most=1)
        for value in sequence("fill", self.fill, 3):
            number("fill", value)

    def __call__(self, sample: Sample, generator: Generator) -> Sample:
        if torch.rand((), generator=generator) >= self.share:
            return sample
        height, width = sample["image"].shape[-2:]
        for _ in range(TRIES):
            area, ratio, down, right = torch.rand(4, generator=generator).tolist()
            pixels = (self.least + (self.most - self.least) * area) * height * width
            stretch = self.stretch + (1 / self.stretch - self.stretch) * ratio
            tall, wide = round(math.sqrt(pixels * stretch)), round(math.sqrt(pixels / stretch))
            if 0 < tall < height and 0 < wide < width:
                break
        else:
            return sample
        top, left = int(down * (height - tall + 1)), int(right * (width - wide + 1))
        erased = dict(sample)
        for name in ("image", *(name for name in (*DENSITIES, *LABEL_MAPS) if name in sample)):
            erased[name] = sample[name].clone()
            erased[name][..., top : top + tall, left : left + wide] = 0
        colour = erased["image"].new_tensor(self.fill).view(-1, *[1] * (erased["image"].ndim - 1))
        erased["image"][..., top : top + tall, left : left + wide] = colour
        return erased
