"""Glimpses: square patches around a place, each larger and coarser than the one before.

A place is (x, y), from -1 to 1, between the outer edges of the image. It names the pixel that it falls into, and a
patch of side S around pixel p covers p - ⌊S/2⌋ to p - ⌊S/2⌋ + S - 1. What lies outside the image is zero.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from regard.checks import LARGEST, number


def glimpse_sides(size: int, patches: int, scale: float) -> list[int]:
    """The sides of the patches in pixels: each the whole part of `scale` times the one before.

    Raises: ValueError if an argument is out of range, or a patch cannot be pooled to `size`.
    """
    number("scale", scale, least=1)
    sides = [size]
    for _ in range(patches - 1):
        sides.append(int(scale * sides[-1]))
        if sides[-1] > LARGEST:
            raise ValueError(f"patches={patches}, scale={scale!r}: patches of at most {LARGEST} pixels are needed")
    for side in sides:
        if side // (side // size) != size:
            raise ValueError(
                f"scale={scale!r}: a whole number is needed, or another that makes every patch a multiple of "
                f"glimpse_size={size}; one has {side} pixels"
            )
    return sides


def glimpse(x: Tensor, at: Tensor, *, size: int, patches: int = 1, scale: float = 2, by_height: bool = False) -> Tensor:
    """The patches around one place of each image, pooled to one size: `B C H W`, `B 2` -> `B k C g g`.

    All images are read at once, and the largest patch alone: the others lie inside it.

    Args:
        x: the images.
        at: (x, y) for each image, from -1 to 1.
        size: g, the side of the first patch, in pixels, and of all after pooling.
        patches: k.
        scale: how much wider each patch is than the one before.
        by_height: measure x, too, in heights of the image.
    """
    sides = glimpse_sides(size, patches, scale)
    largest = sides[-1]
    height, width = x.shape[-2:]
    around = torch.arange(largest, device=x.device) - largest // 2
    columns = (0.5 * ((at[:, 0] + 1) * (height if by_height else width))).long()[:, None] + around  # [B, S]
    rows = (0.5 * ((at[:, 1] + 1) * height)).long()[:, None] + around  # [B, S]
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None]  # [B, S, S]
    place = rows.clamp(0, height - 1)[:, :, None] * width + columns.clamp(0, width - 1)[:, None]  # [B, S, S]
    read = x.flatten(2).gather(2, place.flatten(1)[:, None].expand(-1, x.shape[1], -1))  # [B, C, SS]
    patch = torch.where(inside[:, None], read.unflatten(2, (largest, largest)), 0.0)
    found = []
    for side in sides:
        first = largest // 2 - side // 2
        inner = patch[:, :, first : first + side, first : first + side]
        found.append(inner if side == size else F.avg_pool2d(inner, side // size))
    return torch.stack(found, 1)


def edge_glimpse(x: Tensor, at: Tensor, *, size: tuple[int, int]) -> Tensor:
    """One patch around one place of each image, padded with its edge: `B C H W`, `B 2` -> `B C h w`.

    Unlike in `glimpse` the place is the centre of the patch before its corner is rounded down.
    """
    starts = []
    for axis, (length, side) in enumerate(zip(x.shape[2:], size, strict=True)):
        # counted from one length before the image, so that cutting off the fraction rounds down
        corner = ((length * (at[:, 1 - axis] + 3) - side) / 2).long() - length
        inner = corner[:, None] + torch.arange(side, device=x.device)
        starts.append(inner.clamp(0, length - 1))
    rows, columns = starts
    place = rows[:, :, None] * x.shape[3] + columns[:, None]  # [B, h, w]
    read = x.flatten(2).gather(2, place.flatten(1)[:, None].expand(-1, x.shape[1], -1))
    patch: Tensor = read.unflatten(2, size)
    return patch
