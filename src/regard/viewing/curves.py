"""Curves over a share from 0 to 1, as a picture beside maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from PIL import Image, ImageDraw, ImageFont

from regard.viewing.painting import FAINT, INK, PAPER
from regard.viewing.pictures import SIDE

# Of lines, told apart by their lightness too; those behind the last repeat, with dashes.
LINES = ((94, 38, 130), (214, 96, 40), (32, 130, 126), (150, 150, 156), (190, 160, 30), (40, 84, 170))
LEFT, RIGHT, TOP, LETTERS = 34, 10, 22, 15  # pixels around the plot, and the height of a line of the legend


def curves(lines: Mapping[str, Sequence[tuple[float, float]]], title: str, side: int = SIDE) -> Image.Image:
    """Lines through points (share, value), from share 0 to 1, with a legend below them.

    Args:
        lines: name -> its points.
        title: what the lines show, above them.
        side: of the picture, in pixels.

    Raises: ValueError if there is no line, or a line without a point.
    """
    if not lines or not all(lines.values()):
        raise ValueError("lines: at least one, and in each at least one point, is needed")
    picture = Image.new("RGB", (side, side), PAPER)
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(11)
    pen.text((LEFT, 4), title, INK, font)
    values = [value for points in lines.values() for _, value in points]
    low, high = min(0.0, *values), max(values)
    high = high if high > low else low + 1
    bottom = side - 20 - LETTERS * len(lines)

    def at(share: float, value: float) -> tuple[float, float]:
        return LEFT + share * (side - LEFT - RIGHT), bottom - (value - low) / (high - low) * (bottom - TOP)

    for value in (low, (low + high) / 2, high):
        pen.line((*at(0, value), *at(1, value)), fill=(225, 225, 222))
        pen.text((LEFT - 5, at(0, value)[1]), f"{value:.2g}", FAINT, font, anchor="rm")
    for share in (0.0, 0.5, 1.0):
        anchor = "ra" if share == 1 else "ma"  # the last one ends with the plot
        pen.text((at(share, low)[0], bottom + 3), f"{100 * share:.0f} %", FAINT, font, anchor=anchor)
    for number, (name, points) in enumerate(lines.items()):
        colour, broken = LINES[number % len(LINES)], number >= len(LINES)
        places = [at(*point) for point in points]
        for step, (start, end) in enumerate(pairwise(places)):
            if not (broken and step % 2):
                pen.line((*start, *end), fill=colour, width=2)
        y = bottom + 20 + LETTERS * number
        pen.line((LEFT, y + 6, LEFT + (8 if broken else 18), y + 6), fill=colour, width=3)
        pen.text((LEFT + 24, y), _short(name, side - LEFT - RIGHT - 24, font), INK, font)
    return picture


def _short(name: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """The end of a name that is too wide, which tells maps of one network apart."""
    text = name
    while len(name) > 1 and font.getlength(text) > width:
        name = name[1:]
        text = f"…{name}"
    return text
