"""A folder of the user's own images: a subfolder for each class, already split into `train/` and `val/` or not.

Every image that is used is decoded once up front, so that a damaged file is named before training, not in the middle of
it. Nothing is written into the folder.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from regard.data import ImageSet, Skipped, Split, region_files
from regard.data.dividing import TEST, TRAIN, divide, limit
from regard.data.images import SUFFIXES, Fit, Picture, UnreadableImage, quiet, read, shown
from regard.data.regions import Region

TEST_SHARE = 0.25


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


class Photos(Split):
    """Image files of one size, known to be readable.

    Args:
        photos: the files.
        labels: the class of each, as an index.
        size: height and width to come out, in pixels.
        regions: position -> where the object is in the file, and how the file becomes the image.
    """

    def __init__(
        self, photos: Sequence[Photo], labels: Sequence[int], size: int, regions: dict[int, tuple[Region, Fit]]
    ) -> None:
        super().__init__(labels)
        self.photos = list(photos)
        self.size = size
        self.regions = regions

    def pixels(self, i: int) -> Tensor:
        with quiet():
            return read(self.photos[i].path, self.size).pixels

    def name(self, i: int) -> str:
        return shown(self.photos[i].name)

    def region(self, i: int) -> Tensor | None:
        i = self._index(i)
        if i not in self.regions:
            return None
        region, fit = self.regions[i]
        return region.draw(fit)


def load(
    root: Path,
    *,
    image_size: int | None,
    seed: int,
    regions: Path | None,
    train_size: int | None,
    test_size: int | None,
    progress: Callable[[int, int], None] | None,
) -> ImageSet:
    """The images of a folder; see `regard.data.load`."""
    halves = _halves(root)
    skipped: list[Skipped] = []
    listed = [_list(root, half, regions, skipped) for half in halves]
    classes = _classes(halves, listed)
    known, sources, unmatched = _regions(root, halves, listed, regions)

    train, test = ([photo for label in classes for photo in found[label]] for found in (listed[0], listed[-1]))
    if len(halves) == 1:
        train, test = ([train[i] for i in part] for part in divide(_labels(train, classes), TEST_SHARE, seed))
    train = [train[i] for i in limit(_labels(train, classes), train_size, seed)]
    test = [test[i] for i in limit(_labels(test, classes), test_size, seed)]

    def split(photos: Sequence[Photo], folder: Path, before: int) -> Photos:
        readable = Photos([], [], 128 if image_size is None else image_size, {})
        decoded = _decoded(photos, readable.size)
        if True:
            for done, (photo, seen) in enumerate(decoded, start=before + 1):
                if isinstance(seen, UnreadableImage):
                    skipped.append(Skipped(shown(photo.name), seen.reason))
                else:
                    _add(readable, photo, classes.index(photo.label), seen, known.get(photo.name))
                if progress is not None:
                    progress(done, len(train) + len(test))
        for index in sorted(set(range(len(classes))) - set(readable.labels)):
            names = {shown(photo.name) for photo in photos if photo.label == classes[index]}
            why = next(each for each in skipped if each.path in names)
            raise ValueError(
                f"class {classes[index]!r} has no readable image left in {shown(folder / classes[index])}: "
                f"{why.path}: {why.reason}"
            )
        return readable

    to_train, to_test = split(train, halves[0], 0), split(test, halves[-1], len(train))
    return ImageSet(shown(root), classes, to_train, to_test, tuple(skipped), tuple(sources), tuple(unmatched))


def _halves(root: Path) -> list[Path]:
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


def _list(root: Path, half: Path, regions: Path | None, skipped: list[Skipped]) -> dict[str, list[Photo]]:
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
    names = region_files.Names(others, stems=True)
    answers = 0
    for photo in found["masks"]:
        try:
            answers += names.find(photo.path.relative_to(folder).as_posix(), "") is not None
        except ValueError:  # several images of that name
            continue
    return 2 * answers > len(found["masks"])


def _classes(halves: list[Path], listed: list[dict[str, list[Photo]]]) -> tuple[str, ...]:
    """The classes' names in order. Raises: ValueError if they do not make a classification."""
    for half, found in zip(halves, listed, strict=True):
        if not found:
            raise ValueError(f"{shown(half)} has no subfolders; a folder of images has one for each class")
        for label, photos in found.items():
            if not photos:
                raise ValueError(f"class {label!r} has no images in {shown(half / label)}")
            if len(halves) == 1 and len(photos) == 1:
                raise ValueError(
                    f"class {label!r} has one image in {shown(half / label)}; at least two are needed, one to train "
                    f"and one to test on"
                )
        if len(found) == 1:
            raise ValueError(f"{shown(half)} has the one class {next(iter(found))!r}; at least two are needed")
    for here, there in ((0, -1), (-1, 0)):
        if lone := sorted(set(listed[here]) - set(listed[there])):
            raise ValueError(f"class {lone[0]!r} is in {shown(halves[here])} but not in {shown(halves[there])}")
    return tuple(sorted(listed[0]))


def _labels(photos: Sequence[Photo], classes: tuple[str, ...]) -> list[int]:
    index = {label: position for position, label in enumerate(classes)}
    return [index[photo.label] for photo in photos]


def _regions(
    root: Path, halves: list[Path], listed: list[dict[str, list[Photo]]], given: Path | None
) -> tuple[dict[str, Region], list[str], list[str]]:
    """Image -> region, the files that said so, and the names in them that no image answers to."""
    class_folders = [half / label for half, found in zip(halves, listed, strict=True) for label in found]
    if given is not None:
        sources = [given]
    else:
        sources = region_files.find([root], class_folders) or region_files.find(halves, class_folders)
    known: dict[str, Region] = {}
    unmatched: list[str] = []
    for source in sources:
        inside = source.parent if given is None else root
        files = {
            photo.name: photo.label
            for found in listed
            for photos in found.values()
            for photo in photos
            if photo.path.is_relative_to(inside)
        }
        regions, unknown = region_files.read(source, files)
        known |= regions
        # A file that is there but belongs to neither half, such as those in a test/ beside val/, is no mistake.
        unmatched += [shown(name) for name in unknown if not (inside / name).exists()]
    return known, [shown(source) for source in sources], unmatched


def _decoded(photos: Sequence[Photo], size: int) -> Generator[tuple[Photo, Picture | UnreadableImage], None, None]:
    """Each photo as it is used, or what is wrong with it. To be closed: it holds a pool and the warning filters."""

    def attempt(photo: Photo) -> Picture | UnreadableImage:
        try:
            return read(photo.path, size)
        except UnreadableImage as error:
            return error

    pool = ThreadPoolExecutor(min(8, os.cpu_count() or 1))
    try:
        with quiet():
            yield from zip(photos, pool.map(attempt, photos), strict=True)
    finally:
        pool.shutdown(cancel_futures=True)  # an interrupt ends now, not after the last image


def _add(split: Photos, photo: Photo, label: int, seen: Picture, region: Region | None) -> None:
    position = len(split)
    split.photos.append(photo)
    split.labels.append(label)
    split.keep(position, seen.pixels)
    if region is not None:
        split.regions[position] = region.on(seen.width, seen.height), Fit(seen.width, seen.height, split.size)
