"""Drawn persons under six cameras; `pedestrian_files` writes them in the layouts of Market-1501 and MARS.

A person is a look: colours of skin, hair, upper and lower clothes and shoes, a texture, trousers, a skirt or shorts, a
bag or none, and a build. All persons share one palette, so that colours alone do not tell who wears which of them
where. A camera has a cast, a blur, noise and a background of its own, with things in the colours of clothes; a shot has
a pose, a place, a size, and perhaps an occluder, which hides the legs or a side.

The look is a function of (seed, person), the camera of (seed, camera), and a shot of (seed, person, camera, shot).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from regard.checks import each_axis, number, positive, whole
from regard.data.persons import DISTRACTOR

CAMERAS = 6
SIZE = (64, 32)
LEAST_SIZE = 16
FINE = 2  # shapes are drawn so many times larger, and averaged
# Red, blue, green, yellow, purple, white, black, grey, brown and orange.
COLOURS = np.array([(200, 40, 40), (40, 70, 190), (40, 140, 60), (225, 195, 50), (120, 50, 140)])
COLOURS = np.concatenate([COLOURS, [(235, 235, 235), (35, 35, 40), (130, 130, 135), (120, 80, 45), (230, 130, 50)]])
SKINS = np.array([(245, 205, 175), (200, 150, 115), (130, 90, 65), (90, 60, 45)])
HAIRS = np.array([(30, 25, 25), (95, 60, 35), (205, 170, 95), (150, 150, 150)])
TEXTURES = ("plain", "rows", "columns", "checks")
LOWERS = ("trousers", "skirt", "shorts")
BAGS = ("none", "back", "hand")
HEAD, UPPER, LOWER, SHOES, OTHER = range(1, 6)  # OTHER: of the person, and of no part


@dataclass(frozen=True)
class Look:
    """The appearance of a person, the same in all shots: colours as indices into the palettes, and a build."""

    skin: int
    hair: int
    long_hair: bool
    upper: int
    second: int
    texture: str
    lower: int
    lower_kind: str
    shoes: int
    bag: str
    bag_colour: int
    tall: float
    wide: float


@dataclass(frozen=True)
class Picture:
    """A drawn shot: the image, uint8 `H W 3`, and what is seen of the parts, bool `4 H W`, and of the person, `H W`."""

    image: np.ndarray
    parts: np.ndarray
    person: np.ndarray


@dataclass(frozen=True)
class _Camera:
    gain: np.ndarray
    wall: np.ndarray
    ground: np.ndarray
    horizon: float
    blur: float
    noise: float


@dataclass(frozen=True)
class _Occluder:
    """It hides the lowest part of the image, or a side of it: `extent` is its share."""

    low: bool
    right: bool
    colour: int
    extent: float


class Pedestrians:
    """Draws persons.

    Args:
        size: height and width of an image, in pixels.
        seed: of all looks, cameras and shots.
        occlusion: the probability of an occluder in a shot.

    Raises: ValueError if an argument is out of range.
    """

    def __init__(self, *, size: tuple[int, int] = SIZE, seed: int = 0, occlusion: float = 0.3) -> None:
        height, width = each_axis("size", size, 2, LEAST_SIZE)
        self.size = (height, width)
        self.seed = whole("seed", seed, 0)
        self.occlusion = number("occlusion", occlusion, least=0, most=1)
        rows, columns = ((np.arange(FINE * n) + 0.5) / (FINE * height) for n in (height, width))
        self._y, self._x = np.meshgrid(
            rows, columns - columns.mean(), indexing="ij"
        )  # the height is 1, x = 0 the middle

    def look(self, person: int) -> Look:
        """The look of a person, a number above 0."""
        random = np.random.default_rng([self.seed, 1, positive("person", person)])
        upper, second = random.permutation(len(COLOURS))[:2].tolist()
        return Look(
            skin=int(random.integers(len(SKINS))),
            hair=int(random.integers(len(HAIRS))),
            long_hair=bool(random.integers(2)),
            upper=upper,
            second=second,
            texture=TEXTURES[random.integers(len(TEXTURES))],
            lower=int(random.integers(len(COLOURS))),
            lower_kind=LOWERS[random.integers(len(LOWERS))],
            shoes=int(random.integers(len(COLOURS))),
            bag=BAGS[random.integers(len(BAGS))],
            bag_colour=int(random.integers(len(COLOURS))),
            tall=float(random.uniform(0.78, 0.9)),
            wide=float(random.uniform(0.85, 1.2)),
        )

    def shot(self, person: int, camera: int, shot: int, *, occluded: bool | None = None) -> Picture:
        """Draws a shot of a person, or of nobody (0, a distractor).

        Args:
            person: its number; 0 draws the background and things only.
            camera: from 1 to 6.
            shot: its number.
            occluded: whether there is an occluder; None draws it with the probability `occlusion`.
        """
        return self.clip(person, camera, shot, 1, occluded=occluded)[0]

    def clip(self, person: int, camera: int, shot: int, frames: int, *, occluded: bool | None = None) -> list[Picture]:
        """Draws a walking person: as `shot`, with an occluder, if there is one, in a half of the frames in a row."""
        if whole("camera", camera, 1) > CAMERAS:
            raise ValueError(f"camera={camera}: a number from 1 to {CAMERAS} is needed")
        positive("frames", frames)
        random = np.random.default_rng([self.seed, 2, whole("person", person, 0), camera, whole("shot", shot, 0)])
        place = (random.uniform(-0.03, 0.03), random.uniform(0.94, 0.99), random.uniform(0.93, 1.03))
        phase, side = random.uniform(0, 2 * math.pi), bool(random.integers(2))
        chance, low, right = random.random(), bool(random.integers(2)), bool(random.integers(2))
        occluder = _Occluder(low, right, int(random.integers(len(COLOURS))), random.uniform(0.3, 0.5))
        hidden = chance < self.occlusion if occluded is None else occluded
        begins = 0 if frames == 1 else int(random.integers(3)) * frames // 4
        ends = begins + max(1, frames // 2)
        things = self._things(random)
        return [
            self._picture(
                None if person == DISTRACTOR else self.look(person),
                camera,
                random,
                things,
                place,
                phase + 2 * math.pi * frame / 8,
                side,
                occluder if hidden and begins <= frame < ends else None,
            )
            for frame in range(frames)
        ]

    def _things(self, random: np.random.Generator) -> list[tuple[float, float, float, float, int]]:
        """Things in the background: left, top, width, height and colour of each."""
        return [
            (
                random.uniform(-0.3, 0.2),
                random.uniform(0.05, 0.75),
                random.uniform(0.05, 0.16),
                random.uniform(0.08, 0.3),
                int(random.integers(len(COLOURS))),
            )
            for _ in range(random.integers(2, 6))
        ]

    def _camera(self, camera: int) -> _Camera:
        random = np.random.default_rng([self.seed, 3, camera])
        return _Camera(
            gain=random.uniform(0.7, 1.2, size=3) * random.uniform(0.75, 1.1),
            wall=random.uniform(70, 200, size=3),
            ground=random.uniform(60, 170, size=3),
            horizon=random.uniform(0.4, 0.75),
            blur=random.uniform(0.0, 1.0),
            noise=random.uniform(2, 8),
        )

    def _picture(
        self,
        look: Look | None,
        camera: int,
        random: np.random.Generator,
        things: list[tuple[float, float, float, float, int]],
        place: tuple[float, float, float],
        phase: float,
        side: bool,
        occluder: _Occluder | None,
    ) -> Picture:
        eye = self._camera(camera)
        canvas = np.where((self._y < eye.horizon)[..., None], eye.wall, eye.ground)
        labels = np.zeros(self._y.shape, np.uint8)
        for left, top, width, height, colour in things:
            inside = (self._x > left) & (self._x < left + width) & (self._y > top) & (self._y < top + height)
            canvas[inside] = COLOURS[colour]
        if look is not None:
            self._person(canvas, labels, look, place, phase, side)
        if occluder is not None:
            self._occlude(canvas, labels, occluder)
        blurred = gaussian_filter(canvas, (eye.blur * FINE * self.size[0] / 64,) * 2 + (0,)) * eye.gain
        image = self._averaged(blurred)
        image += eye.noise * random.standard_normal(image.shape)
        shares = self._averaged(np.stack([labels == part for part in (HEAD, UPPER, LOWER, SHOES)], -1).astype(float))
        person = self._averaged((labels > 0)[..., None].astype(float))[..., 0] > 0.5
        return Picture(image.clip(0, 255).round().astype(np.uint8), np.moveaxis(shares, -1, 0) > 0.5, person)

    def _averaged(self, values: np.ndarray) -> np.ndarray:
        height, width = self.size
        averaged: np.ndarray = values.reshape(height, FINE, width, FINE, -1).mean((1, 3))
        return averaged

    def _person(
        self,
        canvas: np.ndarray,
        labels: np.ndarray,
        look: Look,
        place: tuple[float, float, float],
        phase: float,
        side: bool,
    ) -> None:
        middle, feet, size = place
        tall = look.tall * size
        x, y = (self._x - middle) / tall * (1 if side else -1), (self._y - feet) / tall + 1  # y: 0 head, 1 feet
        wide, swing = 0.1 * look.wide, 0.09 * math.sin(phase)

        def paint(inside: np.ndarray, colour: np.ndarray, part: int) -> None:
            canvas[inside] = colour if colour.ndim == 1 else colour[inside]
            labels[inside] = part

        if look.bag == "back":
            paint((np.abs(x + wide) < 0.07) & (np.abs(y - 0.29) < 0.1), COLOURS[look.bag_colour], OTHER)
        legs = [_limb(x, y, (s * 0.4 * wide, 0.46), (s * (0.5 * wide + swing), 0.95), 0.045) for s in (-1, 1)]
        for s, leg in zip((-1, 1), legs, strict=True):
            covered = leg if look.lower_kind == "trousers" else leg & (y < 0.66)
            paint(leg, SKINS[look.skin], OTHER)
            paint(covered, COLOURS[look.lower], LOWER)
            ankle = s * (0.5 * wide + swing)
            paint(((x - ankle - 0.015) / 0.06) ** 2 + ((y - 0.965) / 0.03) ** 2 < 1, COLOURS[look.shoes], SHOES)
        if look.lower_kind == "skirt":
            paint((y > 0.44) & (y < 0.7) & (np.abs(x) < wide * (0.7 + 2.4 * (y - 0.44))), COLOURS[look.lower], LOWER)
        cloth = _textured(x, y, look)
        for s in (-1, 1):
            hand = (s * (wide + 0.03) - 0.7 * s * swing, 0.47)
            paint(_limb(x, y, hand, hand, 0.028), SKINS[look.skin], OTHER)
            paint(_limb(x, y, (s * wide * 0.95, 0.19), (hand[0], 0.43), 0.03), cloth, UPPER)
            if look.bag == "hand" and s > 0:
                paint((np.abs(x - hand[0]) < 0.05) & (np.abs(y - 0.54) < 0.06), COLOURS[look.bag_colour], OTHER)
        paint((y > 0.15) & (y < 0.5) & (np.abs(x) < wide * (1.05 - 0.35 * (y - 0.15))), cloth, UPPER)
        paint((np.abs(x) < 0.025) & (y > 0.11) & (y < 0.17), SKINS[look.skin], HEAD)
        if look.long_hair:
            paint((np.abs(x) < 0.06) & (y > 0.05) & (y < 0.17), HAIRS[look.hair], HEAD)
        paint((x / 0.052) ** 2 + ((y - 0.075) / 0.07) ** 2 < 1, SKINS[look.skin], HEAD)
        paint(((x / 0.056) ** 2 + ((y - 0.065) / 0.068) ** 2 < 1) & (y < 0.055), HAIRS[look.hair], HEAD)

    def _occlude(self, canvas: np.ndarray, labels: np.ndarray, by: _Occluder) -> None:
        width = self.size[1] / self.size[0]
        side = self._x if by.right else -self._x
        inside = self._y > 1 - by.extent if by.low else side > width * (0.5 - by.extent)
        canvas[inside] = COLOURS[by.colour]
        labels[inside] = 0


def _limb(
    x: np.ndarray, y: np.ndarray, start: tuple[float, float], end: tuple[float, float], radius: float
) -> np.ndarray:
    """The points at most `radius` away from a line."""
    across, down = end[0] - start[0], end[1] - start[1]
    square = across**2 + down**2
    along = ((x - start[0]) * across + (y - start[1]) * down) / square if square else np.zeros_like(x)
    along = along.clip(0, 1)
    near: np.ndarray = (x - start[0] - along * across) ** 2 + (y - start[1] - along * down) ** 2 < radius**2
    return near


def _textured(x: np.ndarray, y: np.ndarray, look: Look) -> np.ndarray:
    """The colours of the upper clothes, `H W 3`."""
    rows, columns = np.floor(y / 0.06) % 2 == 0, np.floor(x / 0.05) % 2 == 0
    second = {"plain": rows & False, "rows": rows, "columns": columns, "checks": rows ^ columns}[look.texture]
    colours: np.ndarray = np.where(second[..., None], COLOURS[look.second], COLOURS[look.upper])
    return colours
