"""Harbours with ships: drawn ones, and those of HRSC2016.

Both give `image`, float32 `3 H W` in 0..1; `mask`, uint8 `H W` with the classes bow/stern, hull, sea and land, or 255
for void; and `ships`, float32 `M 5`: x, y of the centre, length, width, in pixels, and the angle of the length in
radians from the x axis towards the y axis, which points down. The bow lies at the angle. The first and the last fifth
of a ship are its bow and stern.

A drawn harbour has a quay in any direction, and up to two groups of ships, which lie side by side: with the bow or the
stern at the quay, or alongside it and each other; sometimes a ship at sea. On land there are halls with gables, and at
the quay jetties with a pointed end, in the colours and widths of ships. There are yards too: rectangles of land in the
colour of the sea, with sheds that look the same as ships. A shed differs from a ship in what lies around the yard only.
A drawn harbour is a function of (seed, part, index) only, whichever others are made.

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
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Dataset

from regard.checks import flag, positive, whole
from regard.data.batches import collate
from regard.data.images import SUFFIXES, quiet, read_mask, shown
from regard.data.images import whole as read_whole

ENDS, HULL, SEA, LAND, VOID = 0, 1, 2, 3, 255
CLASSES = ("bow/stern", "hull", "sea", "land")
SIZE = 96
LEAST_SIZE = 64  # below, no group of ships fits
END_SHARE = 0.2  # of a ship's length, at each end
TAPER = 0.22  # of a ship's length that its bow is pointed
LENGTHS, BEAMS = (0.23, 0.36), (0.06, 0.085)  # as shares of the image's side
GROUPS, ABREAST, GAP = 2, (2, 5), (2.0, 3.2)  # of ships; of the gap, in pixels
GREYS = (0.42, 0.85)  # of decks, halls and jetties
YARD = 0.09  # of the image's side: the least distance of a shed from the edge of its yard
NOISE = 0.03

Array = NDArray[np.float64]
Sample = dict[str, Tensor]


class Harbours(Dataset[Sample]):
    """A dataset of drawn harbours.

    Args:
        count: the number of images.
        size: H and W, in pixels, at least 64.
        seed: of all images.
        part: a further number that seeds them, such as 0 for training and 1 for testing.
        boxes: whether a sample has `ships`, which no augmentation moves.

    Raises: ValueError if an argument is out of range.
    """

    collate_fn = staticmethod(partial(collate, listed=("ships",)))

    def __init__(self, *, count: int, size: int = SIZE, seed: int = 0, part: int = 0, boxes: bool = True) -> None:
        self.count, self.size = positive("count", count), whole("size", size, LEAST_SIZE)
        self.key = (whole("seed", seed, 0), whole("part", part, 0))
        self.boxes = flag("boxes", boxes)
        self.drawn: dict[int, Sample] = {}

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, i: int) -> Sample:
        if not 0 <= i < len(self):
            raise IndexError(f"index {i} is out of range: there are {len(self)} harbours")
        if i not in self.drawn:
            self.drawn[i] = _Scene(self.size, np.random.default_rng([*self.key, i])).sample()
        sample = {**self.drawn[i], "image": self.drawn[i]["image"].float().div_(255)}
        return sample if self.boxes else {name: value for name, value in sample.items() if name != "ships"}


class _Scene:
    """One harbour while it is drawn: the image, the labels and the boxes so far.

    The quay is the line v = 0 of coordinates u, v that are turned against the image's, with the sea at v > 0.
    """

    def __init__(self, size: int, random: np.random.Generator) -> None:
        self.size, self.random = size, random
        x, y = np.meshgrid(np.arange(size) + 0.5, np.arange(size) + 0.5)
        self.turn = random.uniform(0, 2 * math.pi)
        self.along = np.array((math.cos(self.turn), math.sin(self.turn)))
        self.out = np.array((-self.along[1], self.along[0]))
        middle = np.array((size / 2, size / 2)) - random.uniform(0.12, 0.26) * size * self.out
        self.quay = middle
        self.x, self.y = x, y
        self.ships: list[tuple[float, float, float, float, float]] = []
        v = (x - middle[0]) * self.out[0] + (y - middle[1]) * self.out[1]
        self.sea = random.uniform((0.08, 0.2, 0.25), (0.2, 0.36, 0.45))
        land = random.uniform((0.36, 0.34, 0.28), (0.6, 0.56, 0.48))
        self.image = np.empty((size, size, 3))
        self.image[:] = self.sea
        self.mask = np.full((size, size), SEA, np.uint8)
        self._paint(_covered(v, -np.inf, 0), land, LAND)
        self._draw_land()
        self._draw_yard()
        self._draw_berths()

    def sample(self) -> Sample:
        noisy = self.image + NOISE * self.random.standard_normal(self.image.shape)
        pixels = (noisy.clip(0, 1) * 255).round().astype(np.uint8)
        return {
            "image": torch.from_numpy(pixels).permute(2, 0, 1).contiguous(),
            "mask": torch.from_numpy(self.mask),
            "ships": torch.tensor(self.ships, dtype=torch.float32).reshape(-1, 5),
        }

    def _at(self, u: float, v: float) -> Array:
        """The place in the image of a place along and off the quay."""
        place: Array = self.quay + u * self.along + v * self.out
        return place

    def _local(self, centre: Array, angle: float) -> tuple[Array, Array]:
        """Coordinates of all pixels along and across a shape."""
        dx, dy = self.x - centre[0], self.y - centre[1]
        return dx * math.cos(angle) + dy * math.sin(angle), dy * math.cos(angle) - dx * math.sin(angle)

    def _paint(self, covered: Array, colour: Array, label: int | None) -> None:
        self.image += covered[..., None] * (colour - self.image)
        if label is not None:
            self.mask[covered > 0.5] = label

    def _grey(self) -> Array:
        grey: Array = self.random.uniform(*GREYS) + self.random.uniform(-0.05, 0.05, 3)
        return grey

    def _hull(self, a: Array, b: Array, length: float, beam: float, taper: float) -> Array:
        """A rectangle whose end at positive `a` is pointed over `taper` pixels."""
        pointed = (length / 2 - a) * (beam / 2) / max(taper, 1e-6)
        return _covered(a, -length / 2, length / 2) * _inside(np.minimum(beam / 2, pointed) - np.abs(b))

    def _draw_land(self) -> None:
        """Halls, some with a gable as pointed as a bow, in rows as tight as ships; and jetties with a pointed end."""
        random = self.random
        for _ in range(random.integers(2, 4)):
            u, v = random.uniform(-0.6, 0.6) * self.size, -random.uniform(0.08, 0.3) * self.size
            angle = self.turn + random.choice((0.0, 0.5, 1.0, 1.5)) * math.pi
            step = np.array((-math.sin(angle), math.cos(angle)))
            place = self._at(u, v)
            for _ in range(random.integers(1, 5)):
                beam = random.uniform(*BEAMS) * self.size
                length = random.uniform(1.1, 2.2) * beam
                self._draw_shape(place, angle, length, beam, gable=bool(random.random() < 0.7), label=LAND)
                place = place + (beam + random.uniform(*GAP)) * step
        for _ in range(random.integers(0, 3)):
            beam, length = random.uniform(*BEAMS) * self.size, random.uniform(0.12, 0.22) * self.size
            centre = self._at(random.uniform(-0.5, 0.5) * self.size, length / 2)
            self._draw_shape(centre, self.turn + math.pi / 2, length, beam, gable=True, label=LAND)

    def _draw_yard(self) -> None:
        random, margin = self.random, YARD * self.size
        length, beam = random.uniform(*LENGTHS) * self.size, random.uniform(*BEAMS) * self.size
        count = int(random.integers(1, 3))
        depth = count * (beam + GAP[1]) + 2 * margin
        u, top = random.uniform(-0.35, 0.35) * self.size, -random.uniform(0.04, 0.08) * self.size
        a, b = self._local(self._at(u, top - depth / 2), self.turn)
        yard = self._hull(a, b, length + 2 * margin, depth, 0)
        self._paint(yard, self.sea, LAND)
        for i in range(count):
            centre = self._at(u, top - margin - beam / 2 - i * (beam + random.uniform(*GAP)))
            angle = self.turn + math.pi * float(random.random() < 0.5)
            self._paint_ship(*self._local(centre, angle), length * random.uniform(0.85, 1.0), beam, LAND)

    def _draw_shape(self, centre: Array, angle: float, length: float, beam: float, *, gable: bool, label: int) -> None:
        a, b = self._local(centre, angle)
        taper = beam * self.random.uniform(0.9, 1.3) if gable else 0.0
        self._paint(self._hull(a, b, length, beam, taper), self._grey(), label)
        if self.random.random() < 0.6:  # as a bridge at a stern
            self._paint(self._hull(a + length / 2 - 0.45 * beam, b, 0.5 * beam, 0.6 * beam, 0), self._grey(), None)

    def _draw_berths(self) -> None:
        random = self.random
        taken: list[tuple[float, float]] = []
        for _ in range(GROUPS):
            alongside = random.random() < 0.4
            count = int(random.integers(*ABREAST))
            length, beam = random.uniform(*LENGTHS) * self.size, random.uniform(*BEAMS) * self.size
            reach = length if alongside else count * (beam + GAP[1])
            u = random.uniform(-0.42, 0.42) * self.size - reach / 2
            if any(u < right + 3 and left < u + reach + 3 for left, right in taken):
                continue
            taken.append((u, u + reach))
            angle = self.turn + (0 if alongside else math.pi / 2) + math.pi * float(random.random() < 0.5)
            off = random.uniform(1.0, 2.5)
            for _ in range(count):
                own = length * random.uniform(0.85, 1.15), beam * random.uniform(0.9, 1.1)
                if alongside:
                    centre = self._at(u + reach / 2 + random.uniform(-0.12, 0.12) * length, off + own[1] / 2)
                    off += own[1] + random.uniform(*GAP)
                else:
                    centre = self._at(u + own[1] / 2, off + own[0] / 2)
                    u += own[1] + random.uniform(*GAP)
                self._draw_ship(centre, angle + random.uniform(-0.03, 0.03), *own)
        if random.random() < 0.5:
            centre = self._at(random.uniform(-0.4, 0.4) * self.size, random.uniform(0.3, 0.6) * self.size)
            own = random.uniform(*LENGTHS) * self.size, random.uniform(*BEAMS) * self.size
            self._draw_ship(centre, random.uniform(0, 2 * math.pi), *own)

    def _draw_ship(self, centre: Array, angle: float, length: float, beam: float) -> None:
        """Draws a ship if it lies inside the image, in the sea and on no other."""
        a, b = self._local(centre, angle)
        body = self._hull(a, b, length, beam, TAPER * length)
        reach = [abs(math.cos(angle)) * length + abs(math.sin(angle)) * beam]
        reach.append(abs(math.sin(angle)) * length + abs(math.cos(angle)) * beam)
        inside = all(half / 2 + 1 <= c <= self.size - half / 2 - 1 for c, half in zip(centre, reach, strict=True))
        if not inside or (self.mask[body > 0.5] != SEA).any():
            return
        self._paint_ship(a, b, length, beam, HULL)
        self.mask[(body > 0.5) & (np.abs(a) > (0.5 - END_SHARE) * length)] = ENDS
        self.ships.append((float(centre[0]), float(centre[1]), length, beam, _wrapped(angle)))

    def _paint_ship(self, a: Array, b: Array, length: float, beam: float, label: int) -> None:
        self._paint(self._hull(a, b, length, beam, TAPER * length), self._grey(), label)
        self._paint(self._hull(a + 0.38 * length, b, 0.5 * beam, 0.6 * beam, 0), self._grey(), None)  # the bridge


def _inside(distance: Array) -> Array:
    """The share of a pixel that a shape covers, from the distance of its middle to the edge, positive inside."""
    return (distance + 0.5).clip(0, 1)


def _covered(a: Array, low: float, high: float) -> Array:
    return _inside(np.minimum(a - low, high - a))


def _wrapped(angle: float) -> float:
    return (angle + math.pi) % (2 * math.pi) - math.pi


# HRSC2016


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
    return Ship((x, y, length, width, _wrapped(angle)), headed)


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
