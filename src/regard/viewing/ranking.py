"""A ranking sheet: a query and the nearest images of a gallery side by side, with maps of each below it.

Right images have a green frame and wrong ones a red frame; what does not count, such as the same person under the same
camera, is grey and has no rank. Every image says in words what its frame says in colour.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from regard.viewing.painting import FAINT, INK, PAPER, WHITE
from regard.viewing.sheet import WARNING

TALL = 176  # pixels of an image's height
FRAME, GAP, MARGIN, LEFT = 5, 9, 24, 118  # of the frame, between images, around, and of the names of the rows
LINE, LETTERS = 15, 12
RIGHT_COLOUR, WRONG_COLOUR, GREY = (30, 142, 62), (200, 40, 40), (168, 168, 172)
FRAMES = {"right": RIGHT_COLOUR, "wrong": WRONG_COLOUR, "same camera": GREY}


@dataclass(frozen=True)
class Shown:
    """An image on the sheet.

    Args:
        picture: the image.
        panels: its maps, drawn over it, one for each row of the sheet.
        verdict: `right`, `wrong` or `same camera`; empty for the query, or where persons are not known.
        words: lines below it, such as the camera and the distance.
    """

    picture: Image.Image
    panels: Sequence[Image.Image] = ()
    verdict: str = ""
    words: Sequence[str] = ()

    @property
    def lines(self) -> list[str]:
        """The words below the image, its verdict among them."""
        return [*([self.verdict] if self.verdict else []), *self.words]


def ranking(
    query: Shown,
    found: Sequence[Shown],
    rows: Sequence[str],
    title: str,
    *,
    legends: Mapping[str, Mapping[str, tuple[int, int, int]]] | None = None,
    warning: str = "",
) -> Image.Image:
    """Returns the sheet.

    Args:
        query: the query, without a verdict.
        found: the images of the gallery, nearest first.
        rows: the names of the maps below the images.
        title: a line above them.
        legends: name of a row -> the names of the colours in it.
        warning: what has to be known before anything else; it stands above the title, on red.

    Raises: ValueError if there is nothing in `found`, or an image does not have a panel for each row.
    """
    if not found:
        raise ValueError("found: at least one image of the gallery is needed")
    images = [query, *found]
    for shown in images:
        if len(shown.panels) != len(rows):
            raise ValueError(f"panels: {len(rows)} are needed for each image, not {len(shown.panels)}")
        if shown.verdict and shown.verdict not in FRAMES:
            raise ValueError(f"verdict={shown.verdict!r}: {', '.join(FRAMES)}, or nothing, is needed")
    font, large = ImageFont.load_default(LETTERS), ImageFont.load_default(18)
    wide = max(_width(shown.picture) for shown in images) + 2 * FRAME
    words = max(len(shown.lines) for shown in images)
    below = LINE * words + 8  # of the words below the images
    first = MARGIN + (32 if warning else 0) + 34
    tall = TALL + 2 * FRAME
    step, left = wide + GAP, MARGIN + LEFT
    apart = 2 * GAP  # between the query and the gallery
    width = left + len(images) * step + apart + MARGIN
    page = Image.new("RGB", (width, first + tall + below + len(rows) * (tall + GAP) + MARGIN), PAPER)
    pen = ImageDraw.Draw(page)
    if warning:
        pen.rectangle((0, 0, width - 1, 31), fill=WARNING)
        pen.text((MARGIN, 8), _fitted(warning, font, width - 2 * MARGIN), WHITE, font)
    pen.text((MARGIN, first - 34), _fitted(title, large, width - 2 * MARGIN), INK, large)
    for number, shown in enumerate(images):
        x = left + number * step + (apart if number else 0)
        _framed(page, _sized(shown.picture), (x, first), wide, shown.verdict)
        for i, line in enumerate(shown.lines):
            at = (x, first + tall + 3 + LINE * i)
            colour = FRAMES[shown.verdict] if i == 0 and shown.verdict else INK if i == 0 else FAINT
            pen.text(at, _fitted(line, font, step - 3), colour, font)
        for i, panel in enumerate(shown.panels):
            y = first + tall + below + i * (tall + GAP)
            _framed(page, _sized(panel), (x, y), wide, "")
    for i, name in enumerate(rows):
        y = first + tall + below + i * (tall + GAP) + FRAME
        for piece in _lines(name, font, LEFT - 12):
            pen.text((MARGIN, y), piece, INK, font)
            y += LINE
        for entry, colour in (legends or {}).get(name, {}).items():
            pen.rectangle((MARGIN, y + 4, MARGIN + 9, y + 13), fill=colour)
            pen.text((MARGIN + 15, y + 1), _fitted(entry, font, LEFT - 26), FAINT, font)
            y += LINE
    pen.text((MARGIN, first + FRAME), "query, and the", INK, font)
    pen.text((MARGIN, first + FRAME + LINE), "nearest images", INK, font)
    return page


def _width(picture: Image.Image) -> int:
    return max(1, round(picture.width * TALL / picture.height))


def _sized(picture: Image.Image) -> Image.Image:
    return picture.convert("RGB").resize((_width(picture), TALL), Image.Resampling.BICUBIC)


def _framed(page: Image.Image, picture: Image.Image, at: tuple[int, int], wide: int, verdict: str) -> None:
    """Pastes a picture into the middle of a place `wide` pixels wide, with the frame of its verdict."""
    x = at[0] + (wide - picture.width) // 2
    if verdict:
        box = (x - FRAME, at[1], x + picture.width + FRAME - 1, at[1] + picture.height + 2 * FRAME - 1)
        ImageDraw.Draw(page).rectangle(box, fill=FRAMES[verdict])
    if verdict == "same camera":
        picture = Image.blend(picture.convert("L").convert("RGB"), Image.new("RGB", picture.size, GREY), 0.45)
    page.paste(picture, (x, at[1] + FRAME))


Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def _lines(text: str, font: Font, width: int) -> list[str]:
    """The text in lines, broken after a slash, a dot or a space where it is too wide."""
    lines, rest = [], text
    while font.getlength(rest) > width:
        breaks = [
            i + 1 for i, letter in enumerate(rest[:-1]) if letter in "/. " and font.getlength(rest[: i + 1]) <= width
        ]
        if not breaks:
            break
        lines.append(rest[: breaks[-1]])
        rest = rest[breaks[-1] :]
    return [*lines, _fitted(rest, font, width)]


def _fitted(text: str, font: Font, width: int) -> str:
    """The text, with its end left out if it is too wide."""
    short = text
    while len(short) > 2 and font.getlength(short) > width:
        short = f"{short[:-2]}…"
    return short
