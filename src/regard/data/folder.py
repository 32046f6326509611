"""A folder of the user's own images: a subfolder for each class, already split into `train/` and `val/` or not.

Every image that is used is decoded once up front, so that a damaged file is named before training, not in the middle of
it. Everything then is as if the damaged files were not there. Nothing is written into the folder.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from torch import Tensor

from regard.data import KEEP_BYTES, ImageSet, Skipped, Split, region_files
from regard.data.dividing import divide, limit
from regard.data.images import Fit, Picture, UnreadableImage, quiet, read, shown
from regard.data.layout import Photo, halves, listing
from regard.data.regions import Region

TEST_SHARE = 0.25


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


class Checked:
    """What decoding has shown of some image files.

    Args:
        size: height and width to come out, in pixels.
        progress: called with (files decoded, files to decode).
    """

    def __init__(self, size: int, progress: Callable[[int, int], None] | None) -> None:
        self.size = size
        self.progress = progress
        self.fits: dict[Photo, Fit] = {}
        self.damaged: dict[Photo, str] = {}
        self.pixels: dict[Photo, Tensor] = {}
        self.room = 2 * KEEP_BYTES  # for training and for testing

    def check(self, photos: Iterable[Photo]) -> bool:
        """Decodes the files not yet decoded; whether all of them are sound."""
        new = [photo for photo in photos if photo not in self.fits]
        done = len(self.fits) + len(self.damaged)
        total = done + len(new)
        before = len(self.damaged)
        pool = ThreadPoolExecutor(min(8, os.cpu_count() or 1))
        try:
            with quiet():
                for photo, seen in zip(new, pool.map(self._attempt, new), strict=True):
                    self._note(photo, seen)
                    done += 1
                    if self.progress is not None:
                        self.progress(done, total)
        finally:
            pool.shutdown(cancel_futures=True)  # an interrupt ends now, not after the last image
        return len(self.damaged) == before

    def split(self, photos: Sequence[Photo], classes: Sequence[str], regions: Mapping[str, Region]) -> Photos:
        """Files that were decoded, as images to train or to test on.

        Args:
            photos: the files.
            classes: the names of the classes, in the order of the labels.
            regions: name of a file -> where the object is in it.

        Raises: ValueError if a region does not fit its image.
        """
        fits = [self.fits[photo] for photo in photos]
        marked = {i: regions[photo.name] for i, photo in enumerate(photos) if photo.name in regions}
        fitted = {i: (region.on(fits[i].width, fits[i].height), fits[i]) for i, region in marked.items()}
        index = {label: position for position, label in enumerate(classes)}
        made = Photos(photos, [index[photo.label] for photo in photos], self.size, fitted)
        for i, photo in enumerate(photos):
            if photo in self.pixels:
                made.keep(i, self.pixels[photo])
        return made

    def _attempt(self, photo: Photo) -> Picture | UnreadableImage:
        try:
            return read(photo.path, self.size)
        except UnreadableImage as error:
            return error

    def _note(self, photo: Photo, seen: Picture | UnreadableImage) -> None:
        if isinstance(seen, UnreadableImage):
            self.damaged[photo] = seen.reason
            return
        self.fits[photo] = Fit(seen.width, seen.height, self.size)
        if self.room >= seen.pixels.nbytes:
            self.room -= seen.pixels.nbytes
            self.pixels[photo] = seen.pixels


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
    folders = halves(root)
    outside: list[Skipped] = []
    listed = [listing(root, folder, regions, outside) for folder in folders]
    classes = _classes(folders, listed, {})
    known, sources, unmatched = _regions(root, folders, listed, regions)

    checked = Checked(128 if image_size is None else image_size, progress)
    sound = False
    while not sound:
        # Damaged files show only among the chosen ones; without them the choice is another.
        left = [_without(checked.damaged, found) for found in listed]
        _classes(folders, left, checked.damaged)
        train, test = _chosen(classes, left, seed, train_size, test_size)
        sound = checked.check(train + test)

    damaged = [Skipped(shown(photo.name), reason) for photo, reason in checked.damaged.items()]
    return ImageSet(
        shown(root),
        classes,
        checked.split(train, classes, known),
        checked.split(test, classes, known),
        (*outside, *damaged),
        tuple(sources),
        tuple(unmatched),
    )


def _without(damaged: Mapping[Photo, str], found: dict[str, list[Photo]]) -> dict[str, list[Photo]]:
    return {label: [photo for photo in photos if photo not in damaged] for label, photos in found.items()}


def _classes(
    folders: Sequence[Path], found: Sequence[dict[str, list[Photo]]], damaged: Mapping[Photo, str]
) -> tuple[str, ...]:
    """The classes' names in order. Raises: ValueError if they do not make a classification."""
    for folder, images in zip(folders, found, strict=True):
        if not images:
            raise ValueError(f"{shown(folder)} has no subfolders; a folder of images has one for each class")
        for label, photos in images.items():
            place = folder / label
            lost = [f"{shown(photo.name)}: {why}" for photo, why in damaged.items() if photo.path.is_relative_to(place)]
            reason = f" ({len(lost)} cannot be read, {lost[0]})" if lost else ""
            if not photos:
                raise ValueError(f"class {label!r} has no images in {shown(place)}{reason}")
            if len(folders) == 1 and len(photos) == 1:
                raise ValueError(
                    f"class {label!r} has one image in {shown(place)}{reason}; at least two are needed, one to train "
                    f"and one to test on"
                )
        if len(images) == 1:
            raise ValueError(f"{shown(folder)} has the one class {next(iter(images))!r}; at least two are needed")
    for here, there in ((0, -1), (-1, 0)):
        if lone := sorted(set(found[here]) - set(found[there])):
            raise ValueError(f"class {lone[0]!r} is in {shown(folders[here])} but not in {shown(folders[there])}")
    return tuple(sorted(found[0]))


def _chosen(
    classes: tuple[str, ...],
    found: Sequence[dict[str, list[Photo]]],
    seed: int,
    train_size: int | None,
    test_size: int | None,
) -> tuple[list[Photo], list[Photo]]:
    """The images to train on and to test on, class by class."""
    index = {label: position for position, label in enumerate(classes)}

    def labels(photos: list[Photo]) -> list[int]:
        return [index[photo.label] for photo in photos]

    train, test = ([photo for label in classes for photo in images[label]] for images in (found[0], found[-1]))
    if len(found) == 1:
        train, test = ([train[i] for i in part] for part in divide(labels(train), TEST_SHARE, seed))
    return (
        [train[i] for i in limit(labels(train), train_size, seed)],
        [test[i] for i in limit(labels(test), test_size, seed)],
    )


def _regions(
    root: Path, folders: list[Path], listed: list[dict[str, list[Photo]]], given: Path | None
) -> tuple[dict[str, Region], list[str], list[str]]:
    """Image -> region, the files that said so, and the names in them that no image answers to."""
    class_folders = [folder / label for folder, found in zip(folders, listed, strict=True) for label in found]
    if given is not None:
        sources = [given]
    else:
        sources = region_files.find([root], class_folders) or region_files.find(folders, class_folders)
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
