"""Masks of named parts: over the image in a colour each, and the relations of the parts as a table with their names."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional

from regard.viewing.painting import FAINT, INK, PAPER, WHITE, heat
from regard.viewing.pictures import SIDE

# Okabe and Ito's colours, which differ for all common colour blindnesses; repeated for more parts.
COLOURS = (
    (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167),
)  # fmt: skip
OPACITY = 0.7
TEXT = 11  # pixels of the letters


def colour_of(part: int) -> tuple[int, int, int]:
    """The colour of a part, by its number."""
    return COLOURS[part % len(COLOURS)]


def masks_over(image: Image.Image, masks: Tensor) -> Image.Image:
    """The image, grey, with the strongest mask of each pixel in its colour, the more of it the larger its value.

    Shapes: masks `P h w` in 0..1, resized to the image bilinearly.
    Raises: ValueError for another shape.
    """
    if masks.dim() != 3 or not masks.numel():
        raise ValueError(f"masks of shape {tuple(masks.shape)}: P h w is needed")
    size = (image.height, image.width)
    fine = functional.interpolate(masks[None].detach().cpu().float(), size, mode="bilinear", align_corners=False)[0]
    value, part = fine.clamp(0, 1).max(0)
    tint = np.array([colour_of(i) for i in range(len(masks))], float)[part.numpy()]
    grey = np.asarray(image.convert("L").convert("RGB"), float)
    share = OPACITY * value.numpy()[..., None]
    return Image.fromarray(((1 - share) * grey + share * tint).round().astype(np.uint8))


def relations(values: Tensor, parts: Sequence[str], *, side: int = SIDE) -> Image.Image:
    """A table of the weights by which each part of each frame attends to the others, with their names.

    Rows attend to columns. What cannot attend, such as a part to itself, has the weight 0 and the darkest colour.

    Args:
        values: the weights, frame by frame.
        parts: the names of the parts; with several frames the names have the number of the frame behind them.
        side: of the table without names, in pixels.

    Shapes: values `M M`, M the number of frames times that of the parts.
    Raises: ValueError if M is no multiple of the number of parts.
    """
    count = values.shape[0]
    if values.dim() != 2 or values.shape[1] != count or not parts or count % len(parts):
        raise ValueError(f"values of shape {tuple(values.shape)} for {len(parts)} parts: M M, a multiple, is needed")
    frames = count // len(parts)
    names = [part if frames == 1 else f"{part} {frame}" for frame in range(1, frames + 1) for part in parts]
    font = ImageFont.load_default(TEXT)
    cell = max(TEXT + 3, side // count)
    room = round(max(font.getlength(name) for name in names)) + 10
    page = Image.new("RGB", (room + cell * count + 4, room + cell * count + 4), PAPER)
    table = heat(values, low=0.0, high=max(float(values.max()), torch.finfo(torch.float32).tiny))
    page.paste(table.resize((cell * count, cell * count), Image.Resampling.NEAREST), (room, room))
    pen = ImageDraw.Draw(page)
    above = Image.new("RGB", (room, cell * count), PAPER)  # the names of the columns, turned afterwards
    turned = ImageDraw.Draw(above)
    for i, name in enumerate(names):
        middle = cell * i + cell / 2
        colour = INK if i // len(parts) % 2 == 0 else FAINT
        pen.text((room - 5, room + middle), name, colour, font, anchor="rm")
        turned.text((room - 5, cell * count - middle), name, colour, font, anchor="rm")
    page.paste(above.transpose(Image.Transpose.ROTATE_270), (room, 0))
    for frame in range(1, frames):
        at = room + cell * len(parts) * frame
        pen.line((room, at, room + cell * count, at), fill=WHITE)
        pen.line((at, room, at, room + cell * count), fill=WHITE)
    return page
