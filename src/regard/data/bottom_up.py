"""Regions of photographs with their features, in the two layouts in which bottom-up features are published.

    TSV     a line an image, of six columns: image_id, image_w, image_h, num_boxes, and boxes and features as base64 of
            little-endian float32, `N 4` in pixels and `N C`
    NPZ     a folder with `<image_id>.npz` for each image: `x` or `features` `N C`, `bbox` or `boxes` `N 4` in pixels,
            `image_w` and `image_h`

Two further columns of the TSV, or arrays of an NPZ, may say what a region is: `classes`, the name of each region's
class (a JSON list; an array of text), and `scores`, how sure of it the detector is (base64; an array `N`, 0..1).

The released files are of Faster R-CNN on ResNet-101, trained on Visual Genome: 10 to 100 or 36 regions an image, of
2,048 features each. `regard regions photos/ --out features.tsv` writes a TSV.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from regard.data.images import shown

COLUMNS = ("image_id", "image_w", "image_h", "num_boxes", "boxes", "features")
FURTHER = ("classes", "scores")
OUTSIDE = 1.0  # pixels by which a released box may lie outside its image


@dataclass(frozen=True)
class Seen:
    """The regions of one image.

    Args:
        name: the image's id.
        width, height: of the image, in pixels.
        boxes: left, top, right, bottom in pixels.
        features: of each box.
        classes: the name of the class of each box; empty if they are not known.
        scores: of the classes, from 0 to 1; given with them, and not without.

    Shapes: boxes `N 4`, features `N C`, scores `N`, float32.
    Raises: ValueError if there is no region, the shapes do not fit, a number is not finite, a box lies outside, or a
        score is not in 0..1.
    """

    name: str
    width: int
    height: int
    boxes: NDArray[np.float32]
    features: NDArray[np.float32]
    classes: tuple[str, ...] = ()
    scores: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise ValueError(f"image {self.name}: {self.width} x {self.height} pixels: a size above 0 is needed")
        if self.boxes.ndim != 2 or self.boxes.shape[1] != 4 or not len(self.boxes):
            raise ValueError(f"image {self.name}: boxes {self.boxes.shape}: N 4 with at least one are needed")
        if self.features.ndim != 2 or len(self.features) != len(self.boxes) or not self.features.shape[1]:
            raise ValueError(
                f"image {self.name}: features {self.features.shape} for {len(self.boxes)} boxes: N C are needed"
            )
        if not (np.isfinite(self.boxes).all() and np.isfinite(self.features).all()):
            raise ValueError(f"image {self.name}: boxes and features have to be finite numbers")
        if bool(self.classes) != (self.scores is not None):
            raise ValueError(f"image {self.name}: classes and scores are needed together, or neither of them")
        if self.scores is not None:
            if not len(self.classes) == len(self.boxes) == self.scores.size or self.scores.ndim != 1:
                raise ValueError(
                    f"image {self.name}: {len(self.classes)} classes and {self.scores.size} scores for "
                    f"{len(self.boxes)} boxes: one of each a box is needed"
                )
            if not ((self.scores >= 0) & (self.scores <= 1)).all():
                raise ValueError(f"image {self.name}: scores from 0 to 1 are needed")
        inside = (-OUTSIDE, -OUTSIDE), (self.width + OUTSIDE, self.height + OUTSIDE)
        for i, box in enumerate(self.boxes):
            left, top, right, bottom = map(float, box)
            if not (inside[0][0] <= left <= right <= inside[1][0] and inside[0][1] <= top <= bottom <= inside[1][1]):
                raise ValueError(
                    f"image {self.name}: box {i} is {[round(value, 1) for value in (left, top, right, bottom)]}: left, "
                    f"top, right, bottom inside {self.width} x {self.height} are needed"
                )

    @property
    def relative(self) -> Tensor:
        """The boxes in 0..1, `N 4`."""
        sides = np.array([self.width, self.height] * 2, np.float32)
        return torch.from_numpy(self.boxes / sides).clamp(0, 1)


class BottomUp:
    """The regions of many images, read when they are asked for; names are found first, without decoding a feature.

    Args:
        path: a TSV file, or a folder with an NPZ file for each image.

    Raises: ValueError if it is neither, is empty, or has a line of other columns; OSError if it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.width: int | None = None  # of the features, as of the first image that was read
        self._places: dict[str, int] = {}
        if self.path.is_dir():
            self._places = {file.stem: 0 for file in sorted(self.path.glob("*.npz"))}
        else:
            with self.path.open("rb") as file:
                place = file.tell()
                for number, line in enumerate(iter(file.readline, b""), 1):
                    if line.strip():
                        self._places[_columns(line, self.path, number)[0]] = place
                    place = file.tell()
        if not self._places:
            raise ValueError(
                f"{shown(self.path)}: no image: a TSV of {len(COLUMNS)} columns or a folder of NPZ files is needed"
            )

    def __len__(self) -> int:
        return len(self._places)

    @property
    def names(self) -> tuple[str, ...]:
        """The ids of the images."""
        return tuple(self._places)

    def find(self, name: str) -> str | None:
        """The id of an image, by its id or by a file's name, of which COCO's ends in the id with zeros before it."""
        stem = Path(name).stem
        last = stem.rpartition("_")[2]
        choices = (name, stem, last, last.lstrip("0") or "0")
        return next((choice for choice in choices if choice in self._places), None)

    def __getitem__(self, name: str) -> Seen:
        """The regions of an image.

        Raises: LookupError if there is none of this name; ValueError if its line or file is damaged, or its features
            are not as wide as those read before.
        """
        found = self.find(name)
        if found is None:
            raise LookupError(
                f"{shown(self.path)} has no image {name!r}; it has {len(self)}, such as {self.names[0]!r}"
            )
        seen = _from_npz(self.path / f"{found}.npz") if self.path.is_dir() else self._line(found)
        width = seen.features.shape[1]
        if self.width is None:
            self.width = width
        elif width != self.width:
            raise ValueError(f"{shown(self.path)}: image {found} has {width} features a region, others {self.width}")
        return seen

    def _line(self, name: str) -> Seen:
        with self.path.open("rb") as file:
            file.seek(self._places[name])
            columns = _columns(file.readline(), self.path, name)
        where = f"{shown(self.path)}, image {name}"
        try:
            width, height, count = (int(float(value)) for value in columns[1:4])
            boxes, features = (_numbers(text) for text in columns[4:6])
            scores = _numbers(columns[7]) if len(columns) > len(COLUMNS) else None
        except (ValueError, binascii.Error, OverflowError) as error:
            raise ValueError(f"{where}: whole numbers and base64 of float32 are needed: {error}") from None
        if count < 1 or len(boxes) != 4 * count or len(features) % count:
            raise ValueError(
                f"{where}: {len(boxes)} numbers of boxes and {len(features)} of features for {count} boxes: 4 and "
                "equally many a box are needed"
            )
        classes = _names(columns[6], where) if scores is not None else ()
        return Seen(name, width, height, boxes.reshape(count, 4), features.reshape(count, -1), classes, scores)


