"""Volumes with label maps in the layout of the Medical Segmentation Decathlon, and single volumes.

    dataset.json    {"training": [{"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"}, …],
                     "labels": {"0": "background", "1": "pancreas", …}}; optional "validation", like "training"
    imagesTr/       NIfTI volumes, `.nii.gz` or `.nii`, of three axes, or four whose last one counts the modalities
    labelsTr/       label maps of the same grid

A large annotated medical image dataset for the development and evaluation of segmentation algorithms. Simpson et al.
2019, arXiv:1902.09063. Its images for testing have no labels: without "validation" every fifth case is a test case.

Axes are brought to one orientation as far as flips and exchanges can: D from the head down, H from front to back, W
from the right of the body to the left, so that slices look as radiologists are used to. The size of a voxel stays as it
is unless a spacing is asked for. Each modality is standardised by its own mean and standard deviation. Reading needs
nibabel: `pip install regard[volumes]`.
"""

from __future__ import annotations

import hashlib
import math
import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Dataset

from regard.checks import flag, number, sequence
from regard.data.batches import collate
from regard.data.dividing import every_fifth
from regard.data.images import shown
from regard.data.texts import parsed, quoted

WANTED = "dataset.json, imagesTr/ and labelsTr/, as in the Medical Segmentation Decathlon"
SUFFIXES = (".nii.gz", ".nii")
VOXELS = 2**30  # at most, of one file: a compressed file of some kilobytes can hold any number of zeros
TAIL = 2**16  # bytes of a file that its digest reads
_ORIENTATION = ("I", "P", "L")  # where the axes D H W point

Pair = tuple[Path, Path]  # the files of a volume and of its label map


@dataclass(frozen=True)
class Volume:
    """A volume as it was read.

    Args:
        values: float32 `C D H W`, standardised.
        spacing: the size of a voxel along D, H and W, in mm.
    """

    values: Tensor
    spacing: tuple[float, float, float]


def is_volume(path: Path) -> bool:
    """Whether a file is named as a volume."""
    return path.name.lower().endswith(SUFFIXES)


def load(path: Path) -> Volume:
    """Reads one volume.

    Raises: ValueError, with the file, if it is damaged, too large, or no volume; ModuleNotFoundError without nibabel.
    """
    array, spacing = _read(path)
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim != 4 or 0 in array.shape:
        raise ValueError(f"{shown(path)} has shape {array.shape}: three axes, and a fourth for modalities, are needed")
    values = torch.from_numpy(np.ascontiguousarray(array.transpose(3, 0, 1, 2), dtype=np.float32))
    if not values.isfinite().all():
        raise ValueError(f"{shown(path)} has values that are not finite: finite ones are needed")
    flat = values.flatten(1).double()
    mean, deviation = flat.mean(1), flat.std(1, correction=0)
    standardised = (flat - mean[:, None]) / deviation.clamp_min(1e-6)[:, None]
    return Volume(standardised.view(values.shape).float(), spacing)


def _read(path: Path) -> tuple[np.ndarray, tuple[float, float, float]]:
    """The array of a file in our orientation, `D H W` or `D H W C`, and the size of a voxel. Raises: as `load`."""
    try:
        import nibabel
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{shown(path)}: reading volumes needs nibabel: pip install regard[volumes]"
        ) from error
    from nibabel.filebasedimages import ImageFileError
    from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

    if not path.is_file():
        raise FileNotFoundError(f"no file {shown(path)}")
    try:
        image: Any = nibabel.load(path)
        shape = tuple(int(side) for side in image.shape)
        if len(shape) < 3 or math.prod(shape) > VOXELS:
            raise ValueError(f"a shape of {shape}: three axes or more, and at most {VOXELS} voxels, are needed")
        turn = ornt_transform(io_orientation(image.affine), axcodes2ornt(_ORIENTATION))
        turned = image.as_reoriented(turn)
        array = np.asanyarray(turned.dataobj)
        spacing = tuple(float(side) for side in turned.header.get_zooms()[:3])
    except (OSError, EOFError, ValueError, TypeError, KeyError, IndexError, OverflowError, zlib.error) as error:
        raise ValueError(f"{shown(path)} cannot be read as a volume: {_first(error)}") from None
    except ImageFileError as error:
        raise ValueError(f"{shown(path)} cannot be read as a volume: {_first(error)}") from None
    if not all(0 < side < math.inf for side in spacing):
        raise ValueError(f"{shown(path)} has voxels of {spacing} mm: sizes above 0 are needed")
    return array, (spacing[0], spacing[1], spacing[2])


