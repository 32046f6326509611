"""The region of the object in an image: boxes, polygons and a mask, and their rendering as pixels of the loaded image.

Coordinates are pixels of the upright image in the file, 0 at the left and top edge; regions are cropped and resized as
the image is (`Fit`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from regard.data.images import Fit, UnreadableImage, quiet, read_mask, shown
from regard.data.texts import quoted

FINER = 8  # polygons are drawn on a grid this many times finer, to measure their coverage of each pixel


@dataclass(frozen=True)
class Box:
    """A box, and the line or entry of the user's file that gives it."""

    x0: float
    y0: float
    x1: float
    y1: float
    where: str

    def clipped(self, width: int, height: int) -> Box:
        """The part of the box inside the image. Raises: ValueError if there is none."""
        inside = replace(
            self, x0=max(self.x0, 0.0), y0=max(self.y0, 0.0), x1=min(self.x1, width), y1=min(self.y1, height)
        )
        if inside.x0 >= inside.x1 or inside.y0 >= inside.y1:
            raise ValueError(
                f"{self.where}: the box from ({self.x0:g}, {self.y0:g}) to ({self.x1:g}, {self.y1:g}) is outside the "
                f"image of {width}×{height}"
            )
        return inside


@dataclass(frozen=True)
class Polygon:
    """A polygon x0, y0, x1, y1, …, and the entry of the user's file that gives it."""

    points: tuple[float, ...]
    where: str

    @property
    def box(self) -> Box:
        x, y = self.points[0::2], self.points[1::2]
        return Box(min(x), min(y), max(x), max(y), self.where)


@dataclass(frozen=True)
class Region:
    """The region of the object in an image: the union of boxes, polygons and a mask.

    Args:
        boxes, polygons: in pixels of the upright image.
        mask: an image file of the same size, nonzero at the object.
        size: width and height of the image according to the annotations, if they give it.
    """

    boxes: tuple[Box, ...] = ()
    polygons: tuple[Polygon, ...] = ()
    mask: Path | None = None
    size: tuple[int, int] | None = None

    def on(self, width: int, height: int) -> Region:
        """Checks the region against the size of its image, and clips the boxes to it.

        Raises: ValueError naming file and line, if the region does not fit the image.
        """
        if self.size is not None and self.size != (width, height):
            where = self.boxes[0].where if self.boxes else self.polygons[0].where
            given = f"{quoted(self.size[0])}×{quoted(self.size[1])}"
            raise ValueError(f"{where}: the annotations give {given}, and the image has {width}×{height}")
        if self.mask is not None:
            rows, columns = _mask(self.mask).shape
            if (columns, rows) != (width, height):
                raise ValueError(f"{shown(self.mask)}: the mask has {columns}×{rows}, and its image {width}×{height}")
        for polygon in self.polygons:
            polygon.box.clipped(width, height)
        return replace(self, boxes=tuple(box.clipped(width, height) for box in self.boxes))

    def content(self) -> bytes:
        """The bytes by which two regions are compared: coordinates, and the file of the mask."""
        boxes = [(box.x0, box.y0, box.x1, box.y1) for box in self.boxes]
        mask = b"" if self.mask is None else self.mask.read_bytes()
        return repr((boxes, [polygon.points for polygon in self.polygons], self.size, len(mask))).encode() + mask

    def draw(self, fit: Fit) -> Tensor | None:
        """Renders the region in the square that `fit` makes from the image: bool `S S`; None if it is cropped away.

        A pixel belongs to the region if at least half of it is covered; if no pixel is, the pixels covered most belong
        to it.
        """
        cover = np.zeros((fit.size, fit.size), np.float32)
        for box in self.boxes:
            (left, top), (right, bottom) = fit.point(box.x0, box.y0), fit.point(box.x1, box.y1)
            cover = np.maximum(cover, np.outer(_overlap(top, bottom, fit.size), _overlap(left, right, fit.size)))
        if self.polygons:
            cover = np.maximum(cover, self._filled(fit))
        if self.mask is not None:
            mask = Image.fromarray(_mask(self.mask).astype(np.uint8) * 255)
            cover = np.maximum(cover, np.asarray(fit.resize(mask), np.float32) / 255)
        most = float(cover.max())
        return torch.from_numpy(cover >= min(most, 0.5)) if most > 0 else None

    def _filled(self, fit: Fit) -> np.ndarray:
        canvas = Image.new("L", (fit.size * FINER, fit.size * FINER))
        pen = ImageDraw.Draw(canvas)
        for polygon in self.polygons:
            corners = [fit.point(x, y) for x, y in zip(polygon.points[0::2], polygon.points[1::2], strict=True)]
            # Pillow's coordinates start at the centre of the first pixel, not at its edge.
            pen.polygon([(x * FINER - 0.5, y * FINER - 0.5) for x, y in corners], fill=255)
        return np.asarray(canvas.reduce(FINER), np.float32) / 255


def filled(box: tuple[int, int, int, int], size: int) -> Tensor:
    """The mask of a box (left, top, right, bottom in whole pixels, the last two exclusive): bool `S S`."""
    left, top, right, bottom = box
    region = torch.zeros(size, size, dtype=torch.bool)
    region[top:bottom, left:right] = True
    return region


def _mask(path: Path) -> np.ndarray:
    try:
        with quiet():
            return read_mask(path)
    except UnreadableImage as error:
        raise ValueError(f"the mask {error}") from error


def _overlap(start: float, end: float, size: int) -> NDArray[np.float32]:
    """The share of each pixel 0…size-1 that is between `start` and `end`."""
    left = np.arange(size)
    share: NDArray[np.float32] = np.clip(np.minimum(end, left + 1) - np.maximum(start, left), 0, 1).astype(np.float32)
    return share
