"""Augmentations of whole samples: an image together with its masks, densities and boxes.

An augmentation is `(sample, generator) -> sample` and takes its random numbers from the generator only. The name of a
field decides how it is transformed with the image:

    image            `C H W`, bilinear interpolation; padded with `fill`
    DENSITIES        `* H W`, bilinear interpolation; padded with 0
    LABEL_MAPS       `* H W`, labels: nearest neighbour; padded with `void`
    boxes            `M 4`, left, top, right, bottom in pixels; a row of NaN for a box outside the image

All other fields are returned unchanged.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional
from torch.utils.data import Dataset

from regard.checks import number, positive
from regard.data.batches import Augment, Data, Sample, as_sample, samples

DENSITIES = ("human", "parts")
LABEL_MAPS = ("mask", "region")
VOID = 255


@dataclass(frozen=True)
class OfImage:
    """Applies a function of the image to the image of a sample; all other fields are unchanged.

    Args:
        function: `(image, generator) -> image`.
    """

    function: Callable[[Tensor, Generator], Tensor]

    def __call__(self, sample: Sample, generator: Generator) -> Sample:
        return {**sample, "image": self.function(sample["image"], generator)}


@dataclass(frozen=True, init=False)
class InTurn:
    """Applies several augmentations in order."""

    steps: tuple[Augment, ...]

    def __init__(self, *steps: Augment) -> None:
        object.__setattr__(self, "steps", steps)

    def __call__(self, sample: Sample, generator: Generator) -> Sample:
        for step in self.steps:
            sample = step(sample, generator)
        return sample


@dataclass(frozen=True)
class Mirror:
    """Flips a sample horizontally at random.

    Args:
        share: the probability of a flip.

    Raises: ValueError if `share` is outside 0..1.
    """

    share: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ValueError(f"share={self.share!r}: a probability from 0 to 1 is needed")

    def __call__(self, sample: Sample, generator: Generator) -> Sample:
        if torch.rand((), generator=generator) >= self.share:
            return sample
        width = sample["image"].shape[-1]
        mirrored = {**sample, "image": sample["image"].flip(-1)}
        for name in _along(sample):
            mirrored[name] = sample[name].flip(-1)
        if "boxes" in sample:
            left, top, right, bottom = sample["boxes"].unbind(-1)
            mirrored["boxes"] = torch.stack((width - right, top, width - left, bottom), -1)
        return mirrored


@dataclass(frozen=True)
class Rescale:
    """Resizes a sample by a random factor, the same for height and width.

    Args:
        low, high: the bounds of the factor, which is drawn uniformly.

    Raises: ValueError if the bounds are not positive or not in order.
    """

    low: float = 0.5
    high: float = 2.0

    def __post_init__(self) -> None:
        if not 0 < self.low <= self.high < math.inf:
            raise ValueError(f"low={self.low!r}, high={self.high!r}: two factors above 0, low ≤ high, are needed")

    def __call__(self, sample: Sample, generator: Generator) -> Sample:
        factor = self.low + (self.high - self.low) * torch.rand((), generator=generator).item()
        height, width = (max(1, round(side * factor)) for side in sample["image"].shape[-2:])
        return resized(sample, height, width)


@dataclass(frozen=True)
class Crop:
    """Crops a window of a fixed size at a random position; a smaller sample is padded at the bottom and the right.

    Args:
        height, width: the size of the window, in pixels.
        fill: the value that pads the image, before normalisation.
        void: the label that pads label maps.

    Raises: ValueError if a side is not positive.
    """

    height: int
    width: int
    fill: float = 0.0
    void: int = VOID

    def __post_init__(self) -> None:
        positive("height", self.height)
        positive("width", self.width)

    def __call__(self, sample: Sample, generator: Generator) -> Sample:
        height, width = sample["image"].shape[-2:]
        rooms = (height - self.height, width - self.width)
        draws = torch.rand(2, generator=generator).tolist()
        top, left = (math.floor(draw * (max(room, 0) + 1)) for draw, room in zip(draws, rooms, strict=True))
        below, behind = (max(-room, 0) for room in rooms)

        def window(values: Tensor, fill: float) -> Tensor:
            cut = values[..., top : top + self.height, left : left + self.width]
            return functional.pad(cut, (0, behind, 0, below), value=fill) if below or behind else cut

        cut = {**sample, "image": window(sample["image"], self.fill)}
        for name in _along(sample):
            cut[name] = window(sample[name], _fill(sample[name], name, self.void))
        if "boxes" in sample:
            cut["boxes"] = _within(sample["boxes"] - torch.tensor([left, top, left, top]), self.height, self.width)
        return cut


@dataclass(frozen=True)
class Turn:
    """Rotates a sample about the middle of its image by a random angle; the size stays, corners are cut or padded.

    Args:
        degrees: the largest angle, to either side.
        fill: the value that pads the image, before normalisation.
        void: the label that pads label maps.

    Boxes become the upright boxes around the rotated ones.

    Raises: ValueError if `degrees` is not between 0 and 180.
    """

    degrees: float = 15.0
    fill: float = 0.0
    void: int = VOID

    def __post_init__(self) -> None:
        number("degrees", self.degrees, least=0, most=180)

    def __call__(self, sample: Sample, generator: Generator) -> Sample:
        angle = math.radians(self.degrees) * (2 * torch.rand((), generator=generator).item() - 1)
        height, width = sample["image"].shape[-2:]
        # Where each pixel comes from, in pixels from the middle, and then as `grid_sample` counts.
        y, x = torch.meshgrid(
            torch.arange(height) - (height - 1) / 2, torch.arange(width) - (width - 1) / 2, indexing="ij"
        )
        from_x, from_y = math.cos(angle) * x + math.sin(angle) * y, math.cos(angle) * y - math.sin(angle) * x
        grid = torch.stack((2 * from_x / width, 2 * from_y / height), -1)[None]

        def moved(values: Tensor, mode: str, fill: float) -> Tensor:
            flat = values.reshape(1, -1, height, width).to(torch.float32) - fill
            found = functional.grid_sample(flat, grid, mode=mode, padding_mode="zeros", align_corners=False) + fill
            return found.to(values.dtype).reshape(values.shape)

        turned = {**sample, "image": moved(sample["image"], "bilinear", self.fill)}
        for name in _along(sample):
            mode = "nearest" if name in LABEL_MAPS else "bilinear"
            turned[name] = moved(sample[name], mode, _fill(sample[name], name, self.void))
        if "boxes" in sample:
            middle = torch.tensor([width, height]) / 2
            corners = sample["boxes"][:, [0, 1, 2, 1, 2, 3, 0, 3]].unflatten(1, (4, 2)) - middle
            matrix = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
            placed = corners @ matrix.T + middle
            turned["boxes"] = _within(torch.cat((placed.amin(1), placed.amax(1)), 1), height, width)
        return turned


@dataclass(frozen=True)
class Jitter:
    """Changes brightness, contrast and saturation of the image by random factors, in this order; labels are unchanged.

    Args:
        brightness, contrast, saturation: each factor is drawn uniformly from 1 − it to 1 + it.

    Raises: ValueError if one is not between 0 and 1.
    """

    brightness: float = 0.5
    contrast: float = 0.5
    saturation: float = 0.5

    def __post_init__(self) -> None:
        for name in ("brightness", "contrast", "saturation"):
            number(name, getattr(self, name), least=0, most=1)

    def __call__(self, sample: Sample, generator: Generator) -> Sample:
        draws = 2 * torch.rand(3, generator=generator) - 1
        light, contrast, colour = (1 + draws * torch.tensor([self.brightness, self.contrast, self.saturation])).tolist()
        image = (sample["image"] * light).clamp(0, 1)
        image = (contrast * image + (1 - contrast) * _grey(image).mean()).clamp(0, 1)
        return {**sample, "image": (colour * image + (1 - colour) * _grey(image)).clamp(0, 1)}


@dataclass(frozen=True)
class Centre:
    """Crops the window in the middle of a sample, for evaluation.

    Args:
        size: its height and width, in pixels, at most those of the image.

    Raises: ValueError if `size` is not positive.
    """

    size: int

    def __post_init__(self) -> None:
        positive("size", self.size)

    def __call__(self, sample: Sample) -> Sample:
        height, width = sample["image"].shape[-2:]
        top, left = (height - self.size) // 2, (width - self.size) // 2
        cut = dict(sample)
        for name in ("image", *_along(sample)):
            cut[name] = sample[name][..., top : top + self.size, left : left + self.size]
        if "boxes" in sample:
            shifted = sample["boxes"] - torch.tensor([left, top, left, top])
            cut["boxes"] = _within(shifted, self.size, self.size)
        return cut


@dataclass(frozen=True)
class ResizedCrop:
    """Crops a random window of the image and resizes it to the size of the image, or to a square.

    Going Deeper with Convolutions. Szegedy et al. CVPR 2015, arXiv:1409.4842, Section 6.

    Args:
        least: the area of the smallest window, as a share of the image's.
        stretch: the largest ratio of the window's sides.
        size: the height and width of the result; None for those of the image.

    Raises: ValueError if `least` is outside 0..1, `stretch` below 1, or `size` not positive.
    """

    least: float = 0.08
    stretch: float = 4 / 3
    size: int | None = None

    def __post_init__(self) -> None:
        if self.size is not None:
            positive("size", self.size)
        if not 0 < self.least <= 1 or not 1 <= self.stretch < math.inf:
            found = f"least={self.least!r}, stretch={self.stretch!r}"
            raise ValueError(f"{found}: a share above 0 and at most 1, and a ratio of at least 1 are needed")

    def __call__(self, sample: Sample, generator: Generator) -> Sample:
        area, ratio, down, right = torch.rand(4, generator=generator).tolist()
        height, width = sample["image"].shape[-2:]
        share, stretch = self.least + (1 - self.least) * area, self.stretch ** (2 * ratio - 1)
        tall = max(1, min(height, round(height * (share / stretch) ** 0.5)))
        wide = max(1, min(width, round(width * (share * stretch) ** 0.5)))
        top, left = int(down * (height - tall + 1)), int(right * (width - wide + 1))
        cut = {**sample, "image": sample["image"][..., top : top + tall, left : left + wide]}
        for name in _along(sample):
            cut[name] = sample[name][..., top : top + tall, left : left + wide]
        if "boxes" in sample:
            cut["boxes"] = _within(sample["boxes"] - torch.tensor([left, top, left, top]), tall, wide)
        return resized(cut, *((height, width) if self.size is None else (self.size, self.size)))


@dataclass(frozen=True)
class Prepared(Dataset[Sample]):
    """A dataset whose samples pass a function without randomness, as those for evaluation do.

    Args:
        data: the samples.
        function: sample -> sample.
    """

    data: Data
    function: Callable[[Sample], Sample]

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, i: int) -> Sample:
        return self.function(as_sample(self.data[i]))

    def __getitems__(self, indices: list[int]) -> list[Sample]:
        return [self.function(sample) for sample in samples(self.data, indices)]


def resized(sample: Sample, height: int, width: int) -> Sample:
    """The sample with its image, masks, densities and boxes resized to `height` × `width`."""
    old_height, old_width = sample["image"].shape[-2:]
    changed = {**sample, "image": _bilinear(sample["image"], height, width)}
    for name in _along(sample):
        values = sample[name]
        changed[name] = _nearest(values, height, width) if name in LABEL_MAPS else _bilinear(values, height, width)
    if "boxes" in sample:
        changed["boxes"] = sample["boxes"] * torch.tensor([width / old_width, height / old_height] * 2)
    return changed


def _along(sample: Sample) -> list[str]:
    return [name for name in (*DENSITIES, *LABEL_MAPS) if name in sample]


def _fill(values: Tensor, name: str, void: int) -> float:
    """The padding of a field: `void` for label maps of integers; 0 for densities and for bool or float masks."""
    return void if name in LABEL_MAPS and values.dtype in (torch.uint8, torch.int64) else 0


def _grey(image: Tensor) -> Tensor:
    """The brightness of an image `C H W` in 0..1: `1 H W`, by Rec. 601 for RGB."""
    weights = [0.299, 0.587, 0.114] if len(image) == 3 else [1 / len(image)] * len(image)
    return (image * image.new_tensor(weights)[:, None, None]).sum(0, keepdim=True)


def _bilinear(values: Tensor, height: int, width: int) -> Tensor:
    flat = values.reshape(1, -1, *values.shape[-2:])  # the frames of a clip are as channels
    found = functional.interpolate(flat, (height, width), mode="bilinear", antialias=True)
    return found.reshape(*values.shape[:-2], height, width)


def _nearest(values: Tensor, height: int, width: int) -> Tensor:
    flat = values.reshape(1, -1, *values.shape[-2:])
    found = functional.interpolate(flat.double(), (height, width), mode="nearest-exact")
    return found.to(values.dtype).reshape(*values.shape[:-2], height, width)


def _within(boxes: Tensor, height: int, width: int) -> Tensor:
    """The boxes clipped to a window of this size; a row of NaN for a box outside it."""
    cut = boxes.clone()
    cut[:, 0::2] = cut[:, 0::2].clamp(0, width)
    cut[:, 1::2] = cut[:, 1::2].clamp(0, height)
    gone = (cut[:, 2] <= cut[:, 0]) | (cut[:, 3] <= cut[:, 1])
    cut[gone] = torch.nan
    return cut
