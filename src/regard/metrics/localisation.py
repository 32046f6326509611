"""How much of the attention lies on the object: two scores of a heat map against a known region.

Both bring the map to the region's size by bilinear interpolation (pixel centres, no corner alignment) and compute in
float64 on the CPU. Negative weights count as no attention. A constant map, all zeros included, says nothing about
where: both scores then give the region's share of the image, which is what chance gives.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def energy(heat: Tensor, region: Tensor) -> Tensor:
    """Share of the attention that lies inside the region, in [0, 1].

    The energy-based pointing game of Wang et al., Score-CAM, CVPR Workshops 2020, arXiv:1910.01279.

    Shapes: heat `B h w`; region `B H W`, bool -> `B`, float64.
    Raises: ValueError for other shapes, a region that is not bool, or a heat map that is not finite.
    """
    heat, constant = _prepared(heat, region)
    inside = region.cpu()
    share = (heat * inside).sum((1, 2)) / heat.sum((1, 2)).clamp_min(torch.finfo(heat.dtype).tiny)
    return torch.where(constant, inside.double().mean((1, 2)), share)


def pointing(heat: Tensor, region: Tensor, tolerance: int = 0) -> Tensor:
    """The pointing game: does the map's maximum lie on the object?

    Zhang et al., Top-down Neural Attention by Excitation Backprop, ECCV 2016, arXiv:1608.00507, where the tolerance is
    15 pixels. Ties: where several pixels share the maximum (to a millionth of the map's range), the score is the share
    of them that hit, which is the hit rate of choosing among them at random.

    Args:
        heat: the attention.
        region: where the object is.
        tolerance: how far, in pixels of the region, from the object still counts as a hit.

    Shapes: heat `B h w`; region `B H W`, bool -> `B`, float64 in [0, 1].
    Raises: ValueError as `energy`, and for a negative tolerance.
    """
    if tolerance < 0:
        raise ValueError(f"tolerance is a distance in pixels, 0 or more; got {tolerance}")
    heat, constant = _prepared(heat, region)
    inside = _grown(region.cpu().double(), tolerance)
    top, bottom = heat.amax((1, 2), keepdim=True), heat.amin((1, 2), keepdim=True)
    tied = ((heat >= top - 1e-6 * (top - bottom)) | constant[:, None, None]).double()
    return (tied * inside).sum((1, 2)) / tied.sum((1, 2))


def _prepared(heat: Tensor, region: Tensor) -> tuple[Tensor, Tensor]:
    """The non-negative map at the region's size, and whether it is constant."""
    if heat.dim() != 3 or region.dim() != 3 or len(heat) != len(region):
        raise ValueError(f"heat is B h w and region B H W; got {tuple(heat.shape)} and {tuple(region.shape)}")
    if region.dtype != torch.bool:
        raise ValueError(f"region is a bool mask; got {region.dtype}")
    heat = heat.detach().cpu().double()
    if not heat.isfinite().all():
        raise ValueError("heat holds values that are not finite")
    heat = heat.clamp_min(0)
    constant = heat.amax((1, 2)) == heat.amin((1, 2))
    size = (region.shape[1], region.shape[2])
    if heat.shape[1:] != size:
        shrinks = heat.shape[1] > size[0] or heat.shape[2] > size[1]
        heat = F.interpolate(heat[:, None], size, mode="bilinear", align_corners=False, antialias=shrinks)[:, 0]
    return heat, constant


def _grown(region: Tensor, radius: int) -> Tensor:
    """The region and everything within a Euclidean `radius` of it; a disc is a stack of rows of pixels."""
    grown = region
    height = region.shape[1]
    for offset in range(-min(radius, height - 1), min(radius, height - 1) + 1):
        half = math.isqrt(radius * radius - offset * offset)
        rows = F.max_pool2d(region[:, None], (1, 2 * half + 1), 1, (0, half))[:, 0]
        shifted = torch.zeros_like(rows)
        shifted[:, max(offset, 0) : height + min(offset, 0)] = rows[:, max(-offset, 0) : height - max(offset, 0)]
        grown = torch.maximum(grown, shifted)
    return grown
