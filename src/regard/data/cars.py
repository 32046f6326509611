"""Stanford Cars in its published layouts: photographs of 196 makes and models of cars.

3D Object Representations for Fine-Grained Categorization. Krause, Stark, Deng, Fei-Fei. ICCV Workshops 2013.

    cars_train/, cars_test/                        the images
    devkit/cars_meta.mat                           class_names
    devkit/cars_train_annos.mat                    annotations: bbox_x1, bbox_y1, bbox_x2, bbox_y2, class, fname
    cars_test_annos_withlabels.mat                 the same for the test images, here or in devkit/

    car_ims/                                       all images, as published later
    cars_annos.mat                                 class_names; annotations with relative_im_path and test, too

Pixels and classes are counted from 1 in these files. Nothing is written into the folder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from regard.data import ImageSet, matlab
from regard.data.images import shown
from regard.data.layout import Photo
from regard.data.lists import assembled, inclusive
from regard.data.regions import Region
from regard.data.texts import quoted

WANTED = "cars_train/, cars_test/, devkit/cars_train_annos.mat and cars_test_annos_withlabels.mat"
TEST = "cars_test_annos_withlabels.mat"
ENDS = ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2")


def found(root: Path) -> bool:
    """Whether a folder has one of the layouts of Stanford Cars."""
    return (root / "devkit" / "cars_train_annos.mat").is_file() or (root / "cars_annos.mat").is_file()


def load(root: Path, *, image_size: int = 448) -> ImageSet:
    """Loads the middle square of every image, with the car's box as its region.

    Files that cannot be read are left out and listed in `skipped`.

    Args:
        root: the folder.
        image_size: output height and width, in pixels.

    Raises: FileNotFoundError if a list is missing; ValueError for a damaged list, a class without a name, a box outside
        its image, or a class without training or test images.
    """
    if (root / "cars_annos.mat").is_file():
        table = root / "cars_annos.mat"
        content = matlab_file(table)
        names = _names(content, table)
        rows = [(_row(row, names, table, "relative_im_path"), _number(row, "test", table)) for row in _rows(content)]
        parts = [[row for row, tested in rows if (tested != 0) == half] for half in (False, True)]
        tables = [table]
    else:
        names = _names(matlab_file(root / "devkit" / "cars_meta.mat"), root / "devkit" / "cars_meta.mat")
        tested = next((path for path in (root / TEST, root / "devkit" / TEST) if path.is_file()), root / TEST)
        tables = [root / "devkit" / "cars_train_annos.mat", tested]
        parts = [
            [_row(row, names, table, "fname", folder) for row in _rows(matlab_file(table))]
            for table, folder in zip(tables, ("cars_train", "cars_test"), strict=True)
        ]
    photos = [[Photo(root / name, name, label) for name, label, _ in part] for part in parts]
    regions = {name: region for part in parts for name, _, region in part}
    sources = [shown(table) for table in tables]
    return assembled(root, photos, names, regions, image_size=image_size, sources=sources)


def matlab_file(path: Path) -> dict[str, Any]:
    """The variables of a MATLAB file. Raises: FileNotFoundError, or ValueError with the path of a damaged file."""
    if not path.is_file():
        raise FileNotFoundError(f"no file {shown(path)}, which belongs to the published dataset")
    try:
        return matlab.read(path)
    except ValueError as error:
        raise ValueError(f"{shown(path)}: {error}") from error


def _names(content: Mapping[str, Any], table: Path) -> list[str]:
    names = content.get("class_names")
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{shown(table)}: a cell class_names with the names of the classes is needed")
    return names


def _rows(content: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    rows = content.get("annotations")
    if isinstance(rows, dict):
        return [rows]
    return rows if isinstance(rows, list) and all(isinstance(row, dict) for row in rows) else []


def _row(
    row: Mapping[str, Any], names: Sequence[str], table: Path, field: str, folder: str = ""
) -> tuple[str, str, Region]:
    """The name of the file, its class, and the region of the car."""
    name = row.get(field)
    if not isinstance(name, str) or not name:
        raise ValueError(f"{shown(table)}: an annotation without a text {field}")
    number = _number(row, "class", table)
    if number not in range(1, len(names) + 1):
        raise ValueError(f"{shown(table)}: class {number:g} of {quoted(name)} is missing among {len(names)} names")
    where = f"{shown(table)}, {quoted(name)}"
    box = inclusive([_number(row, end, table) for end in ENDS], where)
    return (f"{folder}/{name}" if folder else name), names[int(number) - 1], Region((box,))


def _number(row: Mapping[str, Any], field: str, table: Path) -> float:
    value = row.get(field)
    if not isinstance(value, np.ndarray) or value.size != 1:
        raise ValueError(f"{shown(table)}: an annotation without a number {field}; {WANTED} are needed")
    return float(value.item())
