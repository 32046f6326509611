"""Pictures of a patient's visits: weights along the time line, and the codes of a visit by name."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from regard.viewing.painting import BAR, FAINT, INK, PAPER
from regard.viewing.pictures import SIDE
from regard.viewing.words import fitted

HEIGHT, BASE = 150, 40  # pixels of the longest bar's room, and below the line
LINE = 17
CODES = 14  # of a visit that are written at most
WIDE = 2 * SIDE + 20  # of two pictures side by side


def timeline(
    values: Tensor, names: Sequence[str], days: Sequence[float] | None, *, longest: float = 1.0
) -> Image.Image:
    """Upright bars of the visits at their times, each with its weight and its name.

    Args:
        values: the weight of each visit.
        names: of the visits.
        days: their times, rising; None draws them at equal distances.
        longest: the weight of a bar of full height.

    Shapes: values `S`.
    Raises: ValueError if there are not as many names or days as values.
    """
    count = len(values)
    places = [float(i) for i in range(count)] if days is None else list(days)
    if len(names) != count or len(places) != count or not count:
        raise ValueError(f"names: {len(names)} names and {len(places)} days; one for each of {count} values is needed")
    picture = Image.new("RGB", (WIDE, HEIGHT + BASE), PAPER)
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(11)
    pen.line((10, HEIGHT, WIDE - 10, HEIGHT), fill=FAINT)
    span = places[-1] - places[0]
    room = (WIDE - 60) / max(count - 1, 1)
    thick = max(2, min(16, int(room / 2)))
    written = -1e9  # where the last name ends
    for value, name, place in zip(values.tolist(), names, places, strict=True):
        x = 30 + (WIDE - 60) * ((place - places[0]) / span if span > 0 else 0.0)
        top = HEIGHT - round((HEIGHT - 22) * min(value / longest, 1.0))
        pen.rectangle((x - thick / 2, min(top, HEIGHT - 1), x + thick / 2, HEIGHT), fill=BAR)
        text = fitted(name, font, 120)
        if x - font.getlength(text) / 2 > written:  # names of visits that are close would cover each other
            pen.text((x, top - 3), f"{value:.2f}", INK, font, anchor="mb")
            pen.text((x, HEIGHT + 5), text, INK, font, anchor="mt")
            written = x + font.getlength(text) / 2 + 6
    return picture


def listed(lines: Sequence[str], *, width: int = SIDE, most: int = CODES) -> Image.Image:
    """Lines of text below each other; of more than `most`, how many are left out.

    Raises: ValueError if there are none.
    """
    if not lines:
        raise ValueError("lines: at least one is needed")
    rest = len(lines) - most
    shown = list(lines) if rest <= 0 else [*lines[: most - 1], f"and {rest + 1} more"]
    picture = Image.new("RGB", (width, LINE * len(shown) + 8), PAPER)
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(12)
    for row, line in enumerate(shown):
        pen.text((6, 4 + row * LINE), fitted(line, font, width - 12), INK, font)
    return picture