def _first(error: Exception) -> str:
    return shown(str(error).strip().partition("\n")[0][:200])


def labels(path: Path, classes: int) -> Tensor:
    """Reads a label map: uint8 `D H W`.

    Raises: ValueError, with the file, if a label is no whole number below `classes`, and as `load`.
    """
    array, _ = _read(path)
    if array.ndim == 4 and array.shape[3] == 1:
        array = array[..., 0]
    if array.ndim != 3:
        raise ValueError(f"{shown(path)} has shape {array.shape}: a label map of three axes is needed")
    found = np.unique(array)
    wrong = [value for value in found.tolist() if not (0 <= value < classes and value == int(value))]
    if wrong:
        accepted = f"dataset.json has labels from 0 to {classes - 1}"
        raise ValueError(f"{shown(path)} has the label {quoted(wrong[0])}: {accepted}")
    return torch.from_numpy(np.ascontiguousarray(array).astype(np.uint8))


class Volumes(Dataset[Mapping[str, Tensor]]):
    """A dataset of volumes with their label maps.

    Args:
        pairs: the files of the volumes and of their label maps.
        classes: the names of the classes, the background first.
        spacing: the size of a voxel along D, H and W, in mm, to which volumes are resampled; None keeps that of each.
        own: whether a sample also has the label map as it is in the file, which metrics need.

    Raises: ValueError if a spacing is not three numbers above 0.
    """

    collate_fn = staticmethod(partial(collate, listed=("truth",)))
    at_once = 1  # volumes of a test differ in size

    def __init__(
        self,
        pairs: Sequence[Pair],
        classes: Sequence[str],
        *,
        spacing: Sequence[float] | None = None,
        own: bool = False,
    ) -> None:
        self.pairs, self.classes, self.own = list(pairs), tuple(classes), flag("own", own)
        self.spacing = None if spacing is None else sequence("spacing", spacing, 3)
        for side in self.spacing or ():
            number("spacing", side, above=0)

    @property
    def names(self) -> tuple[str, ...]:
        """The file name of each volume."""
        return tuple(image.name for image, _ in self.pairs)

    @property
    def digest(self) -> str:
        """Names, sizes and last bytes of all files, where gzip keeps a checksum of the whole content; and the spacing.

        Reading every volume would take minutes at each start of a training.
        """
        content = hashlib.blake2b(repr((self.classes, self.spacing)).encode(), digest_size=16)
        for path in (path for pair in self.pairs for path in pair):
            with path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - TAIL))
                content.update(f"\0{path.name}\0{size}\0".encode() + file.read())
        return content.hexdigest()

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, i: int) -> dict[str, Tensor]:
        """The sample: `image`, float32 `C D H W`; `mask`, uint8 `D H W`; `spacing` of the file, or the one asked for.

        With `own` also `truth`, uint8 `D H W`, the label map as it is in the file; `spacing` is then that of the file.
        Raises: ValueError, with the file, if the volume and its label map differ in size, and as `load` and `labels`.
        """
        source, beside = self.pairs[i]
        volume, truth = load(source), labels(beside, len(self.classes))
        if truth.shape != volume.values.shape[1:]:
            sizes = f"{tuple(truth.shape)}, and {shown(source)} {tuple(volume.values.shape[1:])}"
            raise ValueError(f"{shown(beside)} has size {sizes}: one size is needed")
        image, mask, spacing = volume.values, truth, volume.spacing
        if self.spacing is not None:
            image, mask = resampled(image, mask, spacing, self.spacing)
        kept = spacing if self.own or self.spacing is None else self.spacing
        sample = {"image": image, "mask": mask, "spacing": torch.tensor(kept)}
        return {**sample, "truth": truth} if self.own else sample


