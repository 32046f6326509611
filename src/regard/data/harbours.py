"""Drawn harbours with ships.

A sample has `image`, float32 `3 H W` in 0..1; `mask`, uint8 `H W` with the classes bow/stern, hull, sea and land, or
255 for void; and `ships`, float32 `M 5`: x, y of the centre, length, width, in pixels, and the angle of the length in
radians from the x axis towards the y axis, which points down. The bow lies at the angle. The first and the last fifth
of a ship are its bow and stern.

A drawn harbour has a quay in any direction, and up to two groups of ships, which lie side by side: with the bow or the
stern at the quay, or alongside it and each other; sometimes a ship at sea. On land there are halls with gables, and at
the quay jetties with a pointed end, in the colours and widths of ships. There are yards too: rectangles of land in the
colour of the sea, with sheds that look the same as ships. A shed differs from a ship in what lies around the yard only.
A drawn harbour is a function of (seed, part, index) only, whichever others are made.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from regard.checks import flag, positive, whole
from regard.data.batches import collate

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
        self.ships.append((float(centre[0]), float(centre[1]), length, beam, wrapped(angle)))

    def _paint_ship(self, a: Array, b: Array, length: float, beam: float, label: int) -> None:
        self._paint(self._hull(a, b, length, beam, TAPER * length), self._grey(), label)
        self._paint(self._hull(a + 0.38 * length, b, 0.5 * beam, 0.6 * beam, 0), self._grey(), None)  # the bridge


def _inside(distance: Array) -> Array:
    """The share of a pixel that a shape covers, from the distance of its middle to the edge, positive inside."""
    return (distance + 0.5).clip(0, 1)


def _covered(a: Array, low: float, high: float) -> Array:
    return _inside(np.minimum(a - low, high - a))


def wrapped(angle: float) -> float:
    """The angle, in radians, between -π and π."""
    return (angle + math.pi) % (2 * math.pi) - math.pi
