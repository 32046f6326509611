"""Reading the regions of objects from the user's files: boxes in a CSV file, COCO annotations, or masks.

Every format gives a `Region` for each image file; docs/data.md describes the formats.
"""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from regard.data.dividing import TEST, TRAIN
from regard.data.images import shown
from regard.data.regions import Box, Polygon, Region
from regard.data.texts import parsed, quoted

USUAL = ("boxes.csv", "annotations.json", "_annotations.coco.json", "masks")
COLUMNS = ("file", "x0", "y0", "x1", "y1")
MASK_SUFFIXES = (".png", ".bmp", ".tif", ".tiff", ".gif")


class Names:
    """Finds images by path, by the end of the path, or by file name if it is unique.

    Args:
        files: path relative to the dataset, with forward slashes -> class.
        stems: compare without suffixes, as masks need it.
    """

    def __init__(self, files: Mapping[str, str], *, stems: bool = False) -> None:
        self.stems = stems
        self.folders = {part for file in files for part in PurePosixPath(file).parts[:-1]} | {*TRAIN, *TEST}
        self.by_end: dict[str, list[str]] = defaultdict(list)
        for file in files:
            for end in self._ends(file):
                self.by_end[end].append(file)

    def find(self, name: str, where: str) -> str | None:
        """The image of a name; None if there is none. Raises: ValueError if several images match."""
        for end in self._ends(name.strip().replace("\\", "/")):
            found = self.by_end.get(end, [])
            if len(found) > 1:
                raise ValueError(
                    f"{where}: {quoted(name)} matches {shown(found[0])} and {shown(found[1])}; give more of the path"
                )
            if found:
                return found[0]
            # Leading folders may be those of another machine, but val/cat/1.jpg must not match train/cat/1.jpg.
            if end.partition("/")[0] in self.folders:
                return None
        return None

    def _ends(self, name: str) -> list[str]:
        path = PurePosixPath(name)
        parts = (path.with_suffix("") if self.stems and path.name else path).parts
        return ["/".join(parts[start:]) for start in range(len(parts))]


def find(folders: Sequence[Path], without: Collection[Path] = ()) -> list[Path]:
    """Finds the region files of the usual names in these folders.

    Args:
        folders: the folders to search.
        without: paths to ignore, as those of a class.

    Raises: ValueError if one folder has several region files.
    """
    found = []
    for folder in folders:
        here = [folder / name for name in USUAL if (folder / name).exists() and folder / name not in without]
        if len(here) > 1:
            raise ValueError(f"{shown(folder)} has {' and '.join(path.name for path in here)}: choose one by regions=")
        found += here
    return found


def read(path: Path, files: Mapping[str, str]) -> tuple[dict[str, Region], list[str]]:
    """Reads regions from a CSV file, a COCO JSON file or a folder of masks.

    Args:
        path: the file or folder.
        files: the images: path relative to the dataset -> class.

    Returns: the region of each image, and the names that match no image.
    Raises: ValueError if the file is malformed, naming file and line, or if it names none of the images; OSError if it
        cannot be read.
    """
    if not path.exists():
        raise FileNotFoundError(f"regions={shown(path)!r}: there is no such file or folder")
    if path.is_dir():
        regions, unmatched = _masks(path, files)
    elif path.suffix.lower() == ".csv":
        regions, unmatched = _csv(path, Names(files))
    elif path.suffix.lower() == ".json":
        regions, unmatched = _coco(path, Names(files), files)
    else:
        raise ValueError(f"{shown(path)}: boxes (.csv), COCO annotations (.json) or a folder of masks are needed")
    if not regions:
        example = f", for example {quoted(unmatched[0])}" if unmatched else ""
        raise ValueError(f"{shown(path)} names none of the {len(files)} images{example}")
    return regions, unmatched


def _csv(path: Path, names: Names) -> tuple[dict[str, Region], list[str]]:
    boxes: dict[str, list[Box]] = defaultdict(list)
    unmatched: dict[str, None] = {}
    for where, row in _rows(path):
        try:
            x0, y0, x1, y1 = (float(row[column]) for column in COLUMNS[1:])
        except ValueError:
            raise ValueError(f"{where}: numbers x0, y0, x1, y1 are needed, not {_said(row)}") from None
        if not all(map(math.isfinite, (x0, y0, x1, y1))) or x0 >= x1 or y0 >= y1:
            raise ValueError(f"{where}: finite x0 < x1 and y0 < y1 are needed, not {_said(row)}")
        file = names.find(row["file"], where)
        if file is None:
            unmatched[row["file"]] = None
        else:
            boxes[file].append(Box(x0, y0, x1, y1, where))
    return {file: Region(boxes=tuple(found)) for file, found in boxes.items()}, list(unmatched)


