"""What stands in place of pixels that are taken away from an image.

    blur    the image under a Gaussian of 1/20 of its longer side, as in Fong and Vedaldi, ICCV 2017, arXiv:1704.03296
    mean    of each channel over the image
    road    noisy linear imputation. A Consistent and Efficient Evaluation Strategy for Attribution Methods. Rong,
            Leemann, Borisov, Kasneci, Kasneci. ICML 2022, arXiv:2202.00449

A pixel i that ROAD removes is the weighted mean of its neighbours j, removed ones among them, and a little noise, so
that the shape of what was removed cannot be read off the image:

    Σ_j w_ij x_i = Σ_j w_ij x_j,  w = 1/6 above, below and beside, 1/12 on the diagonals                      (1)
    x_i ← x_i + 0.01 ε_i,  ε standard normal                                                                  (2)

Neighbours outside the image are left out of both sums. The system (1) is symmetric and positive definite, and is solved
by conjugate gradients for all images and channels at once.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from regard.ops.precision import widened
from regard.ops.seeds import mixed

BLUR = 1 / 20  # standard deviation, as a share of the longer side
NOISE = 0.01
RESIDUAL = 1e-5  # of the system (1), as a share of the images' size: no pixel is then off by much more than the noise


class Baseline:
    """Images from which pixels can be removed.

    Args:
        name: one of `vocabulary.BASELINES`.
        images: the images, as the network takes them.
        seed: of the noise; it is the same for every map and every step, so that these compare.

    Shapes: images `N C H W`.
    """

    def __init__(self, name: str, images: Tensor, seed: int) -> None:
        self.name, self.images = name, images
        if name == "blur":
            self.other = blurred(images, BLUR * max(images.shape[-2:]))
        elif name == "mean":
            self.other = images.mean((2, 3), keepdim=True).expand_as(images)
        else:
            drawn = torch.randn(
                images.shape, generator=torch.Generator().manual_seed(mixed("road", seed)), dtype=torch.float64
            )
            self.other = drawn.to(images.dtype).to(images.device)

    def without(self, which: Tensor, removed: Tensor) -> Tensor:
        """Images without some of their pixels.

        Args:
            which: the number of each image.
            removed: whether a pixel is taken away.

        Shapes: which `P`, removed bool `P H W` -> `P C H W`.
        """
        images, other, gone = self.images[which], self.other[which], removed[:, None]
        if self.name != "road":
            return torch.where(gone, other, images)
        return torch.where(gone, imputed(images, removed) + NOISE * other, images)


def blurred(images: Tensor, sigma: float) -> Tensor:
    """Images under a Gaussian of `sigma` pixels, mirrored at the borders. Shapes: `N C H W` -> the same."""
    for axis in (2, 3):
        reach = min(round(3 * sigma), images.shape[axis] - 1)
        steps = torch.arange(-reach, reach + 1, dtype=images.dtype, device=images.device)
        weights = torch.exp(-0.5 * (steps / sigma) ** 2)
        weights = weights / weights.sum()
        margin = (0, 0, reach, reach) if axis == 2 else (reach, reach, 0, 0)
        padded = F.pad(images, margin, mode="reflect")
        kernel = weights.view(1, 1, -1, 1) if axis == 2 else weights.view(1, 1, 1, -1)
        count = padded.shape[1]
        images = F.conv2d(padded, kernel.expand(count, 1, *kernel.shape[2:]), groups=count)
    return images


def imputed(images: Tensor, removed: Tensor, residual: float = RESIDUAL) -> Tensor:
    """Equation (1): the images with linear imputation in place of the removed pixels.

    Where nothing of an image is left, there is the mean of each of its channels.

    Args:
        images, removed: the images, and their pixels that are missing.
        residual: of the system (1) where the solution is good enough, as a share of the images' size.

    Shapes: images `P C H W`, removed bool `P H W` -> `P C H W`.
    """
    known = widened(images)
    empty = removed.flatten(1).all(1)
    centre = known.mean((2, 3), keepdim=True)
    values, gone = known - centre, removed & ~empty[:, None, None]
    found = centre + _solved(values, gone[:, None].to(known.dtype), residual)
    return torch.where(empty[:, None, None, None], centre, found).to(images.dtype)


def _solved(values: Tensor, gone: Tensor, residual: float) -> Tensor:
    """Conjugate gradients from the solution at half the size, so that their number hardly grows with the image.

    Shapes: values `P C H W`, gone `P 1 H W`, 1 where a pixel is missing -> `P C H W`.
    """
    kept = (1 - gone) * values
    x = gone * _coarse(kept, gone, residual)
    right = gone * _around(kept)
    total = _around(torch.ones_like(gone))
    left = right - gone * (total * x - _around(x))
    direction, squared = left, left.square().sum((1, 2, 3), keepdim=True)
    enough = residual**2 * values.square().sum((1, 2, 3), keepdim=True)
    least = torch.finfo(values.dtype).tiny
    for _ in range(4 * sum(values.shape[-2:])):
        if bool((squared <= enough).all()):
            break
        ahead = gone * (total * direction - _around(direction))
        step = squared / (direction * ahead).sum((1, 2, 3), keepdim=True).clamp_min(least)
        x, left = x + step * direction, left - step * ahead
        before, squared = squared, left.square().sum((1, 2, 3), keepdim=True)
        direction = left + squared / before.clamp_min(least) * direction
    return x + kept


def _coarse(kept: Tensor, gone: Tensor, residual: float) -> Tensor:
    """A first guess: the solution for blocks of four pixels, each the mean of those that are left of it."""
    size = gone.shape[-2:]
    if min(size) < 4 or not bool(gone.any()):
        return torch.zeros_like(kept)
    share = F.avg_pool2d(1 - gone, 2, ceil_mode=True)
    blocks = F.avg_pool2d(kept, 2, ceil_mode=True) / share.clamp_min(torch.finfo(kept.dtype).tiny)
    found = _solved(blocks, (share == 0).to(kept.dtype), residual)
    return F.interpolate(found, size, mode="bilinear", align_corners=False)


def _around(x: Tensor) -> Tensor:
    """The weighted sum of each pixel's neighbours inside the image: 1 2 1 across and down, less the pixel itself."""
    wide = F.pad(x, (1, 1, 1, 1))
    wide = wide[..., :-2] + 2 * wide[..., 1:-1] + wide[..., 2:]
    return (wide[..., :-2, :] + 2 * wide[..., 1:-1, :] + wide[..., 2:, :] - 4 * x) / 12
