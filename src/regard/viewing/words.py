"""Pictures of what a network looked at for each of its words: places of a grid, regions, and one number a word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from regard.core import Grid, grids_of
from regard.viewing.colours import scale
from regard.viewing.painting import BAR, BLACK, INK, PAPER, WHITE
from regard.viewing.pictures import SIDE, Picture, ends_of, over
from regard.viewing.scaling import Colouring, Ends

COLUMNS = 5  # panels in a row, as wide as two pictures
WIDTH = 128  # of a panel, in pixels
LINE = 18  # height of a line of text
GAP = 4
THICK = 9.0  # pixels of the outline of a region with all the weight
BOXES = 12  # regions outlined at most, those with the largest weights


def looked(
    name: str,
    look: Tensor,
    letters: tuple[str, ...],
    grids: Mapping[str, Grid],
    words: Sequence[str],
    boxes: Tensor | None,
    stage: Image.Image,
    colouring: Colouring,
) -> Picture | None:
    """The picture of a map with an axis of words, `B L H W`, `B L N` or `B L`, or over regions, `B N`; else None.

    Args:
        name: the key of the map.
        look: the map, with a batch of one.
        letters: its axes.
        grids: for a flattened axis, its letter and the grid.
        words: of the axis L; empty if they are not known, then they are numbered.
        boxes: the regions of the axis N, `N 4` in [0, 1].
        stage: the image.
        colouring: of the map.

    Raises: ValueError if there are more words than the map has rows, or not as many boxes as regions.
    """
    values = look[0].detach().cpu()
    values = values if values.dtype == torch.float64 else values.float()
    if letters == ("B", "N"):
        return None if boxes is None else _region(name, values, boxes, stage, colouring)
    if letters[:2] != ("B", "L"):
        return None
    words = list(words) or [f"word {i}" for i in range(1, len(values) + 1)]
    if len(words) > len(values):
        raise ValueError(f"{name}: words for {len(words)} rows, and the map has {len(values)}")
    values = values[: len(words)]  # the rest is padding
    if letters == ("B", "L"):
        ends = colouring.ends(values, place=1)
        drawn = strip(values, words, longest=None if ends is None else ends[1])
        return Picture(name, drawn, f"{len(words)} words; {colouring.words(values)}")
    grid = grids.get(letters[-1])
    if len(letters) == 3 and grid is not None and len(grids_of(grid)) == 1 and len(grids_of(grid)[0]) == 2:
        values, letters = values.unflatten(-1, grids_of(grid)[0]), (*letters[:2], "H", "W")
    if letters == ("B", "L", "H", "W"):
        drawn_over = over(dict(enumerate(values)), stage, colouring)
        size = f"{values.shape[1]} x {values.shape[2]}"
        pictures, (ends, span) = [one.image for one in drawn_over], (colouring.ends(values), ends_of(values))
    elif letters == ("B", "L", "N") and boxes is not None:
        _fits(name, boxes, values.shape[1])
        ends = _weights(values, colouring)
        pictures = [regions(stage, boxes, one, most=ends[1]) for one in values]
        size, span = f"{len(boxes)} regions", ends_of(values)
    else:
        return None
    own = "; each has its own colours" if ends is None else ""
    facts = f"{len(words)} words, each over {size}; {colouring.words(values)}{own}"
    return Picture(name, panels(pictures, words), facts, ends, span)


def _region(name: str, values: Tensor, boxes: Tensor, stage: Image.Image, colouring: Colouring) -> Picture:
    _fits(name, boxes, len(values))
    ends = _weights(values, colouring)
    drawn = regions(stage, boxes, values, most=ends[1])
    return Picture(name, drawn, f"{len(boxes)} regions; {colouring.words(values)}", ends, ends_of(values))


def _weights(values: Tensor, colouring: Colouring) -> Ends:
    """The weights of an outline without thickness and of one of full thickness."""
    ends = colouring.ends(values, place=1)
    return (0.0, float(values.max()) if ends is None else ends[1])


def _fits(name: str, boxes: Tensor, count: int) -> None:
    if boxes.shape != (count, 4):
        raise ValueError(f"boxes of shape {tuple(boxes.shape)}: {name} needs {count} 4, one for each of its regions")


def panels(pictures: Sequence[Image.Image], words: Sequence[str]) -> Image.Image:
    """Equally large pictures in reading order, each above its word."""
    columns = min(COLUMNS, len(pictures))
    rows = -(-len(pictures) // columns)
    height = max(1, round(WIDTH * pictures[0].height / pictures[0].width))
    block = Image.new("RGB", (columns * (WIDTH + GAP) - GAP, rows * (height + LINE + GAP) - GAP), PAPER)
    pen, font = ImageDraw.Draw(block), ImageFont.load_default(13)
    for number, (picture, word) in enumerate(zip(pictures, words, strict=True)):
        x, y = number % columns * (WIDTH + GAP), number // columns * (height + LINE + GAP)
        block.paste(picture.resize((WIDTH, height), Image.Resampling.BICUBIC), (x, y))
        pen.text((x + WIDTH / 2, y + height + LINE / 2), fitted(word, font, WIDTH), INK, font, anchor="mm")
    return block


def strip(values: Tensor, words: Sequence[str], *, width: int = SIDE, longest: float | None = None) -> Image.Image:
    """Horizontal bars in the order of the words, each with its word and its number.

    Args:
        values: one a word.
        words: in their order.
        width: of the picture, in pixels.
        longest: the value of a bar of full length, by default the largest.

    Shapes: values `L`.
    """
    label, number = 96, 52
    picture = Image.new("RGB", (width, LINE * len(words) + GAP), PAPER)
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(12)
    low, high = min(0.0, float(values.min())), max(0.0, float(values.max()), longest or 0.0)
    span = (width - label - number) / (high - low) if high > low else 0.0
    zero = label - low * span
    for row, (word, value) in enumerate(zip(words, values.tolist(), strict=True)):
        y = GAP + row * LINE
        ends = sorted((zero, zero + value * span))
        pen.rectangle((ends[0], y + 2, max(ends[1], ends[0] + 1), y + LINE - 5), fill=BAR)
        pen.text((label - 8, y), fitted(word, font, label - 12), INK, font, anchor="ra")
        pen.text((width - 6, y), f"{value:.3g}", INK, font, anchor="ra")
    return picture


def regions(picture: Image.Image, boxes: Tensor, weights: Tensor, *, most: float) -> Image.Image:
    """The picture with regions outlined, the thicker and the lighter the larger their weights.

    Args:
        picture: the photograph; it loses its colours, so that colour means attention only.
        boxes: (left, top, right, bottom) in [0, 1].
        weights: one for each box, at least 0.
        most: the weight of an outline of full thickness.

    Shapes: boxes `N 4`, weights `N`.
    """
    drawn = picture.convert("L").convert("RGB")
    pen = ImageDraw.Draw(drawn)
    shares = (weights / most if most > 0 else torch.zeros_like(weights)).clamp(0, 1)
    largest = shares.topk(min(BOXES, len(shares))).indices.tolist()
    for index in reversed(largest):  # the largest last, on top
        share = float(shares[index])
        left, top, right, bottom = boxes[index].tolist()
        corners = (left * picture.width, top * picture.height, right * picture.width - 1, bottom * picture.height - 1)
        x0, x1 = sorted((corners[0], corners[2]))
        y0, y1 = sorted((corners[1], corners[3]))
        thick = max(1, round(THICK * share))
        colour = tuple(int(part) for part in scale()[round(255 * share)])
        pen.rectangle((x0 - 1, y0 - 1, x1 + 1, y1 + 1), outline=WHITE if share < 0.5 else BLACK)
        pen.rectangle((x0, y0, x1, y1), outline=colour, width=thick)
    return drawn


def fitted(word: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """The word, shortened by an ellipsis where it is wider than `width` pixels."""
    while len(word) > 2 and font.getlength(word) > width:
        word = f"{word[:-2]}…"
    return word
