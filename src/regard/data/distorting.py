"""The random distortions of digits in the experiments with spatial transformers.

Spatial Transformer Networks. Jaderberg, Simonyan, Zisserman, Kavukcuoglu. NIPS 2015, arXiv:1506.02025, Section 4.1 and
Appendix A.4:

    rotated      R     a rotation of up to 90° in either direction
    moved        RTS   a rotation of up to 45°, a scale from 0.7 to 1.2, and a translation to anywhere on the canvas
    projective   P     a scale from 0.75 to 1, and each corner moved by a normal distribution of 5 pixels
    elastic      E     a scale from 0.75 to 1, and 16 control points of a thin-plate spline moved by 1.5 pixels

The pixels are those of MNIST, 28 to a side; images of another size are distorted in proportion.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import torch
from torch import Generator, Tensor

from regard.checks import check_input, choice, positive
from regard.ops import sampling

NUMBERS = {"rotated": 1, "moved": 4, "projective": 9, "elastic": 33}  # how many random numbers an image takes
SIDE = 28  # pixels of the paper's images
POINTS = 4  # control points along a side


@dataclass(frozen=True)
class Distort:
    """Puts an image in the middle of an empty canvas and distorts it by random numbers.

    Args:
        kind: "rotated", "moved", "projective" or "elastic".
        canvas: the side of the canvas in pixels, at least that of the image.

    Raises: ValueError for another kind, or a canvas that is not positive.
    """

    kind: str
    canvas: int

    def __post_init__(self) -> None:
        choice("kind", self.kind, NUMBERS)
        positive("canvas", self.canvas)

    def __call__(self, image: Tensor, generator: Generator) -> Tensor:
        """Distorts an image: `C H W` -> `C canvas canvas`.

        Raises: ValueError if the image is larger than the canvas.
        """
        return self.batch(image[None], generator)[0]

    def batch(self, images: Tensor, generator: Generator) -> Tensor:
        """Distorts each image by random numbers of its own: `B C H W` -> `B C canvas canvas`.

        The numbers are drawn on the generator's device, and the images are sampled on their own.

        Raises: ValueError if the images are larger than the canvas.
        """
        check_input(images, "B C H W")
        height, width = images.shape[2:]
        if max(height, width) > self.canvas:
            raise ValueError(f"canvas={self.canvas}: at least the size of the image, {height}×{width}, is needed")
        shape = (len(images), NUMBERS[self.kind])
        uniform = torch.rand(shape, generator=generator, device=generator.device, dtype=torch.float64)
        wide = images[:0].to(torch.promote_types(images.dtype, torch.float32))
        points = sampling.plane((self.canvas, self.canvas), align_corners=False, like=wide) * (self.canvas / 2)
        half = wide.new_tensor([width / 2, height / 2])
        seen = getattr(self, f"_{self.kind}")(uniform, points, half)  # [B, N, 2] pixels from the middle of the image
        grid = (seen / half).unflatten(1, (self.canvas, self.canvas))
        return sampling.sample(images, grid, align_corners=False)

    def _rotated(self, uniform: Tensor, points: Tensor, half: Tensor) -> Tensor:
        angle = math.pi * (uniform[:, 0] - 0.5)
        seen: Tensor = points @ _turns(angle).to(points)
        return seen

    def _moved(self, uniform: Tensor, points: Tensor, half: Tensor) -> Tensor:
        angle = math.pi / 2 * (uniform[:, 0] - 0.5)
        scale = 0.7 + 0.5 * uniform[:, 1]
        room = self.canvas / 2 - half  # pixels to either side
        shift = room * (2 * uniform[:, None, 2:] - 1).to(points)
        seen: Tensor = (points - shift) @ (_turns(angle) / scale[:, None, None]).to(points)
        return seen

    def _projective(self, uniform: Tensor, points: Tensor, half: Tensor) -> Tensor:
        corners = uniform.new_tensor([[-1, -1], [1, -1], [1, 1], [-1, 1]])
        deviation = uniform.new_tensor(10 / SIDE)  # of halves of the image
        moved = corners * _shrunk(uniform) + deviation * _normal(uniform[:, 1:]).unflatten(1, (4, 2))
        seen: Tensor = half * sampling.projected(_homography(moved, corners).to(points), points / half)
        return seen

    def _elastic(self, uniform: Tensor, points: Tensor, half: Tensor) -> Tensor:
        deviation = 1.5 * 2 * half.to(uniform) / SIDE
        control = sampling.control_points(POINTS, like=uniform) * (self.canvas / 2)
        noise = _normal(uniform[:, 1:]).unflatten(1, (POINTS**2, 2))
        shown = control / _shrunk(uniform) + noise * deviation
        inverse = torch.tensor(_inverse(), dtype=points.dtype, device=points.device)
        seen: Tensor = sampling.spline_weights(POINTS, points / (self.canvas / 2), inverse) @ shown.to(points)
        return seen


@cache
def _inverse() -> list[list[float]]:
    return sampling.spline_inverse(POINTS)


def _turns(angle: Tensor) -> Tensor:
    """The matrices that rotate rows (x, y) by angles: `B` -> `B 2 2`."""
    c, s = angle.cos(), angle.sin()
    return torch.stack([torch.stack([c, s], 1), torch.stack([-s, c], 1)], 1)


def _shrunk(uniform: Tensor) -> Tensor:
    """A scale from 0.75 to 1, from the first number of each image: `B n` -> `B 1 1`."""
    return 0.75 + 0.25 * uniform[:, :1, None]


def _normal(uniform: Tensor) -> Tensor:
    """Uniform numbers in [0, 1) as standard normal ones."""
    least = torch.finfo(uniform.dtype).eps
    normal: Tensor = torch.special.ndtri(uniform.clamp_min(least))
    return normal


def _homography(source: Tensor, target: Tensor) -> Tensor:
    """The projective transforms that map four points to four others: `B 4 2`, `4 2` -> `B 3 3`, the last number 1."""
    x, y = source.unbind(-1)
    one, none = torch.ones_like(x), torch.zeros_like(x)
    rows = []
    for k, wanted in enumerate(target.unbind(1)):
        at = (x, y, one, none, none, none) if k == 0 else (none, none, none, x, y, one)
        rows.append(torch.stack([*at, -wanted * x, -wanted * y], -1))  # [B, 4, 8]
    found = torch.linalg.solve(torch.cat(rows, 1), target.mT.flatten().expand(len(source), -1))
    return torch.cat([found, torch.ones_like(found[:, :1])], 1).view(-1, 3, 3)
