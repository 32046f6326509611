"""A map of a volume over the volume: three orthogonal slices through the largest value of the map."""

from __future__ import annotations

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from regard.viewing.painting import PAPER, WHITE, overlay, picture_of, veiled

GAP = 3  # pixels between the slices


def through(map: Tensor) -> tuple[int, int, int]:
    """The place of the largest value of a map `d h w`, the first of several."""
    place = int(map.argmax())
    _, h, w = map.shape
    return place // (h * w), place // w % h, place % w


def orthogonal(
    volume: Tensor,
    map: Tensor,
    side: int,
    *,
    low: float | None = None,
    high: float | None = None,
    even: bool = False,
    alpha: float = 0.6,
) -> Image.Image:
    """Three slices through the largest value of a map, each over the slice of the volume at the same place.

    They are H by W at the top left, H by D beside it and D by W below it, so that neighbours share an axis. Thin lines
    show where the other two slices are.

    Args:
        volume: what the model saw, in [0, 1].
        map: the values, of any size.
        side: pixels of the picture's longer side.
        low, high: the values that get the darkest and the lightest colour; by default those of the whole map.
        even: whether the values are equal but for rounding, and are drawn in grey, through the middle.
        alpha: opacity of the map; at 0 the volume alone.

    Shapes: volume `C D H W`, map `d h w`.
    Raises: ValueError for another shape, or values that are not finite.
    """
    if volume.dim() != 4 or map.dim() != 3 or not map.numel():
        shapes = f"volume {tuple(volume.shape)}, map {tuple(map.shape)}"
        raise ValueError(f"{shapes}: a volume C D H W and a map d h w are needed")
    grey = volume if len(volume) in (1, 3) else volume.mean(0, keepdim=True)
    at = tuple(n // 2 for n in map.shape) if even else through(map)
    share = [(i + 0.5) / n for i, n in zip(at, map.shape, strict=True)]  # of the length of each axis
    d, h, w = (min(int(part * n), n - 1) for part, n in zip(share, volume.shape[1:], strict=True))
    lengths = volume.shape[1:]
    factor = (side - GAP) / max(lengths[0] + lengths[2], lengths[0] + lengths[1])
    depth, height, width = (max(1, round(n * factor)) for n in lengths)
    ends = {
        "low": float(map.min()) if low is None else low,
        "high": float(map.max()) if high is None else high,
    }
    canvas = Image.new("RGB", (width + GAP + depth, height + GAP + depth), PAPER)
    pen = ImageDraw.Draw(canvas)
    for image, values, corner, size, cross in (
        (grey[:, d], map[at[0]], (0, 0), (width, height), (share[2], share[1])),
        (grey[:, :, h], map[:, at[1]], (0, height + GAP), (width, depth), (share[2], share[0])),
        (grey[..., w].mT, map[..., at[2]].mT, (width + GAP, 0), (depth, height), (share[0], share[1])),
    ):
        below = picture_of(torch.as_tensor(image)).resize(size, Image.Resampling.BICUBIC)
        canvas.paste(veiled(below) if even else overlay(below, values, alpha, **ends), corner)
        x, y = corner[0] + cross[0] * size[0], corner[1] + cross[1] * size[1]
        if not even:
            pen.line((x, corner[1], x, corner[1] + size[1] - 1), fill=WHITE, width=1)
            pen.line((corner[0], y, corner[0] + size[0] - 1, y), fill=WHITE, width=1)
    return canvas