def _rows(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """The rows of a CSV file: file and line, and the values by column."""
    try:
        # utf-8-sig: spreadsheets put a byte order mark in front.
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.reader(stream, strict=True)
            header = [column.strip().lower() for column in next(reader, [])]
            if not set(COLUMNS) <= set(header):
                raise ValueError(
                    f"{shown(path)} line 1: the header {','.join(COLUMNS)} is needed, not {quoted(','.join(header))}"
                )
            for row in reader:
                where = f"{shown(path)} line {reader.line_num}"
                if not any(field.strip() for field in row):
                    continue
                if len(row) != len(header):
                    raise ValueError(f"{where}: {len(row)} fields; {len(header)}, as in the header, are needed")
                yield where, dict(zip(header, row, strict=True))
    except UnicodeDecodeError as error:
        raise ValueError(f"{shown(path)} is not UTF-8 text: {error.reason} at byte {error.start}") from None
    except csv.Error as error:
        raise ValueError(f"{shown(path)} line {reader.line_num}: {error}") from None


def _said(row: Mapping[str, str]) -> str:
    return ", ".join(f"{column}={quoted(row[column])}" for column in COLUMNS[1:])


def _coco(path: Path, names: Names, classes: Mapping[str, str]) -> tuple[dict[str, Region], list[str]]:
    content = parsed(path)
    if not isinstance(content, dict):
        raise ValueError(f"{shown(path)}: COCO annotations need an object with images and annotations")
    images: dict[Any, tuple[str | None, tuple[int, int] | None]] = {}
    unmatched: dict[str, None] = {}
    for position, image in enumerate(listed(content, "images", path)):
        where = f"{shown(path)} images[{position}]"
        if not isinstance(image.get("id"), int | str) or not isinstance(image.get("file_name"), str):
            raise ValueError(f"{where}: an image needs an id and a file_name")
        if image["id"] in images:
            raise ValueError(f"{where}: the id {quoted(image['id'])} occurs twice; unique ids are needed")
        file = names.find(image["file_name"], where)
        if file is None:
            unmatched[image["file_name"]] = None
        width, height = image.get("width"), image.get("height")
        images[image["id"]] = file, (width, height) if width and height else None
    categories = {
        _id(category, "id"): str(category.get("name")) for category in listed(content, "categories", path, needed=False)
    }
    regions: dict[str, Region] = {}
    for position, annotation in enumerate(listed(content, "annotations", path)):
        where = f"{shown(path)} annotations[{position}]"
        if _id(annotation, "image_id") not in images:
            raise ValueError(f"{where}: no image has the id {quoted(annotation.get('image_id'))}")
        file, size = images[annotation["image_id"]]
        if file is None or annotation.get("iscrowd"):
            continue
        # An annotation of another category is not the object, where the categories are the classes.
        if classes[file] in categories.values() and categories.get(_id(annotation, "category_id")) != classes[file]:
            continue
        boxes, polygons = _outline(annotation, where)
        old = regions.get(file, Region(size=size))
        regions[file] = replace(old, boxes=old.boxes + boxes, polygons=old.polygons + polygons)
    return regions, list(unmatched)


def _id(item: Mapping[str, Any], key: str) -> int | str | None:
    """The identifier under a key; None if it is neither a number nor a text."""
    return item[key] if isinstance(item.get(key), int | str) else None


def listed(content: Mapping[str, Any], key: str, path: Path, *, needed: bool = True) -> list[dict[str, Any]]:
    """The objects in a list of COCO annotations. Raises: ValueError if there is none, or it holds something else."""
    found = content.get(key, None if needed else [])
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise ValueError(f"{shown(path)}: COCO annotations need {key!r}, a list of objects")
    return found


def _outline(annotation: Mapping[str, Any], where: str) -> tuple[tuple[Box, ...], tuple[Polygon, ...]]:
    """The polygons of an annotation, or its box if it has no polygons (or a run-length mask)."""
    outlines = annotation.get("segmentation")
    if isinstance(outlines, list) and outlines:
        if not all(numbers(points) and len(points) >= 6 and len(points) % 2 == 0 for points in outlines):
            raise ValueError(
                f"{where}: polygons of a segmentation need at least three points, as a list x0, y0, x1, y1, …"
            )
        return (), tuple(Polygon(tuple(map(float, points)), where) for points in outlines)
    box = annotation.get("bbox", [])
    if not numbers(box) or len(box) != 4 or box[2] <= 0 or box[3] <= 0:
        raise ValueError(
            f"{where}: polygons, or a bbox of x, y, width, height, the last two above 0, are needed, not {quoted(box)}"
        )
    x, y, width, height = map(float, box)
    return (Box(x, y, x + width, y + height, where),), ()


def numbers(values: Any) -> bool:
    """Whether it is a list of finite numbers."""
    return isinstance(values, list) and all(
        isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) for value in values
    )


def _masks(folder: Path, files: Mapping[str, str]) -> tuple[dict[str, Region], list[str]]:
    names = Names(files, stems=True)
    regions: dict[str, Region] = {}
    unmatched = []
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in MASK_SUFFIXES or path.name.startswith(".") or not path.is_file():
            continue
        name = path.relative_to(folder).as_posix()
        file = names.find(name, shown(folder))
        if file is None:
            unmatched.append(name)
        elif file in regions:
            raise ValueError(
                f"{shown(path)} and {shown(regions[file].mask or '')}: one mask for {shown(file)} is needed"
            )
        else:
            regions[file] = Region(mask=path)
    return regions, unmatched
