"""Random rotation of images about their centre, as in the experiments with spatial transformers.

Spatial Transformer Networks. Jaderberg, Simonyan, Zisserman, Kavukcuoglu. NIPS 2015, arXiv:1506.02025, Section 4.1:
digits rotated by between -90° and 90°.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from regard.checks import positive


@dataclass(frozen=True)
class Rotate:
    """Puts an image in the middle of an empty canvas and rotates it by a random angle.

    Args:
        degrees: the largest angle in either direction; the angle is uniform.
        canvas: the side of the canvas in pixels, at least that of the image.

    Raises: ValueError if the angle is not from 0 to 180, or the canvas is not positive.
    """

    degrees: float
    canvas: int

    def __post_init__(self) -> None:
        positive("canvas", self.canvas)
        if not 0 <= self.degrees <= 180:
            raise ValueError(f"degrees={self.degrees!r}: a number from 0 to 180 is needed")

    def __call__(self, image: Tensor, generator: Generator) -> Tensor:
        """Rotates an image: `C H W` -> `C canvas canvas`.

        Raises: ValueError if the image is larger than the canvas.
        """
        height, width = image.shape[1:]
        if max(height, width) > self.canvas:
            raise ValueError(f"canvas={self.canvas}: at least the size of the image, {height}×{width}, is needed")
        angle = math.radians(self.degrees) * (2 * torch.rand((), generator=generator, dtype=torch.float64).item() - 1)
        canvas = image.new_zeros(1, image.shape[0], self.canvas, self.canvas)
        top, left = (self.canvas - height) // 2, (self.canvas - width) // 2
        canvas[0, :, top : top + height, left : left + width] = image
        c, s = math.cos(angle), math.sin(angle)
        turn = image.new_tensor([[[c, -s, 0.0], [s, c, 0.0]]])
        grid = F.affine_grid(turn, list(canvas.shape), align_corners=False)
        return F.grid_sample(canvas, grid, align_corners=False)[0]
