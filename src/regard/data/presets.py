"""Ready-made augmentations of training samples, by name.

    none     no augmentation
    light    a shift by up to an eighth of each side, with reflection padding, and a horizontal flip with probability
             1/2; not for images whose class depends on left and right, such as letters and digits
    timm     timm's training transform: a crop of 8 to 100 percent, flips, RandAugment and random erasing; for many
             epochs on photographs

Each is a function of the sample and the generator, which `data.batches.loader` seeds by (seed, epoch, index of the
sample): trainings with the same seed see the same images.

RandAugment: Practical automated data augmentation with a reduced search space. Cubuk, Zoph, Shlens, Le. 2019,
arXiv:1909.13719. Random Erasing Data Augmentation. Zhong, Zheng, Kang, Li, Yang. 2017, arXiv:1708.04896.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache

import numpy as np
import torch
from PIL import Image
from torch import Generator, Tensor

from regard.data.augmenting import DENSITIES, LABEL_MAPS
from regard.data.batches import Augment, Sample
from regard.ops.seeds import seeded

SHIFT = 1 / 8  # of each side
RANDAUGMENT = "rand-m9-mstd0.5-inc1"
ERASED = 0.25  # share of the images of which a part is erased
PLANES = ("image", *LABEL_MAPS, *DENSITIES)  # the fields on the grid of the image


def get(name: str) -> Augment | None:
    """The augmentation of a name; None for `none`.

    Raises: ValueError for an unknown name.
    """
    if name not in PRESETS:
        raise ValueError(f"augment={name!r}: {', '.join(PRESETS)} are accepted")
    return PRESETS[name]


def light(sample: Sample, generator: Generator) -> Sample:
    """A small shift and a horizontal flip of the image and its masks.

    Shapes: image `C H W`; mask, region and density `*H W`.
    Raises: ValueError for a sample with `boxes`, which it cannot transform.
    """
    _without("light", sample, ("boxes",))
    height, width = sample["image"].shape[-2:]
    down, right, flip = (2 * torch.rand(3, generator=generator) - 1).tolist()
    rows = _mirrored(torch.arange(height) + round(down * SHIFT * height), height)
    columns = _mirrored(torch.arange(width) + round(right * SHIFT * width), width)
    if flip > 0:
        columns = columns.flip(0)
    moved = {name: sample[name][..., rows, :][..., columns] for name in PLANES if sample.get(name) is not None}
    return {**sample, **moved}


def timm(sample: Sample, generator: Generator) -> Sample:
    """timm's training transform of the image; a grey image becomes the mean of the transformed colours.

    Shapes: image `C H W` in 0..1, C 1 or 3.
    Raises: ValueError for another number of channels, values outside 0..1, or a sample with masks or boxes.
    """
    _without("timm", sample, (*LABEL_MAPS, *DENSITIES, "boxes"))
    image: Tensor = sample["image"]
    channels, height, width = image.shape
    if channels not in (1, 3) or image.min() < 0 or image.max() > 1:
        raise ValueError(
            f"augment='timm' with an image {tuple(image.shape)} from {image.min():.3g} to {image.max():.3g}: 1 or 3 "
            "channels in 0..1 are needed"
        )
    pixels = (image.expand(3, -1, -1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    with _drawing_from(generator):
        made = _transform(height, width)(Image.fromarray(np.ascontiguousarray(pixels))).clamp(0, 1)
    return {**sample, "image": made if channels == 3 else made.mean(0, keepdim=True)}


PRESETS: Mapping[str, Augment | None] = {"none": None, "light": light, "timm": timm}


@lru_cache(maxsize=4)
def _transform(height: int, width: int) -> Callable[[Image.Image], Tensor]:
    from timm.data import create_transform

    transform: Callable[[Image.Image], Tensor] = create_transform(
        (3, height, width),
        is_training=True,
        auto_augment=RANDAUGMENT,
        re_prob=ERASED,
        re_mode="pixel",
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
    )
    return transform


@contextmanager
def _drawing_from(generator: Generator) -> Iterator[None]:
    """Seeds the global generators of Python, NumPy and torch from `generator`, and restores them after the block.

    timm's transforms use all three.
    """
    seed = int(torch.randint(2**32, (), generator=generator))
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        with seeded(seed):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002


def _mirrored(indices: Tensor, size: int) -> Tensor:
    """Reflects indices at 0 and at size - 1, as reflection padding does."""
    if size == 1:
        return torch.zeros_like(indices)
    period = 2 * (size - 1)
    folded = indices.remainder(period)
    return torch.minimum(folded, period - folded)


def _without(name: str, sample: Sample, fields: tuple[str, ...]) -> None:
    found = [field for field in fields if sample.get(field) is not None]
    if found:
        raise ValueError(
            f"augment={name!r} cannot transform {' and '.join(found)}: samples without these fields are needed"
        )
