"""Images with label maps for semantic segmentation, in the layouts of the published datasets (`label_layouts`), or

    images/, labels/        any dataset; alone, or with parts train/ and val/ inside or outside

A label map is an image of class numbers with the stem of its image; 255 is void. Names of the classes stand in
classes.txt, one a line; RGB label maps are read by `name red green blue` a line, or by one line `palette voc`. Without
parts, train.txt and val.txt list the stems of both, or every fifth image by name is for validation.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from hashlib import blake2b
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from regard.checks import whole_numbers
from regard.data.augmenting import VOID
from regard.data.batches import collate
from regard.data.dividing import every_fifth
from regard.data.images import SUFFIXES, Picture, quiet, shown, whole
from regard.data.label_files import Coding, LabelMap, Pair, Read, files, listed_classes, same_stem, stems
from regard.data.label_layouts import LAYOUTS
from regard.data.label_names import PALETTE_CLASSES, PALETTES, apart
from regard.data.texts import quoted

PARTS = (("train", "val"), ("training", "validation"), ("train", "test"))
LABELS = ("labels", "masks", "annotations")
CLASS_NAMES = "classes.txt"


class LabelMaps(Dataset[Mapping[str, Tensor]]):
    """A dataset of images with label maps.

    Args:
        pairs: the image files, with their label maps.
        coding: what the stored labels mean.
        size: height and width, in pixels, to which image and labels are resized, the labels by the nearest pixel; one
            number for both; None for the image's own.
        own: whether a sample also has `truth`, the labels in the file's own size, which metrics need.

    `classes` and `colours` are those of the coding, `names` are the names of the image files. `digest` covers names and
    sizes of all files, not the pixels.
    """

    collate_fn = staticmethod(partial(collate, listed=("truth",)))

    def __init__(
        self,
        pairs: Sequence[Pair],
        coding: Coding,
        size: int | tuple[int, int] | None = None,
        *,
        own: bool = False,
    ) -> None:
        self.pairs = list(pairs)
        self.coding = coding
        self.size: tuple[int, int] | None = None
        if size is not None:
            height, width = whole_numbers("size", (size, size) if isinstance(size, int) else size, count=2)
            self.size = height, width
        self.own = own
        self.classes, self.colours = coding.classes, coding.colours
        self.names = tuple(shown(path.name) for path, _ in self.pairs)

    @property
    def digest(self) -> str:
        content = blake2b(digest_size=16)
        for image, labels in self.pairs:
            of_labels = f"{labels.stat().st_size}" if isinstance(labels, Path) else labels.where
            content.update(f"{shown(image.name)}\0{image.stat().st_size}\0{of_labels}\0".encode("utf-8", "replace"))
        return content.hexdigest()

    @property
    def at_once(self) -> int:
        """The most samples in a batch of scoring: 1 where images may differ in size."""
        return 1 if self.size is None else len(self)

    def resized_to(self, size: int | tuple[int, int] | None, *, own: bool | None = None) -> LabelMaps:
        """The same images in another size; `own` as in the constructor, None for as it is."""
        return LabelMaps(self.pairs, self.coding, size, own=self.own if own is None else own)

    def subset(self, indices: Sequence[int]) -> LabelMaps:
        """The images at `indices`, in their order."""
        return LabelMaps([self.pairs[i] for i in indices], self.coding, self.size, own=self.own)

    def label_map(self, i: int) -> LabelMap:
        """The labels of image `i` in the file's own size: uint8 `H W`.

        Raises: UnreadableImage or ValueError naming the file, if it is damaged or has a label that is no class.
        """
        with quiet():
            return self.coding.read(self.pairs[i][1])

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, i: int) -> dict[str, Tensor]:
        """The sample: `image` float `3 H W` in 0..1, `mask` uint8 `H W`, with `own` also `truth`, uint8 `H W`.

        Raises: UnreadableImage or ValueError naming the file, as `label_map`, or if image and labels differ in size.
        """
        if not -len(self) <= i < len(self):
            raise IndexError(f"index {i} is out of range: there are {len(self)} images")
        with quiet():
            picture, truth = self._read(i, self.size)
        mask = truth
        if self.size is not None and self.size != truth.shape:
            mask = np.array(Image.fromarray(truth).resize(self.size[::-1], Image.Resampling.NEAREST))
        sample = {"image": picture.pixels.float().div_(255), "mask": torch.from_numpy(mask)}
        return {**sample, "truth": torch.from_numpy(truth)} if self.own else sample

    def count(self, i: int) -> Tensor:
        """The pixels of each class in image `i`, int64 `K`. To be called inside `images.quiet()`, by any thread.

        Raises: as `self[i]`.
        """
        _, truth = self._read(i, None)
        return torch.from_numpy(np.bincount(truth.ravel(), minlength=VOID + 1)[: len(self.classes)])

    def _read(self, i: int, size: tuple[int, int] | None) -> tuple[Picture, LabelMap]:
        path, source = self.pairs[i]
        picture, truth = whole(path, size), self.coding.read(source)
        if truth.shape != (picture.height, picture.width):
            where = shown(source) if isinstance(source, Path) else source.where
            raise ValueError(
                f"{where}: the labels have {truth.shape[1]}×{truth.shape[0]}, and their image {shown(path)} "
                f"{picture.width}×{picture.height}: one size is needed"
            )
        return picture, truth


def read(folder: Path) -> tuple[LabelMaps, LabelMaps]:
    """Reads a folder in one of the layouts: the training images and those for validation, in their own sizes.

    Only lists and the names of files are read, and of a folder without classes.txt the label maps. `checked` reads all.

    Raises: OSError if there is no such folder; ValueError naming the file, if it has none of the layouts, an image has
        no label map, or a list is empty.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {shown(folder)}")
    found = next((parts for layout in LAYOUTS if (parts := layout(folder)) is not None), None)
    train, val, coding = _plain(folder) if found is None else found
    return LabelMaps(train, coding), LabelMaps(val, coding)


