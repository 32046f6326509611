"""Pictures from numbers: heat maps, overlays, bars, marks, tiles; `draw` chooses among them by a map's axes."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from regard.ops.rounding import even
from regard.viewing.colours import scale

INK, PAPER, FAINT, BAR = (34, 34, 40), (252, 252, 250), (128, 128, 136), (120, 84, 160)
WHITE, BLACK = (255, 255, 255), (0, 0, 0)
EVEN = (148, 148, 154)  # of a map without differences: colours mean differences


def picture_of(image: Image.Image | Tensor | np.ndarray) -> Image.Image:
    """Returns an image given as picture, float `C H W` in [0, 1] or uint8 `H W 3` as an RGB picture.

    Raises: ValueError for anything else.
    """
    if isinstance(image, Image.Image):
        return image.convert("RGB")
    if isinstance(image, Tensor) and image.is_floating_point() and image.dim() == 3 and len(image) in (1, 3):
        pixels = image.detach().cpu().float().clamp(0, 1).expand(3, -1, -1).permute(1, 2, 0)
        return Image.fromarray((255 * pixels).round().byte().numpy())
    if isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3:
        return Image.fromarray(image)
    given = f"{type(image).__name__} {tuple(getattr(image, 'shape', ()))} {getattr(image, 'dtype', '')}".rstrip()
    raise ValueError(
        f"image={given}: a Pillow image, a float tensor C H W in [0, 1] with 1 or 3 channels, or a uint8 array H W 3 "
        "is needed"
    )


def staged(image: Image.Image | Tensor | np.ndarray, side: int) -> Image.Image:
    """Returns the picture with its longer side resized to `side` pixels."""
    picture = picture_of(image)
    factor = side / max(picture.size)
    size = (max(1, round(picture.width * factor)), max(1, round(picture.height * factor)))
    return picture.resize(size, Image.Resampling.BICUBIC)


def heat(map: Tensor, *, low: float | None = None, high: float | None = None) -> Image.Image:
    """A map in colours, one pixel for each value.

    Args:
        map: the values.
        low, high: the values that get the darkest and the lightest colour; by default the map's own. Where its values
            are equal but for rounding, everything gets the middle colour.

    Shapes: map `h w` -> a picture h high and w wide.
    Raises: ValueError for another shape or values that are not finite.
    """
    if map.dim() != 2 or not map.numel():
        raise ValueError(f"map of shape {tuple(map.shape)}: h w is needed")
    values = map.detach().cpu().double()
    if not values.isfinite().all():
        raise ValueError("map: finite values are needed")
    if low is None and high is None and even(map[None]):
        values = torch.zeros_like(values)
    low = float(values.min()) if low is None else low
    high = float(values.max()) if high is None else high
    level = (values - low) / (high - low) if high > low else torch.full_like(values, 0.5)
    return Image.fromarray(scale()[(255 * level.clamp(0, 1)).round().long().numpy()])


def overlay(
    image: Image.Image | Tensor | np.ndarray,
    map: Tensor,
    alpha: float = 0.6,
    *,
    low: float | None = None,
    high: float | None = None,
) -> Image.Image:
    """A map over its image, at the image's size.

    The map is interpolated bilinearly. The image below it loses its colours, so that colour means attention only.

    Args:
        image: as for `picture_of`.
        map: the values.
        alpha: opacity of the map, in [0, 1]; at 0 the image alone, in colour.
        low, high: as for `heat`.

    Shapes: map `h w`.
    Raises: ValueError as `heat`, and for an alpha outside [0, 1].
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha={alpha!r}: a number from 0 to 1 is needed")
    picture = picture_of(image)
    if map.dim() != 2 or not map.numel():
        raise ValueError(f"map of shape {tuple(map.shape)}: h w is needed")
    if alpha == 0:
        return picture
    values = map.detach().cpu().double()
    if even(map[None]):
        values = torch.full_like(values, float(values.mean()))  # before the interpolation adds roundings of its own
    size = (picture.height, picture.width)
    shrinks = map.shape[0] > size[0] or map.shape[1] > size[1]
    fine = torch.nn.functional.interpolate(
        values[None, None], size, mode="bilinear", align_corners=False, antialias=shrinks
    )
    return Image.blend(picture.convert("L").convert("RGB"), heat(fine[0, 0], low=low, high=high), alpha)


