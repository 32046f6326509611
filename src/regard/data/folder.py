"""A folder of the user's images: a subfolder for each class, split into `train/` and `val/` or not.

Every image that is used is decoded once when the folder is loaded, so that a damaged file is reported before training.
Damaged files are ignored. A digest of the decoded pixels tells whether a file is still the same, when it is read again
and when a run is continued. Nothing is written into the folder.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from torch import Tensor

from regard.data import KEEP_BYTES, ImageSet, Skipped, Split, region_files
from regard.data.dividing import divide, limit
from regard.data.images import Fit, Picture, UnreadableImage, quiet, read, shown
from regard.data.layout import Photo, contradictory, halves, listing
from regard.data.regions import Region

TEST_SHARE = 0.25


class Photos(Split):
    """A dataset of readable image files, cut to their middle square and resized.

    Args:
        photos: the files.
        labels: the class of each image, as an index.
        size: output height and width, in pixels.
        regions: index -> the region in the file, and the crop and resize that make the image from the file.
        digests: of the pixels of each image.

    `digest` covers all images in their order: names, labels, pixels and regions.
    """

    def __init__(
        self,
        photos: Sequence[Photo],
        labels: Sequence[int],
        size: int,
        regions: dict[int, tuple[Region, Fit]],
        digests: Sequence[bytes],
    ) -> None:
        super().__init__(labels)
        self.photos = list(photos)
        self.size = size
        self.regions = regions
        self.digests = list(digests)
        self.digest = self._content()

    def pixels(self, i: int) -> Tensor:
        """Makes image `i`: uint8 `3 S S`. Raises: UnreadableImage if its file cannot be read or has changed."""
        with quiet():
            found = read(self.photos[i].path, self.size, self.photos[i].foot).pixels
        if _digest(found) != self.digests[i]:
            raise UnreadableImage(self.photos[i].path, "it has other pixels than when the folder was loaded")
        return found

    def _content(self) -> str:
        content = hashlib.blake2b(digest_size=16)
        for i, (photo, own) in enumerate(zip(self.photos, self.digests, strict=True)):
            content.update(f"{shown(photo.name)}\0{photo.label}\0".encode("utf-8", "replace") + own)
            if i in self.regions:
                content.update(self.regions[i][0].content())
        return content.hexdigest()

    def name(self, i: int) -> str:
        return shown(self.photos[i].name)

    def region(self, i: int) -> Tensor | None:
        i = self._index(i)
        if i not in self.regions:
            return None
        region, fit = self.regions[i]
        return region.draw(fit)


class Checked:
    """The results of decoding image files: sizes, pixels, and damaged files with the reason.

    Args:
        size: output height and width, in pixels.
        progress: called as `(decoded files, all files)`.
        damaged: files that cannot be used for another reason, with the reason.
    """

    def __init__(
        self,
        size: int,
        progress: Callable[[int, int], None] | None,
        damaged: Mapping[Photo, str] | None = None,
    ) -> None:
        self.size = size
        self.progress = progress
        self.fits: dict[Photo, Fit] = {}
        self.damaged = dict(damaged or {})
        self.digests: dict[Photo, bytes] = {}
        self.pixels: dict[Photo, Tensor] = {}
        self.room = 2 * KEEP_BYTES  # for the training and the test images

    def check(self, photos: Iterable[Photo]) -> bool:
        """Decodes the files that are not decoded yet, and returns whether none of these is damaged."""
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
            pool.shutdown(cancel_futures=True)  # an interrupt does not wait for the remaining images
        return len(self.damaged) == before

    def split(self, photos: Sequence[Photo], classes: Sequence[str], regions: Mapping[str, Region]) -> Photos:
        """Makes a dataset of decoded files.

        Args:
            photos: the files, which `check` has decoded.
            classes: the names of the classes, in the order of the labels.
            regions: file name -> the region of the object.

        Raises: ValueError if a region does not fit its image.
        """
        fits = [self.fits[photo] for photo in photos]
        marked = {i: regions[photo.name] for i, photo in enumerate(photos) if photo.name in regions}
        fitted = {i: (region.on(fits[i].width, fits[i].height), fits[i]) for i, region in marked.items()}
        index = {label: position for position, label in enumerate(classes)}
        labels = [index[photo.label] for photo in photos]
        made = Photos(photos, labels, self.size, fitted, [self.digests[photo] for photo in photos])
        for i, photo in enumerate(photos):
            if photo in self.pixels:
                made.keep(i, self.pixels[photo])
        return made

    def _attempt(self, photo: Photo) -> tuple[Picture, bytes] | UnreadableImage:
        try:
            picture = read(photo.path, self.size, photo.foot)
        except UnreadableImage as error:
            return error
        return picture, _digest(picture.pixels)

    def _note(self, photo: Photo, found: tuple[Picture, bytes] | UnreadableImage) -> None:
        if isinstance(found, UnreadableImage):
            self.damaged[photo] = found.reason
            return
        seen, self.digests[photo] = found
        self.fits[photo] = Fit(seen.width, seen.height - photo.foot, self.size)
        if self.room >= seen.pixels.nbytes:
            self.room -= seen.pixels.nbytes
            self.pixels[photo] = seen.pixels


def _digest(pixels: Tensor) -> bytes:
    return hashlib.blake2b(pixels.numpy().tobytes(), digest_size=16).digest()


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
    """Loads a folder of images: see `regard.data.load`."""
    folders = halves(root)
    outside: list[Skipped] = []
    listed = [listing(root, folder, regions, outside) for folder in folders]
    classes = _classes(folders, listed, {})
    known, sources, unmatched = _regions(root, folders, listed, regions)

    checked = Checked(128 if image_size is None else image_size, progress, contradictory(listed))
    sound = False
    while not sound:
        # Only chosen files are decoded. Without the damaged ones among them, other files are chosen.
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
    """The sorted names of the classes. Raises: ValueError if a class lacks images, or there are fewer than two."""
    for folder, images in zip(folders, found, strict=True):
        if not images:
            raise ValueError(f"{shown(folder)} has no subfolders: one for each class is needed")
        for label, photos in images.items():
            place = folder / label
            lost = [f"{shown(photo.name)}: {why}" for photo, why in damaged.items() if photo.path.is_relative_to(place)]
            reason = f" ({len(lost)} cannot be read, {lost[0]})" if lost else ""
            if not photos:
                raise ValueError(f"class {label!r} has no images in {shown(place)}{reason}")
            if len(folders) == 1 and len(photos) == 1:
                raise ValueError(
                    f"class {label!r} has one image in {shown(place)}{reason}: at least two are needed, one for "
                    f"training and one for testing"
                )
        if len(images) == 1:
            raise ValueError(f"{shown(folder)} has one class, {next(iter(images))!r}: at least two are needed")
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
    """The training and the test images, class by class."""
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
    """The region of each image, the files they were read from, and the names in these files that match no image."""
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
        # A name of a file that exists but is not used, such as one in a test/ beside val/, is not an error.
        # Path.exists raises for a name that is too long for a file.
        unmatched += [shown(name) for name in unknown if not os.path.exists(inside / name)]  # noqa: PTH110
    return known, [shown(source) for source in sources], unmatched
