"""Pictures of an alignment: the words of a sentence over those of another, a matrix with both sentences written.

Where words are cut into pieces, rows and columns are those of the words: the weights of the pieces of a word that is
read are summed, since each is looked at, and those of a word that is written are averaged, since each is a step.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from regard.viewing.colours import scale
from regard.viewing.painting import INK, PAPER
from regard.viewing.pictures import Picture, ends_of
from regard.viewing.scaling import Colouring

CELL = 22  # pixels of a word on each side
MARGIN = 8
LETTERS = 24  # of a word that are written at most
GOES_ON, BEGINS = "@@", "▁"  # the end of a piece that is not a word's last one, and the beginning of a word's first


def alignment(
    name: str,
    look: Tensor,
    letters: tuple[str, ...],
    written: Sequence[str],
    read: Sequence[str],
    colouring: Colouring,
    *,
    head: int | None = None,
) -> Picture | None:
    """The picture of a map over both sentences, `B L T`, or of several heads, `B h L T`; None for other axes.

    Args:
        name: the key of the map.
        look: the map, with a batch of one.
        letters: its axes.
        written: the words of the axis L, or their pieces as for `merged`, one a row.
        read: those of the axis T, one a column.
        colouring: of the map.
        head: the head that is drawn, from 0; None for the mean of all.

    Raises: ValueError if there are more words than the map has rows or columns, or no such head.
    """
    if letters not in (("B", "L", "T"), ("B", "h", "L", "T")):
        return None
    values = look[0].detach().cpu()
    values = values.double() if values.element_size() == 8 else values.float()
    facts = ""
    if values.ndim == 3:
        count = len(values)
        if head is not None and not 0 <= head < count:
            raise ValueError(
                f"head={head!r}: a number from 0 to {count - 1} is needed, since the map has {count} heads"
            )
        values = values.mean(0) if head is None else values[head]
        facts = f"mean of {count} heads; " if head is None else f"head {head} of {count}; "
    elif head is not None:
        raise ValueError(f"head={head!r}: {name} has no heads")
    if len(written) > values.shape[0] or len(read) > values.shape[1]:
        raise ValueError(
            f"{name}: words for {len(written)} rows and {len(read)} columns, and the map has {tuple(values.shape)}"
        )
    values = values[: len(written), : len(read)]  # the rest is padding
    values, written, read = merged(values, written, read)
    ends = colouring.ends(values, place=1) or ends_of(values)
    drawn = matrix(values, written, read, low=ends[0], high=ends[1])
    size = f"{len(written)} x {len(read)} words; {facts}{colouring.words(values)}"
    return Picture(name, drawn, size, ends, ends_of(values))


def merged(values: Tensor, written: Sequence[str], read: Sequence[str]) -> tuple[Tensor, list[str], list[str]]:
    """An alignment of pieces as one of words: means over the written pieces of a word, sums over those that are read.

    Pieces are marked as subword-nmt does, `hun@@ d`, or as SentencePiece does, `▁hun d`; each sentence is taken by
    itself, and one without marks is of whole words. A sign such as `<end>` is a word of its own.

    Args:
        values: a weight for each written piece and each piece that is read.
        written, read: the pieces.

    Shapes: values `L T` -> `words words`.
    """
    rows, columns = _words(written), _words(read)
    values = torch.stack([values[one].mean(0) for one in rows.values()])
    values = torch.stack([values[:, one].sum(1) for one in columns.values()], 1)
    return values, [name for _, name in rows], [name for _, name in columns]


def _words(pieces: Sequence[str]) -> dict[tuple[int, str], list[int]]:
    """Number and text of each word, and the numbers of its pieces."""
    whole = [piece.startswith("<") and piece.endswith(">") for piece in pieces]
    if any(piece.startswith(BEGINS) for piece in pieces):
        first = [piece.startswith(BEGINS) for piece in pieces]
    else:
        first = [not pieces[i - 1].endswith(GOES_ON) for i in range(len(pieces))]
    groups: list[list[int]] = []
    for i in range(len(pieces)):
        if not i or first[i] or whole[i] or whole[i - 1]:
            groups.append([])
        groups[-1].append(i)
    texts = ["".join(pieces[i].removesuffix(GOES_ON).removeprefix(BEGINS) for i in group) for group in groups]
    return {(number, text): group for number, (text, group) in enumerate(zip(texts, groups, strict=True))}


def matrix(values: Tensor, written: Sequence[str], read: Sequence[str], *, low: float, high: float) -> Image.Image:
    """Cells of the colours of `values` `L T`, the words of the rows to their left, those of the columns above."""
    font = ImageFont.load_default(13)
    left, top = (_widest(words, font) + 2 * MARGIN for words in (written, read))
    page = Image.new("RGB", (left + CELL * len(read) + MARGIN, top + CELL * len(written) + MARGIN), PAPER)
    share = (values.numpy() - low) / (high - low if high > low else 1.0)
    cells = scale()[np.round(255 * share.clip(0, 1)).astype(int)]
    grid = Image.fromarray(cells).resize((CELL * len(read), CELL * len(written)), Image.Resampling.NEAREST)
    page.paste(grid, (left, top))
    for number, word in enumerate(written):
        _write(page, (MARGIN, top + CELL * number), (left - 2 * MARGIN, CELL), word, font)
    for number, word in enumerate(read):  # read from below
        label = Image.new("RGB", (top - 2 * MARGIN, CELL), PAPER)
        _write(label, (0, 0), label.size, word, font, flush=False)
        page.paste(label.transpose(Image.Transpose.ROTATE_90), (left + CELL * number, MARGIN))
    return page


def _write(
    page: Image.Image, at: tuple[int, int], size: tuple[int, int], word: str, font: _Font, *, flush: bool = True
) -> None:
    """Writes a word into a rectangle, at its right edge or its left one."""
    text = _short(word)
    x = at[0] + (size[0] - int(font.getlength(text)) if flush else 0)
    ImageDraw.Draw(page).text((x, at[1] + 3), text, INK, font)


def _widest(words: Sequence[str], font: _Font) -> int:
    return max(int(font.getlength(_short(word))) + 1 for word in words)


def _short(word: str) -> str:
    return word if len(word) <= LETTERS else f"{word[: LETTERS - 1]}…"


_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