def veiled(image: Image.Image, alpha: float = 0.6) -> Image.Image:
    """The picture of an even map over its image: both grey."""
    return Image.blend(image.convert("L").convert("RGB"), Image.new("RGB", image.size, EVEN), alpha)


def bars(
    values: Tensor,
    *,
    most: int = 20,
    width: int = 320,
    longest: float | None = None,
    names: Sequence[str] | None = None,
) -> Image.Image:
    """Horizontal bars, largest value first, each with its index, or its name, and number.

    Args:
        values: one a channel.
        most: how many bars at most; of more, the largest and the smallest are shown and the gap says how many are not.
        width: of the picture, in pixels.
        longest: the value of a bar of full length, by default the largest; smaller than that it has no effect.
        names: of the values.

    Shapes: values `C`.
    Raises: ValueError for another shape or values that are not finite.
    """
    if values.dim() != 1 or not values.numel():
        raise ValueError(f"values of shape {tuple(values.shape)}: at least one value, in a row, is needed")
    values = values.detach().cpu().double()
    if not values.isfinite().all():
        raise ValueError("values: finite numbers are needed")
    order = values.argsort(descending=True, stable=True).tolist()
    rows: list[int | None] = [*order]
    if len(order) > most:
        tail = most // 3
        rows = [*order[: most - tail], None, *order[len(order) - tail :]]
    line, label, number = 15, 46 if names is None else 128, 58
    picture = Image.new("RGB", (width, line * len(rows) + 8), PAPER)
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(11)
    low, high = min(0.0, float(values.min())), max(0.0, float(values.max()), longest or 0.0)
    span = (width - label - number) / (high - low) if high > low else 0.0
    zero = label - low * span
    for row, index in enumerate(rows):
        y = 4 + row * line
        if index is None:
            pen.text((label, y), f"{len(order) - most} more between", FAINT, font)
            continue
        value = float(values[index])
        ends = sorted((zero, zero + value * span))
        pen.rectangle((ends[0], y + 2, max(ends[1], ends[0] + 1), y + line - 3), fill=BAR)
        text = str(index) if names is None else names[index]
        while names is not None and font.getlength(text) > label - 16:
            text = f"{text[:-2]}…"
        pen.text((label - 8, y), text, FAINT, font, anchor="ra")
        pen.text((width - 6, y), f"{value:.3g}", INK, font, anchor="ra")
    return picture


def mark(picture: Image.Image, x: float, y: float) -> Image.Image:
    """The picture with a ring at (x, y), both in [0, 1] from the top left corner."""
    marked = picture.copy()
    pen = ImageDraw.Draw(marked)
    at, radius = (x * picture.width, y * picture.height), max(4.0, max(picture.size) / 40)
    pen.circle(at, radius + 1.5, outline=BLACK, width=5)
    pen.circle(at, radius, outline=WHITE, width=2)
    return marked


def _corner(value: float, length: int) -> float:
    """A coordinate in [-1, 1], from edge to edge, in pixels."""
    return (value + 1) / 2 * length


def path(picture: Image.Image, points: Tensor) -> Image.Image:
    """The picture with a path of numbered points.

    Shapes: points `T 2`, (x, y) in [-1, 1], x to the right and y down, edge to edge.
    """
    drawn = picture.copy()
    pen = ImageDraw.Draw(drawn)
    spots = [(_corner(x, picture.width), _corner(y, picture.height)) for x, y in points.tolist()]
    for colour, width in ((BLACK, 4), (WHITE, 2)):
        pen.line(spots, fill=colour, width=width)
    for number, spot in enumerate(spots, 1):
        _numbered(pen, spot, number, _step_colour(number, len(spots)))
    return drawn


