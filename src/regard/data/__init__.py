"""Labelled image datasets for training and comparison: embedded ones, or a folder of the user's images.

Every image is square, RGB and of the requested size. Where the region of the object is known (digits are pasted at a
known place, a folder may contain boxes or masks), it is resized and cropped with the image.
"""

from __future__ import annotations

import difflib
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

EMBEDDED = ("digits", "faces", "frames")
KEEP_BYTES = 2**30


class Split(Dataset[tuple[Tensor, int]]):
    """A dataset of labelled images of one size, with the region of the object where it is known.

    A subclass implements `pixels`, which makes one image. Images are kept in memory up to a limit. A pickled split does
    not contain them: the other process makes them again on first use.

    Args:
        labels: the class of each image, as an index into the classes.
        keep_bytes: the most memory for kept images, in bytes.
    """

    def __init__(self, labels: Sequence[int], *, keep_bytes: int = KEEP_BYTES) -> None:
        self.labels = [int(label) for label in labels]
        self.keep_bytes = keep_bytes
        self._kept: dict[int, Tensor] = {}
        self._kept_bytes = 0

    def pixels(self, i: int) -> Tensor:
        """Makes image `i`: uint8 `C H W`."""
        raise NotImplementedError

    def name(self, i: int) -> str:
        """The file name or a description of image `i`."""
        raise NotImplementedError

    def region(self, i: int) -> Tensor | None:
        """The region of the object in image `i`: bool `H W`; None if it is unknown or cropped away."""
        return None

    def images(self, indices: Sequence[int] | Tensor) -> Tensor:
        """The images at `indices`: float32 `B C H W` in [0, 1]."""
        wanted = indices.tolist() if isinstance(indices, Tensor) else indices
        return torch.stack([self._stored(self._index(i)) for i in wanted]).float().div_(255)

    def keep(self, i: int, pixels: Tensor) -> None:
        """Keeps an image in memory if the limit allows it."""
        if i not in self._kept and self._kept_bytes + pixels.nbytes <= self.keep_bytes:
            self._kept[i] = pixels
            self._kept_bytes += pixels.nbytes

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        i = self._index(i)
        return self._stored(i).float().div_(255), self.labels[i]

    def __getitems__(self, indices: list[int]) -> list[tuple[Tensor, int]]:
        """The samples at several indices; torch's `DataLoader` calls this for a batch."""
        return [(image, self.labels[i]) for image, i in zip(self.images(indices), indices, strict=True)]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_kept": {}, "_kept_bytes": 0}

    def _index(self, i: int) -> int:
        position = operator.index(i)
        if not -len(self) <= position < len(self):
            raise IndexError(f"index {position} is out of range: there are {len(self)} images")
        return position % len(self)

    def _stored(self, i: int) -> Tensor:
        if i in self._kept:
            return self._kept[i]
        pixels = self.pixels(i)
        self.keep(i, pixels)
        return pixels


@dataclass(frozen=True)
class Skipped:
    """An image file that was left out, with the reason."""

    path: str
    reason: str


@dataclass(frozen=True)
class ImageSet:
    """A classification dataset: training images and test images.

    Args:
        name: `digits`, `faces`, `frames` or the folder's path.
        classes: the names of the classes, in the order of the labels.
        train, test: the training images and the test images; no image is in both.
        skipped: files that could not be read or belong to no class.
        regions: the files from which the regions were read.
        unmatched: names in those files that match no image.
    """

    name: str
    classes: tuple[str, ...]
    train: Split
    test: Split
    skipped: tuple[Skipped, ...] = ()
    regions: tuple[str, ...] = ()
    unmatched: tuple[str, ...] = ()


def load(
    source: str | Path,
    *,
    image_size: int | None = None,
    seed: int = 0,
    regions: str | Path | None = None,
    train_size: int | None = None,
    test_size: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ImageSet:
    """Loads an embedded dataset by name, or a folder of images.

    Args:
        source: `"digits"`, `"faces"`, `"frames"`, or a folder: `train/` and `val/` with a subfolder for each class, or
            only a subfolder for each class, whose images are then split.
        image_size: height and width of every image, in pixels; by default 48 (embedded), 128 (a folder).
        seed: determines the split, and the appearance of the digits and the frames.
        regions: boxes (.csv), COCO annotations (.json) or a folder of masks for a folder of images; by default the
            files of the usual names beside the images.
        train_size, test_size: the most images of each split; for digits and frames, exactly that many (by default 2000
            and 1000, 5000 and 500).
        progress: called as `(checked images, all images)` while a folder is read.

    Raises:
        LookupError: there is no embedded dataset of that name.
        OSError: the folder does not exist or cannot be read.
        ValueError: an argument, the layout of the folder or the regions are invalid; the message says what is accepted.
    """
    _whole("seed", seed, 0)
    for name, value in (("image_size", image_size), ("train_size", train_size), ("test_size", test_size)):
        if value is not None:
            _whole(name, value, 1)
    if source in EMBEDDED and regions is not None:
        raise ValueError(
            f"regions={str(regions)!r}: accepted only with a folder of images; {source!r} has its own regions"
        )
    if source == "digits":
        from regard.data import digits

        return digits.load(image_size=image_size, seed=seed, train_size=train_size, test_size=test_size)
    if source == "faces":
        from regard.data import faces

        return faces.load(image_size=image_size, seed=seed, train_size=train_size, test_size=test_size)
    if source == "frames":
        from regard.data import frames

        return frames.load(image_size=image_size, seed=seed, train_size=train_size, test_size=test_size)
    from regard.data import folder

    return folder.load(
        _folder(source),
        image_size=image_size,
        seed=seed,
        regions=None if regions is None else Path(regions),
        train_size=train_size,
        test_size=test_size,
        progress=progress,
    )


def _whole(name: str, value: int, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name}={value!r}: a whole number of at least {least} is needed")


def _folder(source: str | Path) -> Path:
    path = Path(source).expanduser()
    if path.is_dir():
        return path
    accepted = "'digits', 'faces', 'frames' or a folder of images"
    if path.exists():
        raise NotADirectoryError(f"source={str(source)!r} is a file: {accepted} is needed")
    if isinstance(source, str) and path.name == source:
        near = difflib.get_close_matches(source.lower(), EMBEDDED, n=1, cutoff=0.5)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise LookupError(f"source={source!r}: {accepted} is needed{hint}")
    raise FileNotFoundError(f"source={str(source)!r}: there is no such folder; {accepted} is needed")
