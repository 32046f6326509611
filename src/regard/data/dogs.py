"""Stanford Dogs in its published layout: photographs of 120 breeds of dogs.

Novel Dataset for Fine-Grained Image Categorization. Khosla, Jayadevaprakash, Yao, Fei-Fei. CVPR Workshop on
Fine-Grained Visual Categorization, 2011.

    Images/n02085620-Chihuahua/n02085620_5927.jpg
    Annotation/n02085620-Chihuahua/n02085620_5927     XML with the boxes of the dogs; the folder may be missing
    train_list.mat, test_list.mat                     file_list, labels from 1; here, in lists/ or in splits/

Nothing is written into the folder.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from regard.data import ImageSet, matlab
from regard.data.images import shown
from regard.data.layout import Photo
from regard.data.lists import assembled, inclusive
from regard.data.regions import Region
from regard.data.texts import quoted, text

WANTED = "Images/, train_list.mat and test_list.mat"
PLACES = (".", "lists", "splits")
ENDS = ("xmin", "ymin", "xmax", "ymax")


def found(root: Path) -> bool:
    """Whether a folder has the layout of Stanford Dogs."""
    return any((root / place / "train_list.mat").is_file() for place in PLACES)


def load(root: Path, *, image_size: int = 448) -> ImageSet:
    """Loads the middle square of every image, with the boxes of its dogs as its region.

    Files that cannot be read are left out and listed in `skipped`.

    Args:
        root: the folder.
        image_size: output height and width, in pixels.

    Raises: FileNotFoundError if a list is missing; ValueError for a damaged list or annotation, a class whose images
        are in several folders, a box outside its image, or a class without training or test images.
    """
    lists = [_list(root, name) for name in ("train_list.mat", "test_list.mat")]
    breeds: dict[int, str] = {}
    for path, rows in lists:
        for name, number in rows:
            folder = name.partition("/")[0]
            if breeds.setdefault(number, folder) != folder:
                raise ValueError(f"{shown(path)}: images of class {number} are in {breeds[number]} and in {folder}")
    names = {number: folder.partition("-")[2] or folder for number, folder in sorted(breeds.items())}
    photos = [[Photo(root / "Images" / name, name, names[number]) for name, number in rows] for _, rows in lists]
    regions = {}
    for name in (name for _, rows in lists for name, _ in rows):
        path = (root / "Annotation" / name).with_suffix("")
        if path.is_file():
            regions[name] = Region(tuple(inclusive(ends, shown(path)) for ends in _boxes(path)))
    sources = [shown(root / "Annotation")] if regions else []
    return assembled(root, photos, list(names.values()), regions, image_size=image_size, sources=sources)


def _list(root: Path, name: str) -> tuple[Path, list[tuple[str, int]]]:
    """The path of a list, and the name and the class of each file in it."""
    path = next((root / place / name for place in PLACES if (root / place / name).is_file()), None)
    if path is None:
        raise FileNotFoundError(f"no file {shown(root / name)}: the layout of Stanford Dogs, {WANTED}, is needed")
    try:
        content = matlab.read(path)
    except ValueError as error:
        raise ValueError(f"{shown(path)}: {error}") from error
    files, labels = content.get("file_list"), content.get("labels")
    if not isinstance(files, list) or not all(isinstance(file, str) and file for file in files):
        raise ValueError(f"{shown(path)}: a cell file_list with the names of the files is needed")
    if not isinstance(labels, np.ndarray) or labels.size != len(files) or not np.isfinite(labels).all():
        raise ValueError(f"{shown(path)}: labels, a number for each of {len(files)} files, are needed")
    return path, list(zip(files, labels.ravel().astype(int).tolist(), strict=True))


def _boxes(path: Path) -> Iterator[list[float]]:
    """The ends of the boxes of an annotation. Raises: ValueError if it has none, or one without four numbers."""
    parts = re.findall(r"<bndbox>(.*?)</bndbox>", text(path), flags=re.DOTALL)  # XML's parser follows its entities
    if not parts:
        raise ValueError(f"{shown(path)}: a box <bndbox> is needed")
    for part in parts:
        values = [re.search(rf"<{end}>\s*(-?\d+(?:\.\d+)?)\s*</{end}>", part) for end in ENDS]
        numbers = [float(value[1]) for value in values if value is not None]
        if len(numbers) != len(ENDS):
            raise ValueError(f"{shown(path)}: {', '.join(ENDS)} are needed, not {quoted(part)}")
        yield numbers