def write(path: Path, images: Iterable[Seen]) -> int:
    """Writes a TSV; the file is there when all of it is. Returns: the number of images. Raises: OSError."""
    part, count = path.with_name(f"{path.name}.part"), 0
    try:
        with part.open("wb") as file:
            for seen in images:
                numbers = (seen.name, seen.width, seen.height, len(seen.boxes))
                further = () if seen.scores is None else (json.dumps(seen.classes), _coded(seen.scores))
                columns = (*map(str, numbers), _coded(seen.boxes), _coded(seen.features), *further)
                file.write(("\t".join(columns) + "\n").encode())
                count += 1
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return count


def _columns(line: bytes, path: Path, where: object) -> list[str]:
    try:
        columns = line.rstrip(b"\r\n").decode("ascii").split("\t")
    except UnicodeDecodeError:
        columns = []
    if len(columns) not in (len(COLUMNS), len(COLUMNS) + len(FURTHER)):
        raise ValueError(
            f"{shown(path)}, line {where}: {len(columns)} columns: the {len(COLUMNS)} columns {', '.join(COLUMNS)}, "
            f"separated by tabs, are needed, and {' and '.join(FURTHER)} may follow"
        )
    return columns


def _coded(values: NDArray[np.float32]) -> str:
    return base64.b64encode(values.astype("<f4").tobytes()).decode()


def _numbers(text: str) -> NDArray[np.float32]:
    return np.frombuffer(base64.b64decode(text, validate=True), "<f4")


def _names(text: str, where: str) -> tuple[str, ...]:
    try:
        names = json.loads(text)
    except ValueError:
        names = None
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{where}: classes have to be a JSON list of names")
    return tuple(names)


def _from_npz(file: Path) -> Seen:
    """Reads one image. Raises: ValueError if an array is missing or has another shape; OSError."""
    try:
        with np.load(file, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
    except (ValueError, EOFError, KeyError) as error:
        raise ValueError(f"{shown(file)}: an NPZ file of numbers is needed: {error}") from None
    features, boxes = found.get("x", found.get("features")), found.get("bbox", found.get("boxes"))
    if features is None or boxes is None or "image_w" not in found or "image_h" not in found:
        raise ValueError(f"{shown(file)} has {', '.join(found) or 'nothing'}: x, bbox, image_w and image_h are needed")
    try:
        sizes = int(found["image_w"]), int(found["image_h"])
        classes = tuple(map(str, found.get("classes", ())))
        scores = found["scores"].astype(np.float32) if "scores" in found else None
        return Seen(file.stem, *sizes, boxes.astype(np.float32), features.astype(np.float32), classes, scores)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{shown(file)}: {error}") from None
