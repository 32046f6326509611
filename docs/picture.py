"""Draws the README's picture from the gallery of a comparison.

python docs/picture.py regard-report docs/images/gallery.png
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from regard.report.numbers import percent
from regard.viewing.painting import overlay

SIDE, GAP, LEFT, TOP, BELOW = 150, 10, 20, 44, 24
INK, FAINT, PAPER, RIGHT, WRONG = (28, 28, 30), (120, 120, 124), (255, 255, 255), (0, 110, 80), (180, 40, 30)


def picture(gallery: Path, images: int = 4) -> Image.Image:
    """One row per image, one column per mechanism with its Grad-CAM map, which all have; the object is framed."""
    shown = np.load(gallery)
    names = [key.removeprefix("map.") for key in shown.files if key.startswith("map.")]
    width = 2 * LEFT + (len(names) + 1) * (SIDE + GAP) - GAP
    page = Image.new("RGB", (width, TOP + images * (SIDE + BELOW + GAP)), PAPER)
    pen, large, small = ImageDraw.Draw(page), ImageFont.load_default(16), ImageFont.load_default(13)
    for column, name in enumerate(["image", *names]):
        pen.text((LEFT + column * (SIDE + GAP), 16), name, INK, large)
    for row in range(images):
        y = TOP + row * (SIDE + BELOW + GAP)
        stage = Image.fromarray(shown["images"][row]).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        page.paste(stage, (LEFT, y))
        label = int(shown["labels"][row])
        pen.text((LEFT, y + SIDE + 4), f"this is a {label}", FAINT, small)
        for column, name in enumerate(names, 1):
            x = LEFT + column * (SIDE + GAP)
            heat = torch.from_numpy(shown[f"gradcam.{name}" if f"gradcam.{name}" in shown else f"map.{name}"][row])
            page.paste(overlay(stage, heat), (x, y))
            if shown["has_region"][row]:
                pen.rectangle(frame(shown["regions"][row], x, y), outline=(255, 255, 255), width=2)
            answer = int(shown[f"prediction.{name}"][row])
            sure = float(shown[f"confidence.{name}"][row])
            verdict, colour = ("right", RIGHT) if answer == label else ("wrong", WRONG)
            pen.text((x, y + SIDE + 4), f"{verdict}: {answer}, {percent(sure, 0)} %", colour, small)
    return page


def frame(region: np.ndarray, x: int, y: int) -> tuple[float, float, float, float]:
    """The box around a region, on the page."""
    rows, columns = np.flatnonzero(region.any(1)), np.flatnonzero(region.any(0))
    scale = SIDE / region.shape[0]
    return (
        x + columns[0] * scale,
        y + rows[0] * scale,
        x + (columns[-1] + 1) * scale - 1,
        y + (rows[-1] + 1) * scale - 1,
    )


if __name__ == "__main__":
    picture(Path(sys.argv[1]) / "gallery.npz").save(sys.argv[2], optimize=True)
