"""Square crops of an image: their soft mask, their pixels, and their enlargement.

Look Closer to See Better. Fu, Zheng, Mei. CVPR 2017, Section 3.2 and 3.3. A square is (x, y, l): its centre and half
its side, in pixels, of which the first has its centre at 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from regard.ops.precision import uncast, widened
from regard.ops.sampling import sample
from regard.ops.tracing import exporting


def inside(at: Tensor, extent: Tensor, *, least: float) -> Tensor:
    """The squares moved into the image and enlarged to the smallest size allowed: `B 3` -> `B 3`.

    Args:
        at: x, y, l.
        extent: width and height of the image, as `extent_of` gives them, or of each image, `B 2`.
        least: the smallest l, as a share of the image's shorter side; l is at most half of that.
    """
    shorter = extent.amin(-1, keepdim=True)
    half = torch.minimum(torch.maximum(at[:, 2:], least * shorter), 0.5 * shorter)
    return torch.cat((torch.minimum(torch.maximum(at[:, :2], half), extent - half), half), 1)


def extent_of(x: Tensor) -> Tensor:
    """Width and height of an image, as a tensor in float32 at least, so that a program can be exported for any size."""
    ends = [torch.arange(x.shape[axis], device=x.device)[-1:] for axis in (3, 2)]
    return torch.cat(ends).to(widened(x[:0]).dtype) + 1


def pixels(at: Tensor, extent: Tensor) -> Tensor:
    """Left, top, right and bottom of the squares in whole pixels, the last two exclusive: `B 3` -> `B 4`."""
    return whole_pixels(edges(at), extent)


def whole_pixels(box: Tensor, extent: Tensor) -> Tensor:
    """A box in whole pixels, none of it before the image: `B 4` -> `B 4`; at least one pixel wide and high."""
    first, last = box.chunk(2, 1)
    first = torch.minimum(first.clamp_min(0), extent - 1).floor()
    last = torch.where(last < extent, last.floor(), extent)
    return torch.cat((first, torch.maximum(last, first + 1)), 1)


def edges(at: Tensor) -> Tensor:
    """Exact left, top, right and bottom of the squares: `B 3` -> `B 4`."""
    return torch.cat((at[:, :2] - at[:, 2:], at[:, :2] + at[:, 2:]), 1)


def mask(box: Tensor, size: tuple[int, int], *, k: float) -> Tensor:
    """[h(x - left) - h(x - right)] [h(y - top) - h(y - bottom)], h(z) = 1 / (1 + e^(-kz)): `B 4` -> `B 1 H W`.

    Args:
        box: left, top, right, bottom in pixels, whole or not.
        size: height and width of the image.
        k: steepness of the edges, for each pixel.
    """
    across, down = (
        (k * (at - box[:, i : i + 1])).sigmoid() - (k * (at - box[:, i + 2 : i + 3])).sigmoid()
        for i, at in enumerate(torch.arange(length, device=box.device).to(box.dtype) for length in size[::-1])
    )
    return (down[:, :, None] * across[:, None])[:, None]


def enlarged(x: Tensor, box: Tensor, size: int | tuple[int, int], *, align_corners: bool) -> Tensor:
    """The pixels of a box, resized bilinearly to `size`: `B C H W`, `B 4` -> `B C h w`.

    Args:
        x: the image.
        box: left, top, right, bottom in whole pixels, the last two exclusive.
        size: height and width to come out, or one number for both.
        align_corners: the outermost pixels of the box become the outermost of the result; else, as in Eq. 7, pixel i
            shows what is at i / λ, λ the enlargement, and the last pixels repeat.
    """
    height, width = (size, size) if isinstance(size, int) else size
    last = (extent_of(x) - 1).clamp_min(1)
    points = []
    for i, out in enumerate((width, height)):
        first, count = box[:, i : i + 1], box[:, i + 2 : i + 3] - box[:, i : i + 1]
        steps = torch.arange(out, device=box.device).to(box.dtype)
        at = steps * (count - 1) / max(out - 1, 1) if align_corners else torch.minimum(steps * count / out, count - 1)
        points.append(2 * (first + at) / last[i] - 1)  # from -1 to 1 between the outermost pixels
    across, down = points
    grid = torch.stack(torch.broadcast_tensors(across[:, None], down[:, :, None]), -1)  # [B, h, w, 2]
    return sample(x, grid, padding="border", align_corners=True)


def zoom(
    x: Tensor,
    at: Tensor,
    size: int,
    *,
    least: float,
    k: float,
    align_corners: bool,
    gradient: str,
    within: Tensor | None = None,
    move: Callable[[Tensor], Tensor] | None = None,
    veil: Callable[[Tensor], Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """The content of a square, enlarged, and its box: `B C H W`, `B 3` -> `B C size size`, `B 4`.

    Args:
        x: the image.
        at: x, y, l.
        size: side in pixels to come out.
        least: smallest l, as a share of the shorter side of the image, or of the box that the square is to lie in.
        k: steepness of the mask's edges.
        align_corners: as in `enlarged`.
        gradient: of `at`: `"rule"` or `"balanced"`, those of `Rule`, and then the image has none; or `"mask"`, the
            derivative of M.
        within: the boxes that the squares are to lie in, in whole pixels as `pixels` gives them: `B 4`; None: the
            image.
        move: makes of the boxes `B 4` those that are looked at, anywhere in the image.
        veil: makes of the masks `B 1 H W` of the boxes those that are used.
    """
    extent = extent_of(x)
    with uncast(x):
        wide, square = widened(x), widened(at).to(extent.dtype)
        if within is None:
            square = inside(square, extent, least=least)
        else:
            corner = F.pad(within[:, :2], (0, 1))
            square = inside(square - corner, within[:, 2:] - within[:, :2], least=least) + corner
        first = box = pixels(square.detach(), extent)
        if move is not None and (moved := move(box)) is not box:
            box = whole_pixels(moved, extent)
        framed = edges(square) if gradient == "mask" and box is first else box
        veiling = mask(framed, (x.shape[2], x.shape[3]), k=k)
        if veil is not None:
            own = mask(box, (x.shape[2], x.shape[3]), k=k)
            veiling = veiling if (seen := veil(own)) is own else seen
        crop = enlarged(wide * veiling, box, size, align_corners=align_corners)
        if gradient != "mask" and not exporting():
            crop = Rule.apply(crop.detach(), at, gradient == "balanced")
    return crop.to(x.dtype), box


class Rule(torch.autograd.Function):
    """Section 3.3: a square moves towards the side whose content matters more to the loss.

    n = -Σ_c (∂L/∂crop)² is summed over the last third less the first, of columns for x and of rows for y; and over the
    border of a third's width less the middle for l. This stands for the derivative, and is none. The border has eight
    times the pixels of the middle, so that a square grows wherever n is the same everywhere; `balanced` gives each
    pixel of the border the weight middle / border, so that there it keeps its size.
    """

    @staticmethod
    def forward(ctx: Any, crop: Tensor, at: Tensor, balanced: bool) -> Tensor:
        ctx.dtype, ctx.balanced = at.dtype, balanced
        return crop.view_as(crop)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor, None]:
        norm = -grads[0].square().sum(1)  # [B, h, w]
        thirds = []
        for length in norm.shape[:0:-1]:  # across, down
            at = torch.arange(length, device=norm.device).to(norm.dtype)
            thirds.append((at >= length / 3 * 2).to(norm.dtype) - (at < length / 3).to(norm.dtype))
        across, down = thirds
        border = torch.maximum(across.abs()[None], down.abs()[:, None]) * 2 - 1
        if ctx.balanced:
            outside = border.clamp_min(0)
            border = border - outside * (1 - (border - outside).sum().neg() / outside.sum())
        moves = (norm.sum(1) @ across, norm.sum(2) @ down, (norm * border).sum((1, 2)))
        return None, torch.stack(moves, 1).to(ctx.dtype), None
