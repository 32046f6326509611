"""The layout of a folder of images: its folders for training and testing, its classes and its image files.

Image files, class folders and the folder itself may be links, as caches of datasets make them. A link to a folder
inside a class folder is not followed: it may lead to another class, out of the dataset, or in a circle. A file that
links put into two classes has no class.

No file is opened here.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
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
        foot: rows at the bottom of the image that are left out, as a banner.
    """

    path: Path
    name: str
    label: str
    foot: int = 0


def halves(root: Path) -> list[Path]:
    """The folders that hold class folders: one for training and one for testing, or one folder for both."""
    folders = {child.name.lower(): child for child in _visible(root) if child.is_dir()}
    train = next((folders[name] for name in TRAIN if name in folders), None)
    test = next((folders[name] for name in TEST if name in folders), None)
    if train is None and folders and set(folders) <= set(TEST):
        raise ValueError(f"{shown(root)} has {'/ and '.join(sorted(folders))}/: train/ is needed as well")
    if train is None or not any(child.is_dir() for child in _visible(train)):
        return [root]  # a folder train/ without subfolders is a class, as of images of trains
    if test is not None and train.samefile(test):
        raise ValueError(f"{shown(train)} and {shown(test)} are links to one folder: two folders are needed")
    return [train] if test is None else [train, test]


def _visible(folder: Path) -> list[Path]:
    return sorted(child for child in folder.iterdir() if not child.name.startswith(".") and child.name != "__MACOSX")


def listing(root: Path, half: Path, regions: Path | None, skipped: list[Skipped]) -> dict[str, list[Photo]]:
    """The image files of each class; what belongs to no class is added to `skipped`.

    Raises: ValueError if a class folder is a link to another one, or to a folder that holds another one.
    """
    folders = []
    for child in _visible(half):
        if child.is_dir():
            if regions is None or not regions.exists() or not child.samefile(regions):
                folders.append(child)
        elif child.suffix.lower() in SUFFIXES:
            name = shown(child.relative_to(root).as_posix())
            skipped.append(Skipped(name, "is outside the class folders, so its class is unknown"))
    _check_apart(folders)
    found: dict[str, list[Photo]] = {}
    for child in folders:
        paths = _files(child, root, skipped)
        found[child.name] = [Photo(path, path.relative_to(root).as_posix(), child.name) for path in paths]
    if "masks" in found and _are_masks(half / "masks", found):
        del found["masks"]
    return found


def _check_apart(folders: Sequence[Path]) -> None:
    """Raises: ValueError if one of the folders is a link to another one, or to a folder that holds another one."""
    real: dict[Path, Path] = {}
    for folder in folders:
        other = real.setdefault(folder.resolve(), folder)
        if other != folder:
            raise ValueError(f"{shown(other)} and {shown(folder)} are links to one folder: an image has one class")
    for place, folder in real.items():
        if inside := next((real[parent] for parent in place.parents if parent in real), None):
            raise ValueError(
                f"{shown(inside)} is a link to a folder that holds {shown(folder)}: an image has one class"
            )


def contradictory(listed: Sequence[dict[str, list[Photo]]]) -> dict[Photo, str]:
    """The images whose file is in two classes, by links to files or folders, with the reason why they have no class."""
    photos = [photo for found in listed for several in found.values() for photo in several]
    if not any(path.is_symlink() for photo in photos for path in (photo.path, photo.path.parent)):
        return {}
    first: dict[tuple[int, int], Photo] = {}
    found: dict[Photo, str] = {}
    for photo in photos:
        try:
            facts = photo.path.stat()
        except OSError:
            continue  # a broken link, which is told when it is read
        other = first.setdefault((facts.st_dev, facts.st_ino), photo)
        if other.label != photo.label:
            found[photo] = f"is the same file as {shown(other.name)}, of another class"
            found.setdefault(other, f"is the same file as {shown(photo.name)}, of another class")
    return found


def _files(folder: Path, root: Path, skipped: list[Skipped]) -> list[Path]:
    """The files below a class folder that have an image suffix; links to folders are added to `skipped`."""
    found = []
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in folders:
            if (path := Path(place, name)).is_symlink():
                told = "is a link to a folder, and only links to image files and to whole classes are followed"
                skipped.append(Skipped(shown(path.relative_to(root).as_posix()), told))
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
