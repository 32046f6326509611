"""How a folder of images is laid out: which folders stand for training and testing, which files are images.

Nothing is opened here.
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
    """An image file.

    Args:
        path: the file.
        name: its path below the folder of the data, with forward slashes.
        label: its class, by name.
    """

    path: Path
    name: str
    label: str


def halves(root: Path) -> list[Path]:
    """The folders that hold class folders: one to train and one to test on, or just one."""
    folders = {child.name.lower(): child for child in _visible(root) if child.is_dir()}
    train = next((folders[name] for name in TRAIN if name in folders), None)
    test = next((folders[name] for name in TEST if name in folders), None)
    if train is None and folders and set(folders) <= set(TEST):
        raise ValueError(f"{shown(root)} has {'/ and '.join(sorted(folders))}/ but no train/")
    if train is None or not any(child.is_dir() for child in _visible(train)):
        return [root]  # a folder train/ without subfolders is a class, of pictures of trains perhaps
    return [train] if test is None else [train, test]


def _visible(folder: Path) -> list[Path]:
    return sorted(child for child in folder.iterdir() if not child.name.startswith(".") and child.name != "__MACOSX")


def listing(root: Path, half: Path, regions: Path | None, skipped: list[Skipped]) -> dict[str, list[Photo]]:
    """Class -> image files. Images outside the class folders are noted as skipped."""
    found: dict[str, list[Photo]] = {}
    for child in _visible(half):
        if child.is_dir():
            if regions is None or not regions.exists() or not child.samefile(regions):
                paths = _files(child)
                found[child.name] = [Photo(path, path.relative_to(root).as_posix(), child.name) for path in paths]
        elif child.suffix.lower() in SUFFIXES:
            name = shown(child.relative_to(root).as_posix())
            skipped.append(Skipped(name, "lies outside the class folders, so its class is unknown"))
    if "masks" in found and _are_masks(half / "masks", found):
        del found["masks"]
    return found


def _files(folder: Path) -> list[Path]:
    """Every file below a class folder that calls itself an image; links are followed, never in circles."""
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
    """Whether a folder called `masks` holds masks of the other images: most of its files have their names."""
    others = {photo.name: label for label, photos in found.items() if label != "masks" for photo in photos}
    names = Names(others, stems=True)
    answers = 0
    for photo in found["masks"]:
        try:
            answers += names.find(photo.path.relative_to(folder).as_posix(), "") is not None
        except ValueError:  # several images of that name
            continue
    return 2 * answers > len(found["masks"])
