"""The gallery of the report: test images with the heat maps and the prediction of each row."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from regard.report import SPATIAL_MAP, Row
from regard.report.looks import Look
from regard.report.numbers import percent
from regard.saved.arrays import read as read_arrays
from regard.viewing.colours import scale
from regard.viewing.painting import EVEN, png
from regard.viewing.scaling import span

MAP_SIDE = 80  # pixels; the browser interpolates a smooth map further
BUDGET = 3 << 20  # bytes of all maps, about; of many maps each is smaller
SMALL = 128  # pixels; smaller images stay exact, larger ones become JPEG
PHOTO_SIDE = 384  # pixels; larger images are reduced
FAINT = 0.1  # a map whose range is a smaller part of its mean is nearly even: stretched to all colours it would mislead
MAPS = ("map", "gradcam", "backbone")  # of a row, as a comparison names them in the file

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Heat:
    """A heat map.

    Args:
        address: of the image.
        range: of its values, in words.
        faint: whether it is nearly even, so that it is drawn faintly.
    """

    address: str
    range: str
    faint: bool = False


@dataclass(frozen=True)
class Tile:
    """One image under one row.

    Args:
        look: of the row.
        gradcam: its Grad-CAM map; None if the file has none.
        own: the mechanism's own spatial map; None without one.
        backbone: the map of the attention that the backbone has by itself; None without any.
        answer: the class that the row's model says; empty where the task has no classes, as `confidence`.
        confidence: in percent.
        right: whether the answer is the image's class; None without an answer.
        labels: address of the label map that the row's model gives; empty without one.
        score: of this image, in percent, of a row with a label map.
    """

    look: Look
    gradcam: Heat | None
    own: Heat | None
    backbone: Heat | None
    answer: str
    confidence: str
    right: bool | None
    labels: str = ""
    score: str = ""


@dataclass(frozen=True)
class Shot:
    """One test image; its label is empty where the task has no classes, its name where the file has none, `truth`, the
    address of its label map, where it has none.
    """

    number: int
    name: str
    width: int
    height: int
    photograph: str
    outline: str
    label: str
    tiles: tuple[Tile, ...]
    truth: str = ""

    @property
    def disputed(self) -> bool:
        """Whether some rows are right and others wrong."""
        return len({tile.right for tile in self.tiles}) > 1


def shots(path: Path | None, rows: Sequence[Row], looks: dict[str, Look], classes: Sequence[str]) -> list[Shot]:
    """The images of a gallery file with the tiles of these rows; empty if there is no file.

    Raises: ValueError if the file is not a gallery; OSError if it cannot be read.
    """
    if path is None or not Path(path).exists():
        return []
    try:
        arrays = read_arrays(Path(path).read_bytes())
        images, regions, known, labels = (arrays[name] for name in ("images", "regions", "has_region", "labels"))
    except (KeyError, ValueError) as error:
        raise ValueError(f"{path} is no gallery of a comparison: {error}") from error
    drawn = tuple(f"{kind}." for kind in (*MAPS, "labels"))
    side = _side(len(images) * sum(name.startswith(drawn) for name in arrays))
    found = []
    for index, image in enumerate(images):
        tiles = []
        for row in rows:
            name = row.name
            if f"map.{name}" not in arrays:
                continue
            known_answer = f"prediction.{name}" in arrays
            answer = int(arrays[f"prediction.{name}"][index]) if known_answer else -1
            first, second, third = (_heat(arrays, kind, name, index, side) for kind in MAPS)
            tiles.append(
                Tile(
                    looks[name],
                    second if row.through == SPATIAL_MAP else first,
                    first if row.through == SPATIAL_MAP else None,
                    third,
                    _named(classes, answer) if known_answer else "",
                    percent(float(arrays[f"confidence.{name}"][index]), 0) if known_answer else "",
                    answer == int(labels[index]) if known_answer else None,
                    _labels(arrays, f"labels.{name}", index, side),
                    _score(arrays, f"share.{name}", index),
                )
            )
        height, width = image.shape[:2]
        edge = outline(regions[index]) if known[index] and regions[index].any() else ""
        label = _named(classes, int(labels[index])) if labels[index] >= 0 else ""
        name = str(arrays["names"][index]) if "names" in arrays else ""
        found.append(
            Shot(
                index + 1,
                name,
                width,
                height,
                _photograph(image),
                edge,
                label,
                tuple(tiles),
                _labels(arrays, "truths", index, side),
            )
        )
    return found


def _side(maps: int) -> int:
    """The longest side of a map, so that all of them stay within the budget; a value takes about a byte."""
    return max(16, min(MAP_SIDE, math.isqrt(BUDGET // max(1, maps))))


def _heat(arrays: Arrays, kind: str, row: str, index: int, side: int) -> Heat | None:
    """A map with its range in multiples of its mean, since every map is stretched to all colours."""
    if f"{kind}.{row}" not in arrays:
        return None
    map, ranges = arrays[f"{kind}.{row}"][index], arrays.get(f"{kind}_range.{row}")
    address = _uri(_map_png(map, side), "png")
    if np.ptp(map) == 0:
        return Heat(address, "even", faint=True)
    if ranges is None:
        return Heat(address, "")
    low, high = (float(end) for end in ranges[index])
    faint = high - low < FAINT
    return Heat(address, f"{'nearly even: ' if faint else ''}{span(low, high)} × its mean", faint)


def legend(path: Path | None, classes: Sequence[str]) -> list[tuple[str, str]]:
    """The names of the classes and their colours in the label maps of a gallery file; empty without label maps."""
    if path is None or not Path(path).exists():
        return []
    colours = read_arrays(Path(path).read_bytes()).get("colours")
    return (
        [] if colours is None else [(str(name), f"rgb{tuple(colours[i].tolist())}") for i, name in enumerate(classes)]
    )


def _labels(arrays: Arrays, key: str, index: int, side: int) -> str:
    """The address of a label map in the colours of the classes, void in white; empty if there is none."""
    if key not in arrays:
        return ""
    picture = Image.fromarray(np.ascontiguousarray(arrays[key][index]))
    if max(picture.size) > side:
        factor = side / max(picture.size)
        picture = picture.resize((max(1, round(picture.width * factor)), max(1, round(picture.height * factor))))
    palette = np.full((256, 3), 255, np.uint8)
    palette[: len(arrays["colours"])] = arrays["colours"]
    picture.putpalette(palette.tobytes())
    return _uri(png(picture), "png")


def _score(arrays: Arrays, key: str, index: int) -> str:
    return percent(float(arrays[key][index]), 0) if key in arrays else ""


def _named(classes: Sequence[str], index: int) -> str:
    return str(classes[index]) if 0 <= index < len(classes) else f"class {index}"


def _map_png(map: NDArray[np.float32], side: int) -> bytes:
    """The map as a PNG with the colours of the scale as its palette, its longer side at most `side` pixels."""
    level = Image.fromarray(np.nan_to_num(map.astype(np.float32), nan=0.0, posinf=1.0, neginf=0.0))
    if max(level.size) > side:
        level.thumbnail((side, side), Image.Resampling.BOX)
    values = np.asarray(level)
    low, high = float(values.min()), float(values.max())
    share = (values - low) / (high - low) if high > low else np.full_like(values, 0.5)
    picture = Image.fromarray((255 * share).round().astype(np.uint8))
    picture.putpalette(scale().tobytes() if high > low else bytes(EVEN) * 256)
    return png(picture)


def _photograph(image: NDArray[np.uint8]) -> str:
    picture = Image.fromarray(np.ascontiguousarray(image))
    if max(picture.size) <= SMALL:
        return _uri(png(picture), "png")
    picture.thumbnail((PHOTO_SIDE, PHOTO_SIDE))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=86)
    return _uri(file.getvalue(), "jpeg")


def _uri(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"


def outline(region: NDArray[np.bool_]) -> str:
    """SVG path along the edges between the inside and the outside of a region.

    Shapes: region `H W`, bool.
    """
    height, width = region.shape
    inside = [[False] * (width + 2), *([False, *map(bool, row), False] for row in region), [False] * (width + 2)]
    parts = []
    for row in range(height + 1):  # horizontal edges, below padded row `row`
        start = None
        for column in range(width + 2):
            edge = column <= width and inside[row][column] != inside[row + 1][column]
            if edge and start is None:
                start = column
            elif not edge and start is not None:
                parts.append(f"M{start - 1},{row}H{column - 1}")
                start = None
    for column in range(width + 1):
        start = None
        for row in range(height + 2):
            edge = row <= height and inside[row][column] != inside[row][column + 1]
            if edge and start is None:
                start = row
            elif not edge and start is not None:
                parts.append(f"M{column},{start - 1}V{row - 1}")
                start = None
    return "".join(parts)