def resampled(image: Tensor, mask: Tensor, spacing: Sequence[float], wanted: Sequence[float]) -> tuple[Tensor, Tensor]:
    """A volume and its label map with voxels of another size: linear along each axis, and by the nearest voxel.

    Shapes: image `C D H W`, mask `D H W`; spacings 3, in mm.
    """
    grid = [max(1, round(n * own / new)) for n, own, new in zip(mask.shape, spacing, wanted, strict=True)]
    values = functional.interpolate(image[None], grid, mode="trilinear", align_corners=False)[0]
    nearest = functional.interpolate(mask[None, None].double(), grid, mode="nearest-exact")[0, 0]
    return values, nearest.to(mask.dtype)


def read(folder: Path, *, spacing: Sequence[float] | None = None) -> tuple[Volumes, Volumes]:
    """Reads the table of a dataset: the training and the test volumes, these with their own label maps.

    Args:
        folder: has dataset.json.
        spacing: as for `Volumes`.

    Raises: FileNotFoundError if dataset.json or a file that it lists is missing; ValueError, with the file,
        for a damaged table, an empty list, a file that is listed for training and validation, or too few volumes.
    """
    table = folder / "dataset.json"
    if not table.is_file():
        raise FileNotFoundError(f"no file {shown(table)}: a folder with {WANTED} is needed")
    content = parsed(table)
    if not isinstance(content, dict):
        raise ValueError(f"{shown(table)}: an object with training and labels is needed")
    classes = _classes(content.get("labels"), table)
    train = _pairs(content.get("training"), "training", table)
    if not train:
        raise ValueError(f"{shown(table)}: training lists no volume: at least one is needed")
    test = _pairs(content.get("validation", []), "validation", table)
    both = {image for image, _ in train} & {image for image, _ in test}
    if both:
        raise ValueError(f"{shown(table)} lists {shown(min(both))} for training and for validation")
    if not test:
        train, test = every_fifth(train, shown(folder))
    return Volumes(train, classes, spacing=spacing), Volumes(test, classes, spacing=spacing, own=True)


def _classes(found: object, table: Path) -> tuple[str, ...]:
    """The names of the classes, in the order of their labels, which are keys or, in newer files, values."""
    wanted = f"{shown(table)}: labels from 0 up with a name for each, as {{'0': 'background', '1': 'pancreas'}}"
    if not isinstance(found, dict) or len(found) < 2:
        raise ValueError(f"{wanted}, are needed")
    turned = {str(value): key for key, value in found.items()} if "0" not in found else found
    names = [turned.get(str(label)) for label in range(len(found))]
    if not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        raise ValueError(f"{wanted}, are needed")
    return tuple(str(name) for name in names)


def _pairs(found: object, what: str, table: Path) -> list[Pair]:
    if not isinstance(found, list):
        raise ValueError(f"{shown(table)}: a list {what} is needed")
    pairs = []
    for number_of, row in enumerate(found):
        names = [row.get(key) if isinstance(row, dict) else None for key in ("image", "label")]
        if not all(isinstance(name, str) and name for name in names):
            raise ValueError(f"{shown(table)}: {what}[{number_of}]: an image and a label are needed")
        image, label = (_inside(table, str(name)) for name in names)
        pairs.append((image, label))
    return pairs


def _inside(table: Path, name: str) -> Path:
    """A listed file. Raises: ValueError if it lies outside the folder or is no volume; FileNotFoundError."""
    path = table.parent / name
    if not path.resolve().is_relative_to(table.parent.resolve()):
        raise ValueError(f"{shown(table)} lists {quoted(name)}: a file of the same folder is needed")
    if not is_volume(path):
        raise ValueError(f"{shown(table)} lists {quoted(name)}: a file that ends in {' or '.join(SUFFIXES)} is needed")
    if not path.is_file():
        raise FileNotFoundError(f"no file {shown(path)}, which {shown(table)} lists")
    return path
