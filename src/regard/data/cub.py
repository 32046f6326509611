"""Datasets in the layout of CUB-200-2011 (Wah et al. 2011): lists of images, classes, splits and boxes.

    images.txt               1 001.Black_footed_Albatross/Black_Footed_Albatross_0046_18.jpg      below images/
    image_class_labels.txt   1 1                        image, class
    classes.txt              1 001.Black_footed_Albatross
    train_test_split.txt     1 0                        image, 1 for training and 0 for testing
    bounding_boxes.txt       1 60.0 27.0 325.0 304.0    image, left, top, width, height in pixels; may be missing

Stanford Dogs, Cars and others are often distributed in the same layout; `dogs`, `cars` and `aircraft` read their own.
Nothing is written into the folder.
"""

from __future__ import annotations

import math
from pathlib import Path

from regard.data import ImageSet
from regard.data.images import shown
from regard.data.layout import Photo
from regard.data.lists import assembled
from regard.data.regions import Box, Region
from regard.data.texts import QUOTED, quoted, text

WANTED = "images.txt, image_class_labels.txt, classes.txt, train_test_split.txt and images/"
BOXES = "bounding_boxes.txt"


def found(root: Path) -> bool:
    """Whether a folder has the layout of CUB-200-2011."""
    return (root / "images.txt").is_file() and (root / "train_test_split.txt").is_file()


def load(root: Path, *, image_size: int = 448) -> ImageSet:
    """Loads the middle square of every image, with the image's box as its region.

    Files that cannot be read are left out and listed in `skipped`.

    Args:
        root: the folder.
        image_size: output height and width, in pixels.

    Raises: FileNotFoundError if a list is missing; ValueError for a malformed line, an image without a class or a
        split, a box outside its image, or a class without training or test images.
    """
    names = _table(root / "images.txt", 1)
    classes = {key: row[0] for key, row in _table(root / "classes.txt", 1).items()}
    labels = _table(root / "image_class_labels.txt", 1)
    halves = _table(root / "train_test_split.txt", 1)
    boxes = _table(root / BOXES, 4) if (root / BOXES).exists() else {}
    photos: tuple[list[Photo], list[Photo]] = ([], [])
    regions = {}
    for key, (name,) in names.items():
        kind = _of(labels, key, root / "image_class_labels.txt")
        if kind not in classes:
            raise ValueError(f"{shown(root / 'classes.txt')}: class {kind[:QUOTED]} of image {key[:QUOTED]} is missing")
        half = _of(halves, key, root / "train_test_split.txt")
        if half not in ("0", "1"):
            raise ValueError(
                f"{shown(root / 'train_test_split.txt')}: image {key[:QUOTED]} has {quoted(half)}; 1 or 0 is needed"
            )
        photos[half == "0"].append(Photo(root / "images" / name, name, classes[kind]))
        if key in boxes:
            regions[name] = _region(boxes[key], f"{shown(root / BOXES)}, image {key[:QUOTED]}")
    sources = (shown(root / BOXES),) if boxes else ()
    return assembled(root, photos, list(classes.values()), regions, image_size=image_size, sources=sources)


def _table(path: Path, columns: int) -> dict[str, list[str]]:
    """Reads a list: the number at the start of each line -> the `columns` values after it."""
    if not path.is_file():
        raise FileNotFoundError(f"no file {shown(path)}: the layout of CUB-200-2011, {WANTED}, is needed")
    rows: dict[str, list[str]] = {}
    for number, line in enumerate(text(path).splitlines(), 1):
        if not line.strip():
            continue
        key, *row = line.split(maxsplit=columns)
        if len(row) != columns or not key.isdigit() or key in rows:
            wanted = f"a number not used before and {columns} value{'s' if columns > 1 else ''}"
            raise ValueError(f"{shown(path)}, line {number}: {wanted} are needed, not {quoted(line)}")
        rows[key] = [value.strip() for value in row]
    if not rows:
        raise ValueError(f"{shown(path)} is empty")
    return rows


def _of(table: dict[str, list[str]], key: str, path: Path) -> str:
    if key not in table:
        raise ValueError(f"{shown(path)}: a line for image {key[:QUOTED]} of images.txt is missing")
    return table[key][0]


def _region(row: list[str], where: str) -> Region:
    try:
        left, top, width, height = (float(value) for value in row)
    except ValueError:
        left = top = width = height = math.nan
    if not (math.isfinite(left + top) and 0 < width < math.inf and 0 < height < math.inf):
        raise ValueError(f"{where}: left, top, width and height in pixels are needed, not {quoted(' '.join(row))}")
    return Region((Box(left, top, left + width, top + height, where),))
