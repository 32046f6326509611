"""HRSC2016: photographs of harbours with ships, in the form of the drawn ones (`data/harbours.py`).

HRSC2016 (Liu, Wang, Weng, Yang. A High Resolution Optical Satellite Image Dataset for Ship Recognition and Some New
Baselines. ICPRAM 2017, doi:10.5220/0006120603240331), as remembered, not verified on the dataset itself:

    AllImages/<name>.bmp, Annotations/<name>.xml, ImageSets/{train,val,trainval,test}.txt, perhaps LandMask/<name>.png
    HRSC_Object: mbox_cx, mbox_cy, mbox_w (length), mbox_h (width) in pixels; mbox_ang in radians; header_x, header_y

Without land masks nothing is known about land, and all that is no ship is labelled sea.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn import functional
from torch.utils.data import Dataset

from regard.checks import flag, positive
from regard.data.batches import collate
from regard.data.harbours import END_SHARE, ENDS, HULL, LAND, SEA, TAPER, VOID, Array, Sample, wrapped
from regard.data.images import SUFFIXES, quiet, read_mask, shown
from regard.data.images import whole as read_whole


@dataclass(frozen=True)
class Ship:
    """An annotated ship.

    Args:
        box: x, y, length, width, angle; its bow lies at the angle if `headed`.
        headed: whether the file says where the bow is.
    """

    box: tuple[float, float, float, float, float]
    headed: bool


@dataclass(frozen=True)
class Photograph:
    """An image file with its ships, and the file that says what is land, if there is one."""

    path: Path
    ships: tuple[Ship, ...]
    land: Path | None


def read(folder: Path) -> tuple[list[Photograph], list[Photograph]]:
    """Reads HRSC2016: training photographs (`trainval`, or `train` and `val`) and test photographs.

    Raises: FileNotFoundError if a folder, a list or a file of it is missing; ValueError for a list without names, or an
        annotation that cannot be used.
    """
    for name in ("AllImages", "Annotations", "ImageSets"):
        if not (folder / name).is_dir():
            raise FileNotFoundError(f"{shown(folder)}: a folder {name}/ is needed")
    lists = folder / "ImageSets"
    train = ["trainval"] if (lists / "trainval.txt").is_file() else ["train", "val"]
    images = {path.stem: path for path in sorted((folder / "AllImages").iterdir()) if path.suffix.lower() in SUFFIXES}
    return [_photograph(folder, images, name) for name in _names(lists, train)], [
        _photograph(folder, images, name) for name in _names(lists, ["test"])
    ]


def _names(lists: Path, parts: Sequence[str]) -> list[str]:
    found: list[str] = []
    for part in parts:
        path = lists / f"{part}.txt"
        if not path.is_file():
            raise FileNotFoundError(f"{shown(path)}: a list of the {part} images is needed")
        found += path.read_text(encoding="utf-8").split()
    if not found:
        raise ValueError(f"{shown(lists / parts[0])}.txt: the names of images are needed, and there are none")
    return found


def _photograph(folder: Path, images: Mapping[str, Path], name: str) -> Photograph:
    if name not in images:
        raise FileNotFoundError(f"{shown(folder / 'AllImages')}: the image {name} is missing")
    land = [path for path in (folder / "LandMask" / f"{name}{end}" for end in (".png", ".bmp")) if path.is_file()]
    return Photograph(images[name], annotated(folder / "Annotations" / f"{name}.xml"), land[0] if land else None)


def annotated(path: Path) -> tuple[Ship, ...]:
    """Reads the ships of an annotation of HRSC2016.

    The angle is turned by half a turn where the header, the place of the bow, lies at the other end.

    Raises: FileNotFoundError without the file; ValueError if it is no XML, or a box lacks a number, or length or width
        is not positive.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{shown(path)}: the annotation is missing")
    text = path.read_bytes()
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text:  # no annotation has any, and entities can expand without end
        raise ValueError(f"{shown(path)}: an annotation without DOCTYPE is needed")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise ValueError(f"{shown(path)}: an XML annotation is needed: {error}") from error
    return tuple(_ship(path, i, item) for i, item in enumerate(root.iter("HRSC_Object"), 1))


