"""Regions of Neural Baby Talk: features of boxes by its own RoI align, and the overlap of boxes.

The released RoI align is not torchvision's. A box x0 … x1 in cells of the map has P + 1 points for P bins,

    x_p = x0 + p · max(x1 − x0 + 1, 0) / P,    p = 0 … P                                                            (1)

so that the box ends one cell behind its right end. The value at a point is interpolated between the cells ⌊x⌋ and
⌊x⌋ + 1, counted from corner 0, beyond the last cell extrapolated from the last two, and 0 outside of the map; a bin is
the mean of its corners. All of this is a product of one weight for each row and one for each column.
"""

from __future__ import annotations

import torch
from torch import Tensor


def roi_align(features: Tensor, boxes: Tensor, bins: int = 1) -> Tensor:
    """The features of boxes, by equation (1).

    Args:
        features: the map.
        boxes: x0, y0, x1, y1, from 0 to 1 over the map.
        bins: P, along either side.

    Shapes: features `B C H W`, boxes `B N 4` -> `B N C P P`.
    """
    height, width = features.shape[2:]
    rows = _weights(boxes[..., 1] * height, boxes[..., 3] * height, height, bins).to(features.dtype)
    columns = _weights(boxes[..., 0] * width, boxes[..., 2] * width, width, bins).to(features.dtype)
    along = torch.einsum("bchw,bnqw->bnchq", features, columns)
    return torch.einsum("bnchq,bnph->bncpq", along, rows)


def _weights(first: Tensor, last: Tensor, cells: int, bins: int) -> Tensor:
    """The weight of every cell along one side: ends `B N` in cells -> `B N P cells`."""
    count = torch.arange(bins + 1, dtype=first.dtype, device=first.device)
    at = first[..., None] + count * ((last - first + 1).clamp_min(0) / bins)[..., None]  # [B, N, P + 1]
    low = at.detach().floor().clamp(0, max(cells - 2, 0))
    part = (at - low)[..., None]
    cell = torch.arange(cells, dtype=first.dtype, device=first.device)
    weights = (cell == low[..., None]) * (1 - part) + (cell == (low + 1).clamp_max(cells - 1)[..., None]) * part
    weights = weights.masked_fill(((at < 0) | (at >= cells))[..., None], 0)
    return (weights[..., 1:, :] + weights[..., :-1, :]) / 2


def overlaps(boxes: Tensor, others: Tensor, pixel: float = 0.0) -> Tensor:
    """Intersection over union of each two boxes.

    Args:
        boxes, others: x0, y0, x1, y1.
        pixel: the width of a pixel, where the last pixel of a box belongs to it, as in the released code: 1 for boxes
            in pixels. With it, a box of one pixel overlaps nothing.

    Shapes: boxes `B N 4`, others `B M 4` -> `B N M`.
    """
    b, o = boxes[:, :, None], others[:, None]
    low, high = torch.maximum(b[..., :2], o[..., :2]), torch.minimum(b[..., 2:], o[..., 2:])
    both = (high - low + pixel).clamp_min(0).prod(-1)
    sides, other_sides = b[..., 2:] - b[..., :2] + pixel, o[..., 2:] - o[..., :2] + pixel
    either = sides.prod(-1) + other_sides.prod(-1) - both
    found = torch.where(either > 0, both / either.where(either > 0, either.new_ones(())), 0)
    empty = (sides == pixel).all(-1) | (other_sides == pixel).all(-1)
    return found.masked_fill(empty, 0)