def boxes(picture: Image.Image, corners: Tensor) -> Image.Image:
    """The picture with numbered boxes.

    Shapes: corners `T 4`, (left, top, right, bottom) in [-1, 1], edge to edge.
    """
    drawn = picture.copy()
    pen = ImageDraw.Draw(drawn)
    for number, (left, top, right, bottom) in enumerate(corners.tolist(), 1):
        colour = _step_colour(number, len(corners))
        xs = sorted((_corner(left, picture.width), _corner(right, picture.width)))
        ys = sorted((_corner(top, picture.height), _corner(bottom, picture.height)))
        pen.rectangle((xs[0] - 1, ys[0] - 1, xs[1] + 1, ys[1] + 1), outline=BLACK, width=4)
        pen.rectangle((xs[0], ys[0], xs[1], ys[1]), outline=colour, width=2)
        _numbered(pen, (xs[0], ys[0]), number, colour)
    return drawn


def lattice(picture: Image.Image, points: Tensor, *, most: int = 12) -> Image.Image:
    """The picture with the lattice of points that a warp samples, at most `most` lines each way.

    Shapes: points `h w 2`, (x, y) in [-1, 1], x to the right and y down, edge to edge.
    """
    drawn = picture.copy()
    pen = ImageDraw.Draw(drawn)
    kept = [torch.linspace(0, size - 1, min(size, most)).round().long() for size in points.shape[:2]]
    corners = points.detach().cpu().float()[kept[0]][:, kept[1]]
    for colour, width in ((BLACK, 3), (WHITE, 1)):
        for line in (*corners, *corners.transpose(0, 1)):
            spots = [(_corner(x, picture.width), _corner(y, picture.height)) for x, y in line.tolist()]
            pen.line(spots if len(spots) > 1 else spots * 2, fill=colour, width=width)
    return drawn


def _step_colour(number: int, count: int) -> tuple[int, ...]:
    """A colour from the middle of the scale for the first step to its light end for the last."""
    return tuple(int(part) for part in scale()[110 + round(145 * number / count)])


def _numbered(pen: ImageDraw.ImageDraw, spot: tuple[float, float], number: int, colour: tuple[int, ...]) -> None:
    pen.circle(spot, 8, fill=colour, outline=BLACK)
    pen.text(spot, str(number), BLACK, ImageFont.load_default(11), anchor="mm")


def matrix(values: Tensor, side: int, *, low: float | None = None, high: float | None = None) -> Image.Image:
    """A table of numbers in colours, its longer side about `side` pixels; `low` and `high` as for `heat`.

    Shapes: values, rows by columns.
    """
    coloured = heat(values, low=low, high=high)
    factor = side / max(coloured.size)
    size = (max(4, round(coloured.width * factor)), max(4, round(coloured.height * factor)))
    return coloured.resize(size, Image.Resampling.NEAREST if factor >= 1 else Image.Resampling.BOX)


def plain(values: Tensor, side: int) -> Image.Image:
    """The picture of an even table, of the size that `matrix` gives it."""
    return Image.new("RGB", matrix(values, side).size, EVEN)


def tiled(pictures: Sequence[Image.Image], side: int) -> Image.Image:
    """Equally large pictures, numbered from 1, in a near-square block of about `side` pixels."""
    columns = math.ceil(math.sqrt(len(pictures)))
    rows = math.ceil(len(pictures) / columns)
    gap, width = 3, max(24, side // columns)
    height = max(1, round(width * pictures[0].height / pictures[0].width))
    block = Image.new("RGB", (columns * (width + gap) - gap, rows * (height + gap) - gap), PAPER)
    pen, font = ImageDraw.Draw(block), ImageFont.load_default(11)
    for number, picture in enumerate(pictures):
        at = (number % columns * (width + gap), number // columns * (height + gap))
        block.paste(picture.resize((width, height), Image.Resampling.BICUBIC), at)
        spot = (at[0] + 4, at[1] + 3)
        pen.text(spot, str(number + 1), WHITE, font, stroke_width=2, stroke_fill=BLACK)
    return block


def png(image: Image.Image) -> bytes:
    """The picture as a PNG file."""
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return file.getvalue()
