"""Windows of an image: a grid of them, and sums over each from an integral image."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def sliding(
    height: int, width: int, *, sides: tuple[float, ...], ratios: tuple[float, ...], stride: float
) -> list[tuple[int, int, int, int]]:
    """All windows of every side and ratio that fit, each once, and the whole image.

    Args:
        height, width: of the image.
        sides: √(area) as shares of √(height · width).
        ratios: width against height.
        stride: the step from one to the next, as a share of their own width and height.

    Returns: left, top, right, bottom of each, in whole pixels; the last two exclusive.
    """
    found = {(0, 0, width, height): None}
    for side in sides:
        for ratio in ratios:
            area = side * side * height * width
            w, h = max(1, round((area * ratio) ** 0.5)), max(1, round((area / ratio) ** 0.5))
            if w > width or h > height:
                continue
            for top in _starts(height - h, max(1, round(h * stride))):
                for left in _starts(width - w, max(1, round(w * stride))):
                    found[left, top, left + w, top + h] = None
    return list(found)


def _starts(last: int, step: int) -> list[int]:
    return sorted({*range(0, last + 1, step), last})


def sums(maps: Tensor, boxes: Tensor) -> Tensor:
    """Sum of each map in each box, from its integral image.

    Args:
        maps: any.
        boxes: whole numbers from 0 to the size of the maps.

    Shapes: maps `B C H W`, boxes `N 4` -> `B C N`.
    """
    integral = F.pad(maps.cumsum(2).cumsum(3), (1, 0, 1, 0))
    left, top, right, bottom = boxes.unbind(1)
    inside = integral[:, :, bottom, right] - integral[:, :, top, right]
    return inside - integral[:, :, bottom, left] + integral[:, :, top, left]


def grown(boxes: Tensor, share: float, height: int, width: int) -> Tensor:
    """Boxes grown, or shrunk by a negative share, by a share of their size on every side, and cut to the image.

    Shapes: boxes `N 4` -> `N 4`.
    """
    size = boxes[:, 2:] - boxes[:, :2]
    by = (size * abs(share)).ceil().long()
    if share < 0:
        by = -torch.minimum(by, (size - 1) // 2)
    low, high = (boxes[:, :2] - by).clamp_min(0), boxes[:, 2:] + by
    return torch.cat((low, torch.minimum(high, boxes.new_tensor((width, height)))), 1)
