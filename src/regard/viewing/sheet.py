"""A contact sheet: one photograph with the pictures of its maps."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from regard.viewing import SIDE, Picture
from regard.viewing.painting import FAINT, INK, PAPER, staged

MARGIN, GAP, CAPTION = 28, 20, 58


def sheet(pictures: Sequence[Picture], title: str, photograph: Image.Image | None = None) -> Image.Image:
    """Returns one picture that shows all pictures with their captions.

    Args:
        pictures: what `draw` gave.
        title: a line above them.
        photograph: shown first, without a map.

    Raises: ValueError if there is nothing to show.
    """
    shown = list(pictures)
    if photograph is not None:
        facts = f"{photograph.width} x {photograph.height} pixels"
        shown.insert(0, Picture("photograph", staged(photograph, SIDE), facts))
    if not shown:
        raise ValueError("pictures: at least one, or a photograph, is needed")
    columns = min(4, len(shown))
    lines = [shown[start : start + columns] for start in range(0, len(shown), columns)]
    heights = [max(picture.image.height for picture in line) + CAPTION for line in lines]
    width = max(2 * MARGIN + columns * SIDE + (columns - 1) * GAP, 2 * MARGIN + 2 * SIDE)
    height = 2 * MARGIN + 36 + sum(heights) + GAP * (len(lines) - 1)
    page = Image.new("RGB", (width, height), PAPER)
    pen = ImageDraw.Draw(page)
    pen.text((MARGIN, MARGIN - 6), _fitted(title, width - 2 * MARGIN, 20), INK, ImageFont.load_default(20))
    y = MARGIN + 36
    for line, tall in zip(lines, heights, strict=True):
        for column, picture in enumerate(line):
            x = MARGIN + column * (SIDE + GAP)
            page.paste(picture.image, (x, y))
            below = y + picture.image.height + 7
            for text, colour in (*((part, INK) for part in _wrapped(picture.name)), (picture.caption, FAINT)):
                pen.text((x, below), _fitted(text, SIDE, 12), colour, ImageFont.load_default(12))
                below += 16
        y += tall + GAP
    return page


def _wrapped(text: str) -> list[str]:
    """At most two lines, broken after a comma, space or slash if the text does not fit in one."""
    if _length(text, 12) <= SIDE:
        return [text]
    breaks = [i + 1 for i, letter in enumerate(text) if letter in ", /" and _length(text[: i + 1], 12) <= SIDE]
    at = breaks[-1] if breaks else math.floor(len(text) * SIDE / _length(text, 12))
    return [text[:at].rstrip(), text[at:].lstrip()]


def _fitted(text: str, width: int, size: int) -> str:
    """The text, with its middle left out if it is too wide."""
    kept = len(text)
    short = text
    while _length(short, size) > width and kept > 4:
        kept -= 1
        short = f"{text[: kept // 2]}...{text[len(text) - kept // 2 :]}"
    return short


def _length(text: str, size: int) -> float:
    return ImageFont.load_default(size).getlength(text)
