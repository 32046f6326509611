"""Pictures of label maps: the classes over the image, with a legend, and where they differ from the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from regard.viewing.painting import EVEN, FAINT, INK, PAPER

Colour = tuple[int, int, int]

VOID = 255
WRONG: Colour = (222, 45, 38)
OPACITY = 0.6
LINE, SWATCH = 17, 11  # pixels of a line of the legend, and of a side of its squares


def over(image: Image.Image, labels: Tensor, colours: Sequence[Colour], *, opacity: float = OPACITY) -> Image.Image:
    """The classes in their colours over the image, which loses its own; void stays uncoloured.

    Args:
        image: the image.
        labels: a class of each pixel, or 255 for void; resized to the image by the nearest pixel.
        colours: of the classes.
        opacity: of the colours, from 0 to 1.

    Shapes: labels whole numbers `h w`.
    """
    said = _sized(labels, image)
    table = np.zeros((VOID + 1, 3), np.uint8)
    table[: len(colours)] = np.array(colours, np.uint8)
    return _veiled(image, table[said], said != VOID, opacity)


def different(image: Image.Image, labels: Tensor, truth: Tensor) -> Image.Image:
    """The image with the pixels in red whose class is not the true one, and grey where the truth is void.

    Shapes: labels, truth whole numbers `h w`, resized to the image by the nearest pixel.
    """
    said, true = _sized(labels, image), _sized(truth, image)
    void = true == VOID
    tint = np.where(void[..., None], np.array(EVEN, np.uint8), np.array(WRONG, np.uint8))
    return _veiled(image, tint.astype(np.uint8), void | (said != true), 0.75)


def with_legend(picture: Image.Image, entries: Mapping[str, tuple[Colour, str]]) -> Image.Image:
    """The picture with a line below it for each entry: a square in its colour, its name, and a text on the right."""
    font = ImageFont.load_default(11)
    page = Image.new("RGB", (picture.width, picture.height + 6 + LINE * len(entries)), PAPER)
    page.paste(picture, (0, 0))
    pen = ImageDraw.Draw(page)
    for number, (name, (colour, text)) in enumerate(entries.items()):
        top = picture.height + 6 + LINE * number
        pen.rectangle((2, top + 2, 2 + SWATCH, top + 2 + SWATCH), fill=colour, outline=FAINT)
        room = picture.width - SWATCH - 16 - font.getlength(text)
        shown = name
        while len(shown) > 2 and font.getlength(shown) > room:
            shown = f"{shown[:-2]}…"
        pen.text((SWATCH + 9, top + 1), shown, INK, font)
        pen.text((picture.width - 3, top + 1), text, FAINT, font, anchor="ra")
    return page


def _sized(labels: Tensor, image: Image.Image) -> NDArray[np.uint8]:
    if labels.dim() != 2:
        raise ValueError(f"labels of shape {tuple(labels.shape)}: h w is needed")
    small = Image.fromarray(labels.cpu().to(torch.uint8).numpy())
    return np.asarray(small.resize(image.size, Image.Resampling.NEAREST))


def _veiled(image: Image.Image, tint: NDArray[np.uint8], where: NDArray[np.bool_], opacity: float) -> Image.Image:
    grey = image.convert("L").convert("RGB")
    blended = np.asarray(Image.blend(grey, Image.fromarray(tint), opacity))
    return Image.fromarray(np.where(where[..., None], blended, np.asarray(grey)))
