"""A contact sheet: photographs with the pictures of their maps, and what stands above and below them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from regard.viewing.colours import scale
from regard.viewing.painting import FAINT, INK, PAPER, WHITE, staged
from regard.viewing.pictures import SIDE, Picture
from regard.viewing.scaling import Ends

MARGIN, GAP, CAPTION = 28, 20, 58
KEY, KEY_HEIGHT = 34, 8  # the space for the key of the colours, and the height of its strip
WARNING = (164, 30, 34)


def photograph(image: Image.Image, name: str, caption: str) -> Picture:
    """A photograph as a picture without a map."""
    return Picture(name, staged(image, SIDE), caption)


def sheet(pictures: Sequence[Picture], title: str, *, warning: str = "", columns: int = 4) -> Image.Image:
    """Returns one picture that shows all pictures with their captions, and the key of the colours below each map.

    The key has the values of its darkest and its lightest colour, and a line over the part that the map takes.

    Args:
        pictures: what `draw` gave, and photographs.
        title: a line above them.
        warning: what has to be known before anything else; it stands above the title, on red.
        columns: how many pictures stand side by side at most; a wide one takes the place of several.

    Raises: ValueError if there is nothing to show.
    """
    if not pictures:
        raise ValueError("pictures: at least one is needed")
    columns = max(min(columns, sum(map(_slots, pictures))), *map(_slots, pictures))
    lines = _rows(pictures, columns)
    heights = [_height(line) for line in lines]
    width = max(2 * MARGIN + columns * SIDE + (columns - 1) * GAP, 2 * MARGIN + 2 * SIDE)
    above = _lines(warning, width - 2 * MARGIN, 18)
    top = (24 * len(above) + 24) if above else 0
    page = Image.new("RGB", (width, top + 2 * MARGIN + 36 + sum(heights) + GAP * (len(lines) - 1)), PAPER)
    pen = ImageDraw.Draw(page)
    if above:
        pen.rectangle((0, 0, width - 1, top - 1), fill=WARNING)
        for number, text in enumerate(above):
            pen.text((MARGIN, 11 + 24 * number), text, WHITE, _font(18))
    pen.text((MARGIN, top + MARGIN - 6), _fitted(title, width - 2 * MARGIN, 20), INK, _font(20))
    y = top + MARGIN + 36
    for line, tall in zip(lines, heights, strict=True):
        column = 0
        for picture in line:
            x = MARGIN + column * (SIDE + GAP)
            column += _slots(picture)
            page.paste(picture.image, (x, y))
            below = y + picture.image.height + 7
            if picture.ends is not None:
                _key(page, (x, below), picture.ends, picture.span)
                below += KEY
            for text, colour in (
                *((part, INK) for part in _lines(picture.name, SIDE, 12)[:2]),
                *((part, FAINT) for part in _lines(picture.caption, SIDE, 12)[:2]),
            ):
                pen.text((x, below), _fitted(text, SIDE, 12), colour, _font(12))
                below += 16
        y += tall + GAP
    return page


def _slots(picture: Picture) -> int:
    """How many columns a picture takes: more than one if it is wider than the others."""
    return max(1, math.ceil((picture.image.width + GAP) / (SIDE + GAP)))


def _rows(pictures: Sequence[Picture], columns: int) -> list[list[Picture]]:
    """The pictures in rows, in their order."""
    rows: list[list[Picture]] = [[]]
    free = columns
    for picture in pictures:
        if _slots(picture) > free:
            rows.append([])
            free = columns
        rows[-1].append(picture)
        free -= _slots(picture)
    return rows


def _height(line: Sequence[Picture]) -> int:
    return max(
        picture.image.height
        + (CAPTION if picture.ends is None else CAPTION + KEY)
        + 16 * (len(_lines(picture.caption, SIDE, 12)) > 1)
        for picture in line
    )


def _key(page: Image.Image, at: tuple[int, int], ends: Ends, span: Ends | None) -> None:
    """The strip of all colours, its two values, and a line over the part between the map's own two values."""
    pen, (x, y) = ImageDraw.Draw(page), at
    strip = Image.fromarray(np.broadcast_to(scale()[None], (1, 256, 3)).copy())
    page.paste(strip.resize((SIDE, KEY_HEIGHT)), (x, y + 4))
    if span is not None:
        low, high = ends
        places = [(value - low) / (high - low) if high > low else 0.5 for value in span]
        left, right = (x + min(max(place, 0.0), 1.0) * (SIDE - 1) for place in places)
        pen.rectangle((left - 1, y, max(right, left) + 1, y + 2), fill=INK)
    texts = [f"{end:.3g}" for end in ends]
    if texts[0] == texts[1]:
        return
    pen.text((x, y + 14), texts[0], FAINT, _font(11))
    pen.text((x + SIDE, y + 14), texts[1], FAINT, _font(11), anchor="ra")


def _lines(text: str, width: int, size: int) -> list[str]:
    """The text in as few lines as it needs, broken after a comma, space or slash where there is one."""
    lines, rest = [], text
    while _length(rest, size) > width:
        breaks = [i + 1 for i, letter in enumerate(rest) if letter in ", /" and _length(rest[: i + 1], size) <= width]
        at = breaks[-1] if breaks else max(1, math.floor(len(rest) * width / _length(rest, size)))
        lines.append(rest[:at].rstrip())
        rest = rest[at:].lstrip()
    return [*lines, rest] if rest else lines


def _fitted(text: str, width: int, size: int) -> str:
    """The text, with its middle left out if it is too wide."""
    kept = len(text)
    short = text
    while _length(short, size) > width and kept > 4:
        kept -= 1
        short = f"{text[: kept // 2]}...{text[len(text) - kept // 2 :]}"
    return short


def _length(text: str, size: int) -> float:
    return _font(size).getlength(text)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