def _ship(path: Path, i: int, item: ElementTree.Element) -> Ship:
    def value(name: str) -> float:
        try:
            number = float(item.findtext(name) or "")
        except ValueError:
            number = math.nan
        return number

    names = ("mbox_cx", "mbox_cy", "mbox_w", "mbox_h", "mbox_ang")
    x, y, length, width, angle = box = tuple(value(name) for name in names)
    for name, number in zip(names, box, strict=True):
        if not math.isfinite(number) or (name in ("mbox_w", "mbox_h") and number <= 0):
            text = item.findtext(name)
            raise ValueError(f"{shown(path)}: {name}={text!r} of object {i}: a number, above 0 for sides, is needed")
    if length < width:
        length, width, angle = width, length, angle + math.pi / 2
    bow = value("header_x") - x, value("header_y") - y
    headed = all(math.isfinite(one) for one in bow)
    if headed and bow[0] * math.cos(angle) + bow[1] * math.sin(angle) < 0:
        angle += math.pi
    return Ship((x, y, length, width, wrapped(angle)), headed)


class Photographs(Dataset[Sample]):
    """A dataset of photographs with ships, the longer side resized to `size`, padded to a square with void.

    Args:
        photographs: as `read` returns them.
        size: H and W, in pixels.
        boxes: whether a sample has `ships`, which no augmentation moves.

    Raises: ValueError if `size` is not positive.
    """

    collate_fn = staticmethod(partial(collate, listed=("ships",)))

    def __init__(self, photographs: Sequence[Photograph], size: int, *, boxes: bool = True) -> None:
        self.photographs, self.size, self.boxes = list(photographs), positive("size", size), flag("boxes", boxes)

    def __len__(self) -> int:
        return len(self.photographs)

    def __getitem__(self, i: int) -> Sample:
        """The sample. Raises: UnreadableImage; ValueError if the land mask has another size than the image."""
        photograph = self.photographs[i]
        with quiet():
            picture = read_whole(photograph.path)
            land = None if photograph.land is None else read_mask(photograph.land)
        height, width = picture.pixels.shape[1:]
        if land is not None and land.shape != (height, width):
            raise ValueError(
                f"{shown(photograph.land or '')} has {land.shape[1]}×{land.shape[0]}: {width}×{height} is needed"
            )
        factor = self.size / max(height, width)
        tall, wide = max(1, round(height * factor)), max(1, round(width * factor))
        image = functional.interpolate(
            picture.pixels[None].float(), (tall, wide), mode="bilinear", antialias=True, align_corners=False
        )[0]
        labels = np.full((tall, wide), SEA, np.uint8)
        if land is not None:
            resized = Image.fromarray(land.astype(np.uint8)).resize((wide, tall), Image.Resampling.NEAREST)
            labels[np.asarray(resized) > 0] = LAND
        scale = np.array((wide / width, tall / height, factor, factor, 1))
        boxes = np.array([ship.box for ship in photograph.ships], np.float64).reshape(-1, 5) * scale
        for box, ship in zip(boxes, photograph.ships, strict=True):
            label(labels, box, headed=ship.headed)
        margin = (0, self.size - wide, 0, self.size - tall)
        sample = {
            "image": functional.pad(image.div_(255).clamp_(0, 1), margin),
            "mask": functional.pad(torch.from_numpy(labels), margin, value=VOID),
        }
        return {**sample, "ships": torch.from_numpy(boxes).float()} if self.boxes else sample


def label(labels: NDArray[np.uint8], box: Array, *, headed: bool) -> None:
    """Labels the pixels of a ship in `labels` `H W`: its ends and its hull, with a pointed bow if it is known."""
    x, y, length, width, angle = (float(value) for value in box)
    reach = math.hypot(length, width) / 2 + 1
    rows = slice(max(0, math.floor(y - reach)), max(0, math.ceil(y + reach)))
    columns = slice(max(0, math.floor(x - reach)), max(0, math.ceil(x + reach)))
    part = labels[rows, columns]
    dy, dx = np.mgrid[: part.shape[0], : part.shape[1]] + 0.5
    dx, dy = dx + columns.start - x, dy + rows.start - y
    a, b = dx * math.cos(angle) + dy * math.sin(angle), dy * math.cos(angle) - dx * math.sin(angle)
    half: Array | float = width / 2
    if headed:
        half = np.minimum(half, (length / 2 - a) * (width / 2) / (TAPER * length))
    ship = (np.abs(a) <= length / 2) & (np.abs(b) <= half)
    part[ship] = HULL
    part[ship & (np.abs(a) > (0.5 - END_SHARE) * length)] = ENDS
