"""Localisation metrics: scores of a heat map against the region of the object.

Both resize the map to the region by bilinear interpolation (pixel centres, no corner alignment) and compute in float64
on the CPU. Negative values count as 0. For an even map, whose values are equal but for rounding, all zeros included,
both scores are the region's share of the image, the score of chance.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from regard.checks import whole
from regard.ops.rounding import even


def energy(heat: Tensor, region: Tensor) -> Tensor:
    """The share of the attention inside the region, in [0, 1].

    The energy-based pointing game of Wang et al., Score-CAM, CVPR Workshops 2020, arXiv:1910.01279.

    Shapes: heat `B h w`; region `B H W`, bool -> `B`, float64.
    Raises: ValueError for other shapes, a region that is not bool, or a heat map that is not finite.
    """
    heat, constant = _prepared(heat, region)
    inside = region.cpu()
    share = (heat * inside).sum((1, 2)) / heat.sum((1, 2)).clamp_min(torch.finfo(heat.dtype).tiny)
    return torch.where(constant, inside.double().mean((1, 2)), share)


def pointing(heat: Tensor, region: Tensor, tolerance: int = 0) -> Tensor:
    """The pointing game: 1 if the maximum of the map is on the object, else 0.

    Zhang et al., Top-down Neural Attention by Excitation Backprop, ECCV 2016, arXiv:1608.00507, where the tolerance is
    15 pixels. If several pixels share the maximum (within a millionth of the map's range), the score is the share of
    them that hit, which is the hit rate of a random choice among them.

    Args:
        heat: the attention map.
        region: the region of the object.
        tolerance: the largest distance from the object, in pixels of the region, that counts as a hit.

    Shapes: heat `B h w`; region `B H W`, bool -> `B`, float64 in [0, 1].
    Raises: ValueError as `energy`, and for a negative tolerance.
    """
    whole("tolerance", tolerance, 0)
    heat, constant = _prepared(heat, region)
    inside = _grown(region.cpu().double(), tolerance)
    top, bottom = heat.amax((1, 2), keepdim=True), heat.amin((1, 2), keepdim=True)
    tied = ((heat >= top - 1e-6 * (top - bottom)) | constant[:, None, None]).double()
    return (tied * inside).sum((1, 2)) / tied.sum((1, 2))


def _prepared(heat: Tensor, region: Tensor) -> tuple[Tensor, Tensor]:
    """The non-negative map at the size of the region, and whether it is even."""
    if heat.dim() != 3 or region.dim() != 3 or len(heat) != len(region):
        raise ValueError(f"heat {tuple(heat.shape)}, region {tuple(region.shape)}: B h w and B H W are needed")
    if region.dtype != torch.bool:
        raise ValueError(f"region of type {region.dtype}: a bool mask is needed")
    dtype = heat.dtype
    heat = heat.detach().cpu().double()
    if not heat.isfinite().all():
        raise ValueError("heat holds values that are not finite: finite numbers are needed")
    heat = heat.clamp_min(0)
    constant = even(heat, dtype=dtype)
    size = (region.shape[1], region.shape[2])
    if heat.shape[1:] != size:
        shrinks = heat.shape[1] > size[0] or heat.shape[2] > size[1]
        heat = F.interpolate(heat[:, None], size, mode="bilinear", align_corners=False, antialias=shrinks)[:, 0]
    return heat, constant


def _grown(region: Tensor, radius: int) -> Tensor:
    """The region dilated by a disc of `radius`, as a union over the rows of the disc."""
    grown = region
    height = region.shape[1]
    for offset in range(-min(radius, height - 1), min(radius, height - 1) + 1):
        half = math.isqrt(radius * radius - offset * offset)
        rows = F.max_pool2d(region[:, None], (1, 2 * half + 1), 1, (0, half))[:, 0]
        shifted = torch.zeros_like(rows)
        shifted[:, max(offset, 0) : height + min(offset, 0)] = rows[:, max(-offset, 0) : height - max(offset, 0)]
        grown = torch.maximum(grown, shifted)
    return grown
