"""The layout of a folder of images: its folders for training and testing, its classes and its image files.

No file is opened here.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from regard.data import Skipped
from regard.data.dividing import TEST, TRAIN
from regard.data.images import SUFFIXES, shown
from regard.data.region_files import Names


@dataclass(frozen=True)
class Photo:
    """An image file with its class.

    Args:
        path: the file.
        name: the path relative to the folder of the dataset, with forward slashes.
        label: the name of its class.
    """

    path: Path
    name: str
    label: str


def halves(root: Path) -> list[Path]:
    """The folders that hold class folders: one for training and one for testing, or one folder for both."""
    folders = {child.name.lower(): child for child in _visible(root) if child.is_dir()}
    train = next((folders[name] for name in TRAIN if name in folders), None)
    test = next((folders[name] for name in TEST if name in folders), None)
    if train is None and folders and set(folders) <= set(TEST):
        raise ValueError(f"{shown(root)} has {'/ and '.join(sorted(folders))}/: train/ is needed as well")
    if train is None or not any(child.is_dir() for child in _visible(train)):
        return [root]  # a folder train/ without subfolders is a class, as of images of trains
    return [train] if test is None else [train, test]


def _visible(folder: Path) -> list[Path]:
    return sorted(child for child in folder.iterdir() if not child.name.startswith(".") and child.name != "__MACOSX")


def listing(root: Path, half: Path, regions: Path | None, skipped: list[Skipped]) -> dict[str, list[Photo]]:
    """The image files of each class; images outside the class folders are added to `skipped`."""
    found: dict[str, list[Photo]] = {}
    for child in _visible(half):
        if child.is_dir():
            if regions is None or not regions.exists() or not child.samefile(regions):
                paths = _files(child)
                found[child.name] = [Photo(path, path.relative_to(root).as_posix(), child.name) for path in paths]
        elif child.suffix.lower() in SUFFIXES:
            name = shown(child.relative_to(root).as_posix())
            skipped.append(Skipped(name, "is outside the class folders, so its class is unknown"))
    if "masks" in found and _are_masks(half / "masks", found):
        del found["masks"]
    return found


def _files(folder: Path) -> list[Path]:
    """The files below a class folder that have an image suffix; links are followed, each folder is visited once."""
    found = []
    entered = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in entered:
            folders.clear()
            continue
        entered.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(place, name) for name in files if not name.startswith(".")]
    return sorted(path for path in found if path.suffix.lower() in SUFFIXES)


def _are_masks(folder: Path, found: dict[str, list[Photo]]) -> bool:
    """Whether a folder `masks` holds masks rather than a class: most of its files have the names of other images."""
    others = {photo.name: label for label, photos in found.items() if label != "masks" for photo in photos}
    names = Names(others, stems=True)
    answers = 0
    for photo in found["masks"]:
        try:
            answers += names.find(photo.path.relative_to(folder).as_posix(), "") is not None
        except ValueError:  # several images of that name
            continue
    return 2 * answers > len(found["masks"])
