"""A picture of the weights of a clip's frames for each word of a sentence: the frames, and a row of cells a word."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from regard.viewing.colours import scale
from regard.viewing.painting import INK, PAPER, WHITE
from regard.viewing.pictures import Picture, ends_of
from regard.viewing.scaling import Colouring
from regard.viewing.words import fitted

WIDTH = 56  # pixels of a frame
LINE = 20  # height of a row
LABEL = 96  # width of a word
GAP = 2


def over_frames(
    name: str,
    look: Tensor,
    letters: tuple[str, ...],
    words: Sequence[str],
    frames: Sequence[Image.Image],
    colouring: Colouring,
) -> Picture | None:
    """The picture of a map over the frames of a clip for each word, `B L T`; None for other axes, or for an image.

    Args:
        name: the key of the map.
        look: the map, with a batch of one.
        letters: its axes.
        words: of the axis L; empty if they are not known, then they are numbered.
        frames: of the clip, which may be more than the map has: each stands for its share of them.
        colouring: of the map.

    Raises: ValueError if there are more words than the map has rows.
    """
    if letters != ("B", "L", "T") or len(frames) < 2:
        return None
    values = look[0].detach().cpu()
    values = values.double() if values.element_size() == 8 else values.float()
    words = list(words) or [f"word {i}" for i in range(1, len(values) + 1)]
    if len(words) > len(values):
        raise ValueError(f"{name}: words for {len(words)} rows, and the map has {len(values)}")
    values = values[: len(words)]  # the rest is padding
    count = values.shape[1]
    under = [frames[(2 * i + 1) * len(frames) // (2 * count)] for i in range(count)]
    ends = colouring.ends(values, place=1) or ends_of(values)
    facts = f"{len(words)} words, each over {count} frames; {colouring.words(values)}"
    return Picture(name, strip(values, words, under, low=ends[0], high=ends[1]), facts, ends, ends_of(values))


def strip(
    values: Tensor, words: Sequence[str], frames: Sequence[Image.Image], *, low: float, high: float
) -> Image.Image:
    """The frames in their order, and below them the cells of each word, with its numbers.

    Args:
        values: the weights, one row a word.
        words: in their order.
        frames: one a column.
        low, high: the values with the darkest and the lightest colour.

    Shapes: values `L T`.
    """
    height = max(1, round(WIDTH * frames[0].height / frames[0].width))
    page = Image.new("RGB", (LABEL + len(frames) * (WIDTH + GAP), height + GAP + len(words) * LINE), PAPER)
    pen, font, small = ImageDraw.Draw(page), ImageFont.load_default(13), ImageFont.load_default(11)
    shares = ((values.numpy() - low) / (high - low if high > low else 1.0)).clip(0, 1)
    for column, frame in enumerate(frames):
        page.paste(frame.convert("RGB").resize((WIDTH, height)), (LABEL + column * (WIDTH + GAP), 0))
    for row, word in enumerate(words):
        y = height + GAP + row * LINE
        pen.text((LABEL - 8, y + 2), fitted(word, font, LABEL - 12), INK, font, anchor="ra")
        for column, share in enumerate(shares[row]):
            x = LABEL + column * (WIDTH + GAP)
            colour = tuple(int(part) for part in scale()[int(np.round(255 * share))])
            pen.rectangle((x, y, x + WIDTH - 1, y + LINE - 2), fill=colour)
            ink = WHITE if sum(colour) < 3 * 128 else INK
            pen.text((x + WIDTH / 2, y + LINE / 2 - 1), f"{float(values[row, column]):.2f}", ink, small, anchor="mm")
    return page
