"""COCO's own folders: the images of each part and `annotations/instances_*.json`, with polygons and run-length masks.

    annotations/instances_train2017.json, train2017/ (or images/train2017/)       the training images
    annotations/instances_val2017.json, val2017/ (or images/val2017/)             the validation images

A run-length mask counts pixels column by column, first those outside the object; its counts are a list, or a text of
six bits a character: five of the number, and one for a further character. From the fourth on, a text holds the
difference to the count before the last. The library of COCO is not used: it is written in C, and a damaged file could
end the process.

Microsoft COCO: Common Objects in Context. Lin et al. ECCV 2014, arXiv:1405.0312.
Official code: cocodataset/cocoapi, `common/maskApi.c`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from regard.data.images import PIXEL_LIMIT, shown
from regard.data.region_files import listed, numbers
from regard.data.texts import parsed, quoted

HALVES = ("train", "val")
FINER = 4  # polygons are drawn on a grid this many times finer; a pixel belongs to one if half of it is covered

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Part:
    """The images of one part, and their annotations.

    Args:
        images: the folder of the images.
        instances: the file of the annotations.
    """

    images: Path
    instances: Path


@dataclass
class Outlines:
    """The outlines of all objects of an image.

    Args:
        width, height: the size of the image, in pixels.
        where: the file of the annotations and the image, for messages.
        polygons: x0, y0, x1, y1, … in pixels.
        runs: the counts of each run-length mask.
    """

    width: int
    height: int
    where: str
    polygons: list[Sequence[float]] = field(default_factory=list)
    runs: list[Sequence[int]] = field(default_factory=list)

    def mask(self) -> Mask:
        """The pixels that belong to any object, bool `H W`."""
        inside = np.zeros((self.height, self.width), np.bool_)
        for counts in self.runs:
            inside |= run_mask(counts, self.height, self.width)
        if self.polygons:
            flat = [(points[0::2], points[1::2]) for points in self.polygons]
            left, right = _span([x for xs, _ in flat for x in xs], self.width)
            top, bottom = _span([y for _, ys in flat for y in ys], self.height)
            canvas = Image.new("L", ((right - left) * FINER, (bottom - top) * FINER))
            pen = ImageDraw.Draw(canvas)
            for xs, ys in flat:
                # Pillow's coordinates start at the centre of the first pixel, not at its edge.
                corners = [((x - left) * FINER - 0.5, (y - top) * FINER - 0.5) for x, y in zip(xs, ys, strict=True)]
                pen.polygon(corners, fill=255)
            inside[top:bottom, left:right] |= np.asarray(canvas.reduce(FINER)) >= 128
        return inside


def parts(folder: Path) -> list[Part]:
    """The parts of a folder in COCO's layout, training images first; empty for a folder of another layout.

    Raises: ValueError if a part has several files of annotations, or no folder of images.
    """
    found = []
    for half in HALVES:
        files = sorted((folder / "annotations").glob(f"instances_{half}*.json"))
        if not files:
            continue
        if len(files) > 1:
            names = " and ".join(path.name for path in files)
            raise ValueError(f"{shown(files[0].parent)} has {names}: one file instances_{half}*.json is needed")
        name = files[0].stem.removeprefix("instances_")
        places = [place for place in (folder / name, folder / "images" / name) if place.is_dir()]
        if not places:
            raise ValueError(f"{shown(folder)}: {shown(files[0].name)} needs the folder of its images, {name}/")
        found.append(Part(places[0], files[0]))
    return found


def outlined(part: Part) -> list[tuple[Path, Outlines]]:
    """The images of a part that have objects, sorted by name, with the outlines of all of them, crowds too.

    Raises: ValueError if the annotations are malformed, or name none of the images; OSError if they cannot be read.
    """
    where = shown(part.instances)
    content = parsed(part.instances)
    if not isinstance(content, dict):
        raise ValueError(f"{where}: COCO annotations need an object with images and annotations")
    there = {path.name: path for path in sorted(part.images.iterdir())}
    images: dict[Any, tuple[str, Outlines]] = {}
    for position, image in enumerate(listed(content, "images", part.instances)):
        name, size = image.get("file_name"), stated_size(image)
        if not isinstance(image.get("id"), int | str) or not isinstance(name, str) or size is None:
            raise ValueError(f"{where} images[{position}]: an image needs id, file_name, width and height")
        if Path(name).name in there:
            images[image["id"]] = Path(name).name, Outlines(*size, f"{where}, {shown(name)}")
    known = {image.get("id") for image in content["images"] if isinstance(image.get("id"), int | str)}
    for position, annotation in enumerate(listed(content, "annotations", part.instances)):
        number = annotation.get("image_id")
        if not isinstance(number, int | str) or number not in known:
            raise ValueError(f"{where} annotations[{position}]: no image has the id {quoted(number)}")
        if number in images:
            add_outline(images[number][1], annotation, f"{where} annotations[{position}]")
    found = {name: outlines for name, outlines in images.values() if outlines.polygons or outlines.runs}
    if not found:
        raise ValueError(f"{where} has outlines for none of the {len(there)} images in {shown(part.images)}")
    return [(there[name], found[name]) for name in sorted(found)]


def add_outline(outlines: Outlines, annotation: Mapping[str, Any], where: str) -> None:
    """Adds the polygons or the run-length mask of an annotation. Raises: ValueError if it is malformed."""
    given = annotation.get("segmentation")
    if isinstance(given, list):
        for points in given:
            if not numbers(points) or len(points) < 6 or len(points) % 2:
                raise ValueError(f"{where}: a polygon needs three points or more, as a list x0, y0, x1, y1, …")
            for ends, side in ((points[0::2], outlines.width), (points[1::2], outlines.height)):
                if min(ends) < -side or max(ends) > 2 * side:
                    raise ValueError(f"{where}: a polygon is far outside its image of {side} pixels")
            outlines.polygons.append(points)
        return
    if not isinstance(given, dict) or given.get("size") != [outlines.height, outlines.width]:
        size = f"[{outlines.height}, {outlines.width}]"
        raise ValueError(f"{where}: a segmentation needs polygons, or counts and the size {size} of its image")
    counts = given.get("counts")
    if isinstance(counts, str):
        counts = unpacked(counts, where)
    if not isinstance(counts, list) or not all(
        isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in counts
    ):
        raise ValueError(f"{where}: counts need whole numbers of at least 0, or a text")
    if sum(counts) != outlines.height * outlines.width:
        raise ValueError(f"{where}: counts of {sum(counts)} pixels; {outlines.height * outlines.width} are needed")
    outlines.runs.append(counts)


def unpacked(text: str, where: str) -> list[int]:
    """The counts of a run-length mask that is written as text. Raises: ValueError if it is damaged."""
    counts: list[int] = []
    number = bits = 0
    for letter in text:
        value = ord(letter) - 48
        if not 0 <= value < 64 or bits > 30:
            raise ValueError(f"{where}: the text of a run-length mask is damaged")
        number |= (value & 31) << bits
        bits += 5
        if value & 32:
            continue
        if value & 16:
            number -= 1 << bits
        counts.append(number + (counts[-2] if len(counts) > 2 else 0))
        number = bits = 0
    if bits:
        raise ValueError(f"{where}: the text of a run-length mask is cut short")
    return counts


def run_mask(counts: Sequence[int], height: int, width: int) -> Mask:
    """The mask of run lengths that together are all pixels, column by column: bool `H W`."""
    inside = np.arange(len(counts)) % 2 == 1
    return np.repeat(inside, counts).reshape(width, height).T


def _span(ends: Sequence[float], side: int) -> tuple[int, int]:
    """The first and, exclusive, the last of the pixels between coordinates: at least one, inside the image."""
    first = min(max(math.floor(min(ends)) - 1, 0), side - 1)
    return first, max(min(math.ceil(max(ends)) + 1, side), first + 1)


def stated_size(image: Mapping[str, Any]) -> tuple[int, int] | None:
    """Width and height; None if they are not given, or too large."""
    width, height = image.get("width"), image.get("height")
    if not isinstance(width, int) or not isinstance(height, int) or min(width, height) < 1:
        return None
    return (width, height) if width * height <= PIXEL_LIMIT else None
