"""ImageNet's 1,000 classes (ILSVRC 2012) as published: folders of synsets for training, a list for validation.

ImageNet Large Scale Visual Recognition Challenge. Russakovsky et al. IJCV 2015, arXiv:1409.0575.

    train/n01440764/n01440764_18.JPEG               or ILSVRC2012_img_train/, or ILSVRC/Data/CLS-LOC/train/
    val/ILSVRC2012_val_00000001.JPEG                or ILSVRC2012_img_val/, or ILSVRC/Data/CLS-LOC/val/
    ILSVRC2012_devkit_t12/data/meta.mat, ILSVRC2012_validation_ground_truth.txt      the synset of each number, and the
                                                    number of each validation image; or, from Kaggle,
    LOC_synset_mapping.txt, LOC_val_solution.csv    n01440764 tench, Tinca tinca; ILSVRC2012_val_00048981,n03995372 85 …

Validation images sorted into folders of synsets, as common scripts do, are read as well. The classes have the order of
their synsets. Nothing is written into the folder.
"""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from regard.data import ImageSet, matlab
from regard.data.images import SUFFIXES, shown
from regard.data.layout import Photo
from regard.data.lists import assembled
from regard.data.texts import quoted, text

WANTED = (
    "train/ and val/ with a folder for each synset, or val/ with its images and the development kit or Kaggle's lists"
)
TRAIN = ("train", "ILSVRC2012_img_train", "ILSVRC/Data/CLS-LOC/train", "Data/CLS-LOC/train")
VAL = ("val", "ILSVRC2012_img_val", "ILSVRC/Data/CLS-LOC/val", "Data/CLS-LOC/val")
KITS = ("ILSVRC2012_devkit_t12/data", "devkit/data", "data", ".")
TRUTH = "ILSVRC2012_validation_ground_truth.txt"
MAPPING, SOLUTION = "LOC_synset_mapping.txt", "LOC_val_solution.csv"
SYNSET = re.compile(r"n\d{8}")
NUMBER = re.compile(r"[0-9]{1,6}")  # of a synset, in the development kit


def found(root: Path) -> bool:
    """Whether a folder has training folders of synsets, and a list of validation images or of the synsets' names."""
    train = _first(root, TRAIN)
    lists = (root / MAPPING).is_file() or _kit(root) is not None
    return train is not None and lists and any(SYNSET.fullmatch(child.name) for child in train.iterdir())


def load(root: Path, *, image_size: int = 256) -> ImageSet:
    """Loads the middle square of every image; files that cannot be read are left out and listed in `skipped`.

    Args:
        root: the folder.
        image_size: output height and width, in pixels.

    Raises: FileNotFoundError if a folder or list is missing; ValueError for a damaged list, a validation image without
        a synset, or a synset without training or validation images.
    """
    train, val = _first(root, TRAIN), _first(root, VAL)
    if train is None or val is None:
        raise FileNotFoundError(f"{shown(root)}: {WANTED} are needed")
    synsets = sorted(child.name for child in train.iterdir() if SYNSET.fullmatch(child.name))
    names, numbered = _names(root)
    photos = [_sorted(root, train, synsets)]
    photos.append(_sorted(root, val, synsets) or _listed(root, val, set(synsets), numbered))
    made = assembled(root, photos, synsets, {}, image_size=image_size)
    return replace(made, classes=tuple(names.get(synset, synset) for synset in synsets))


def _first(root: Path, places: tuple[str, ...]) -> Path | None:
    return next((root / place for place in places if (root / place).is_dir()), None)


def _kit(root: Path) -> Path | None:
    """The folder of the development kit's data; None if there is none."""
    return next((root / place for place in KITS if (root / place / TRUTH).is_file()), None)


def _sorted(root: Path, half: Path, synsets: list[str]) -> list[Photo]:
    """The images in folders of synsets."""
    return [
        Photo(path, path.relative_to(root).as_posix(), synset)
        for synset in synsets
        if (half / synset).is_dir()
        for path in sorted((half / synset).iterdir())
        if path.suffix.lower() in SUFFIXES
    ]


def _names(root: Path) -> tuple[dict[str, str], dict[int, str]]:
    """The names of the synsets, and the synsets by the numbers of the development kit, as far as lists tell them."""
    names: dict[str, str] = {}
    numbered: dict[int, str] = {}
    if (root / MAPPING).is_file():
        for line in text(root / MAPPING).splitlines():
            synset, _, name = line.strip().partition(" ")
            names[synset] = name or synset
    kit = _kit(root)
    if kit is not None and (kit / "meta.mat").is_file():
        try:
            rows = matlab.read(kit / "meta.mat").get("synsets")
        except ValueError as error:
            raise ValueError(f"{shown(kit / 'meta.mat')}: {error}") from error
        for row in [rows] if isinstance(rows, dict) else rows if isinstance(rows, list) else []:
            number, identity, words = (row.get(field) for field in ("ILSVRC2012_ID", "WNID", "words"))
            if not isinstance(number, np.ndarray) or number.size != 1 or not isinstance(identity, str):
                raise ValueError(f"{shown(kit / 'meta.mat')}: a synset without ILSVRC2012_ID or WNID")
            numbered[int(number.item())] = identity
            names.setdefault(identity, words if isinstance(words, str) else identity)
    return names, numbered


def _listed(root: Path, val: Path, synsets: set[str], numbered: dict[int, str]) -> list[Photo]:
    """The validation images with the synsets of Kaggle's list, or of the development kit."""
    images = sorted(path for path in val.iterdir() if path.suffix.lower() in SUFFIXES)
    kit = _kit(root)
    if (root / SOLUTION).is_file():
        table = root / SOLUTION
        rows = list(csv.reader(text(table).splitlines()))[1:]
        known = {row[0]: row[1].partition(" ")[0] for row in rows if len(row) == 2}
    elif kit is not None:
        table = kit / TRUTH
        lines = text(table).split()
        if len(lines) != len(images) or not all(NUMBER.fullmatch(line) for line in lines):
            raise ValueError(f"{shown(table)}: {len(images)} numbers are needed, one for each image of {shown(val)}")
        labels = (numbered.get(int(line), f"number {line} of {table.name}") for line in lines)
        known = {path.stem: label for path, label in zip(images, labels, strict=True)}
    else:
        raise FileNotFoundError(f"{shown(root)}: {WANTED} are needed")
    photos = []
    for path in images:
        label = known.get(path.stem, "")
        if label not in synsets:
            what = f"synset {quoted(label)} has no training images" if label else "it has no synset"
            raise ValueError(f"{shown(table)}, {quoted(path.stem)}: {what}")
        photos.append(Photo(path, path.relative_to(root).as_posix(), label))
    return photos
