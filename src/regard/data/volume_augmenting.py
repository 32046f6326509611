"""Augmentations of whole samples of volumes: `image` `C D H W` together with `mask` `D H W`.

Like those of `regard.data.augmenting` they are `(sample, generator) -> sample` and take their random numbers from the
generator only. The image is interpolated linearly along each axis and padded with 0, the mean of a standardised volume;
the mask takes the nearest voxel and is padded with `void`, which no loss counts. Angles and factors are those of the
body: with `spacing`, the size of a voxel in mm, long voxels are not sheared.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional

from regard.checks import each_axis, number
from regard.data.augmenting import VOID
from regard.data.batches import Sample


@dataclass(frozen=True)
class Affine:
    """Rotates about each axis, scales and shifts at random.

    Args:
        rotate: the largest angle about each axis, in degrees; the angles are uniform.
        scale: the bounds of the factor of all axes, which is uniform.
        shift: the largest shift along each axis, as a share of its length.
        void: the label outside the volume.

    Raises: ValueError if an argument is out of range.
    """

    rotate: float = 15.0
    scale: tuple[float, float] = (0.7, 1.3)
    shift: float = 0.1
    void: int = VOID

    def __post_init__(self) -> None:
        number("rotate", self.rotate, least=0, most=180)
        number("shift", self.shift, least=0, most=1)
        low, high = self.scale
        if not 0 < low <= high < math.inf:
            raise ValueError(f"scale={self.scale!r}: two factors above 0, low ≤ high, are needed")

    def __call__(self, sample: Sample, generator: Generator) -> Sample:
        draws = torch.rand(7, generator=generator, dtype=torch.float64)
        angles = (2 * draws[:3] - 1) * math.radians(self.rotate)
        factor = self.scale[0] + (self.scale[1] - self.scale[0]) * draws[3].item()
        image, mask = sample["image"], sample["mask"]
        spacing = torch.as_tensor(sample.get("spacing", torch.ones(3))).double()
        half = torch.tensor(image.shape[:0:-1], dtype=torch.float64) * spacing.flip(0) / 2  # W H D, as grids have it
        turn = _rotation(angles) / factor
        theta = torch.cat((turn * half / half[:, None], (2 * self.shift * (2 * draws[4:] - 1))[:, None]), 1)
        grid = functional.affine_grid(theta[None].to(image.dtype), [1, 1, *image.shape[1:]], align_corners=False)
        moved = functional.grid_sample(image[None], grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        # labels from 1 up, so that 0 is what lies outside
        raised = (mask.to(image.dtype) + 1)[None, None]
        nearest = functional.grid_sample(raised, grid, mode="nearest", padding_mode="zeros", align_corners=False)[0, 0]
        labels = torch.where(nearest == 0, self.void + 1, nearest) - 1
        return {**sample, "image": moved[0], "mask": labels.round().to(mask.dtype)}


def _rotation(angles: Tensor) -> Tensor:
    """The rotation about D, then H, then W: float64 `3 3`, for coordinates in the order W H D."""
    turn = torch.eye(3, dtype=torch.float64)
    for angle, (a, b) in zip(angles.tolist(), ((0, 1), (0, 2), (1, 2)), strict=True):
        about = torch.eye(3, dtype=torch.float64)
        about[a, a] = about[b, b] = math.cos(angle)
        about[a, b], about[b, a] = -math.sin(angle), math.sin(angle)
        turn = about @ turn
    return turn


@dataclass(frozen=True)
class Flips:
    """Flips a volume along chosen axes at random, each on its own.

    Args:
        axes: of D H W, counted from 0; the released code flips within slices, H and W.
        share: the probability of each flip.

    Raises: ValueError if an axis is none of the three, or the share is outside 0..1.
    """

    axes: Sequence[int] = (1, 2)
    share: float = 0.5

    def __post_init__(self) -> None:
        if not set(self.axes) <= {0, 1, 2}:
            raise ValueError(f"axes={tuple(self.axes)!r}: axes from 0 to 2 are needed")
        number("share", self.share, least=0, most=1)

    def __call__(self, sample: Sample, generator: Generator) -> Sample:
        draws = torch.rand(len(self.axes), generator=generator).tolist()
        chosen = [axis for axis, draw in zip(self.axes, draws, strict=True) if draw < self.share]
        if not chosen:
            return sample
        image, mask = sample["image"], sample["mask"]
        return {**sample, "image": image.flip([axis + 1 for axis in chosen]), "mask": mask.flip(chosen)}


@dataclass(frozen=True)
class Window:
    """Crops a window of a fixed size at a random place; a smaller volume is padded behind.

    Args:
        size: depth, height and width of the window in voxels, or one number for all.
        void: the label that pads the mask.

    Raises: ValueError if a side is below 1.
    """

    size: int | Sequence[int]
    void: int = VOID

    def __post_init__(self) -> None:
        each_axis("size", self.size, 3)

    def __call__(self, sample: Sample, generator: Generator) -> Sample:
        image, mask = sample["image"], sample["mask"]
        draws = torch.rand(3, generator=generator).tolist()
        cut, behind = [], []
        for n, side, draw in zip(mask.shape, each_axis("size", self.size, 3), draws, strict=True):
            first = math.floor(draw * (max(n - side, 0) + 1))
            cut.append(slice(first, first + side))
            behind += [max(side - n, 0), 0]
        behind.reverse()  # torch pads the last axis first, in front and behind
        return {
            **sample,
            "image": functional.pad(image[(..., *cut)], behind),
            "mask": functional.pad(mask[tuple(cut)], behind, value=self.void),
        }