def checked(train: LabelMaps, val: LabelMaps, progress: Callable[[int, int], None] | None = None) -> Tensor:
    """Reads every image and label map once, and counts the pixels of each class.

    A class without pixels in the training images is warned of: nothing can be learnt of it, but the others can.

    Args:
        train, val: the two parts.
        progress: called as `(files read, all files)`.

    Returns: int64 `2 K`, of training and of validation.
    Raises: UnreadableImage or ValueError naming the first file that cannot be used; ValueError if fewer than two
        classes have pixels in the training images.
    """
    counts = torch.zeros(2, len(train.classes), dtype=torch.int64)
    jobs = [(part, data, i) for part, data in enumerate((train, val)) for i in range(len(data))]
    pool = ThreadPoolExecutor(min(8, os.cpu_count() or 1))
    try:
        with quiet():
            for done, (part, found) in enumerate(pool.map(_counted, jobs), 1):
                counts[part] += found
                if progress is not None:
                    progress(done, len(jobs))
    finally:
        pool.shutdown(cancel_futures=True)  # an error or an interrupt does not wait for the remaining files
    unseen = [name for name, count in zip(train.classes, counts[0].tolist(), strict=True) if not count]
    where = shown(train.pairs[0][0].parent)
    if len(unseen) > len(train.classes) - 2:
        raise ValueError(
            f"{where}: the training label maps have {len(train.classes) - len(unseen)} of {len(train.classes)} "
            f"classes: at least two are needed"
        )
    if unseen:
        some = ", ".join(map(quoted, unseen[:10])) + (", …" if len(unseen) > 10 else "")
        warnings.warn(
            f"{where}: {len(unseen)} of {len(train.classes)} classes are in no training label map: {some}",
            UserWarning,
            stacklevel=2,
        )
    return counts


def _counted(job: tuple[int, LabelMaps, int]) -> tuple[int, Tensor]:
    part, data, i = job
    return part, data.count(i)


def _plain(folder: Path) -> Read:
    """Any dataset: images/ and labels/."""
    train, val = _parts(folder)
    known = folder / CLASS_NAMES
    if known.is_file():
        names, colours, name = listed_classes(known)
        if name is not None:
            values = {label: label for label in range(len(PALETTE_CLASSES[name]))} | {VOID: VOID}
            by_class = {label: colour for colour, label in PALETTES[name].items() if label != VOID}
            colours_of = tuple(by_class[label] for label in range(len(by_class)))
            return train, val, Coding(PALETTE_CLASSES[name], colours_of, values, PALETTES[name])
        palette = None if colours is None else {colour: label for label, colour in enumerate(colours)}
        return train, val, Coding(names, colours or apart(len(names)), None, palette)
    every = Coding(tuple(map(str, range(VOID))), apart(VOID))
    largest = -1
    for _, labels in (*train, *val):
        with quiet():
            found = every.read(labels)
        largest = max(largest, int(found[found != VOID].max(initial=0)))
    if largest < 1:
        raise ValueError(f"{shown(folder)}: the label maps have one class: at least two are needed")
    names = tuple(map(str, range(largest + 1)))
    return train, val, Coding(names, apart(len(names)))


def _parts(folder: Path) -> tuple[list[Pair], list[Pair]]:
    """The pairs of the plain layout."""
    for first, second in PARTS:
        if (folder / first / "images").is_dir() and (folder / second / "images").is_dir():
            return _pairs(folder / first), _pairs(folder / second)
    place = _labels(folder)
    for first, second in PARTS:
        if (folder / "images" / first).is_dir() and (folder / "images" / second).is_dir():
            one, other = (
                list(same_stem(list(files(folder / "images" / part).values()), files(place / part), place / part))
                for part in (first, second)
                if _is_there(place / part)
            )
            return list(one), list(other)
    pairs = _pairs(folder)
    if (folder / "train.txt").is_file() and (folder / "val.txt").is_file():
        by_stem = {image.stem: (image, labels) for image, labels in pairs}
        chosen = []
        for name in ("train.txt", "val.txt"):
            listed = [
                Path(line).stem if Path(line).suffix.lower() in SUFFIXES else line for line in stems(folder / name)
            ]
            lost = next((stem for stem in listed if stem not in by_stem), None)
            if lost is not None:
                raise ValueError(f"{shown(folder / name)}: no image {quoted(lost)} is in {shown(folder / 'images')}")
            chosen.append([by_stem[stem] for stem in listed])
        return chosen[0], chosen[1]
    return every_fifth(pairs, shown(folder))


def _is_there(place: Path) -> bool:
    if not place.is_dir():
        raise ValueError(f"{shown(place)}: this folder of label maps is needed as well")
    return True


def _labels(folder: Path) -> Path:
    """The folder of the label maps beside images/. Raises: ValueError if one of both is missing."""
    place = next((folder / name for name in LABELS if (folder / name).is_dir()), None)
    if place is None or not (folder / "images").is_dir():
        raise ValueError(
            f"{shown(folder)}: folders images/ and labels/ are needed, or the layout of a published dataset for "
            f"segmentation"
        )
    return place


def _pairs(folder: Path) -> list[Pair]:
    place = _labels(folder)
    return list(same_stem(list(files(folder / "images").values()), files(place), place))
