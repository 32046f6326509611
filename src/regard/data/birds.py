"""Drawn birds of eight kinds: a small fine-grained dataset in which the part that differs is known.

A bird has a body, a head, a wing, a tail, a beak and legs, of random size, position and colour, faces left or right,
and stands on a background of leaves and pebbles. The kinds differ in three marks of the head only: the crown is darker
or lighter than the head, the eye has a ring or not, and a stripe behind it or not. So the classes differ in a few
pixels, as in CUB-200-2011, and the place of these pixels is known. On request the colour of the body tells the kind of
most birds too, though not of all: a large mark, which misleads a network that looks for the kind.

An image is a function of (seed, part, index) only.
"""

from __future__ import annotations

import math
from colorsys import hsv_to_rgb

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from regard.checks import number, positive
from regard.data import ImageSet, Split
from regard.data.regions import filled

KINDS = (  # crown, ring, stripe; the first kinds differ most
    ("dark", "plain", "smooth"),
    ("light", "ringed", "striped"),
    ("dark", "ringed", "striped"),
    ("light", "plain", "smooth"),
    ("dark", "plain", "striped"),
    ("light", "ringed", "smooth"),
    ("dark", "ringed", "smooth"),
    ("light", "plain", "striped"),
)
CLASSES = tuple("-".join(kind) for kind in KINDS)
SIZE = LEAST_SIZE = 96

FINER = 4  # drawn that many times as large, for soft edges
LENGTH = (0.24, 0.32)  # half of the body, as a share of the image
HEAD = (0.085, 0.105)  # its radius, as a share of the image
TURN = 0.35  # of the body, in radians, either way
LEAVES = (10, 24)
NOISE = 0.02


class Birds(Split):
    """A dataset of drawn birds.

    Args:
        count: the number of images; image i shows kind i mod `kinds`.
        size: height and width, in pixels.
        key: (seed, part), which seeds the images together with their index.
        kinds: the number of kinds.
        plumage: the share of birds whose body has the colour of their kind; that of the others has the colour of
            another kind. 0: the body of every bird has a random colour.
    """

    def __init__(
        self, *, count: int, size: int, key: tuple[int, int], kinds: int = len(KINDS), plumage: float = 0.0
    ) -> None:
        super().__init__([i % kinds for i in range(count)])
        self.size, self.key, self.kinds, self.plumage = size, key, kinds, plumage
        self._boxes: dict[int, tuple[int, int, int, int]] = {}

    def pixels(self, i: int) -> Tensor:
        pixels, self._boxes[i] = self._drawn(i)
        return pixels

    def name(self, i: int) -> str:
        return f"{CLASSES[self.labels[i]]}, image {i}"

    def region(self, i: int) -> Tensor:
        return filled(self.box(i), self.size)

    def box(self, i: int) -> tuple[int, int, int, int]:
        """The box around the head of image `i`: left, top, right, bottom, the last two exclusive."""
        i = self._index(i)
        if i not in self._boxes:
            self.pixels(i)
        return self._boxes[i]

    def _drawn(self, i: int) -> tuple[Tensor, tuple[int, int, int, int]]:
        random = np.random.default_rng([*self.key, i])
        side = self.size * FINER
        ground = random.uniform(0.25, 0.75, 3)
        image = Image.new("RGB", (side, side), _colour(ground))
        draw = ImageDraw.Draw(image)
        for _ in range(random.integers(*LEAVES)):
            leaf = (ground + random.uniform(-0.25, 0.25, 3)).clip(0, 1)
            centre, radii = random.uniform(0, side, 2), random.uniform(0.015, 0.09, 2) * side
            draw.polygon(_ellipse(centre, radii, random.uniform(0, math.pi)), fill=_colour(leaf))
        box = _bird(draw, KINDS[self.labels[i]], side, random, body=self._body(i))
        small = image.resize((self.size, self.size), Image.Resampling.BOX)
        canvas = np.asarray(small, dtype=np.float32) / 255
        canvas = canvas + NOISE * random.standard_normal(canvas.shape, dtype=np.float32)
        pixels = (canvas.clip(0, 1) * 255 + 0.5).astype(np.uint8)
        left, top, right, bottom = box
        whole = math.floor(left / FINER), math.floor(top / FINER), math.ceil(right / FINER), math.ceil(bottom / FINER)
        limits = (max(whole[0], 0), max(whole[1], 0), min(whole[2], self.size), min(whole[3], self.size))
        return torch.from_numpy(pixels).permute(2, 0, 1).contiguous(), limits

    def _body(self, i: int) -> np.ndarray | None:
        """The colour of the body of image `i`; None: a random one."""
        if not self.plumage:
            return None
        random = np.random.default_rng([*self.key, i, 1])  # apart, so that all else is drawn as without
        kind = self.labels[i]
        if random.random() >= self.plumage:
            kind = (kind + int(random.integers(1, self.kinds))) % self.kinds
        hue = (kind + float(random.uniform(-0.25, 0.25))) / self.kinds
        return np.array(hsv_to_rgb(hue, 0.7, 0.8))


def _bird(
    draw: ImageDraw.ImageDraw,
    kind: tuple[str, str, str],
    side: int,
    random: np.random.Generator,
    body: np.ndarray | None = None,
) -> tuple[float, float, float, float]:
    """Draws a bird of the given kind and returns the box of its head: left, top, right, bottom, in pixels of `side`.

    Its body has the colour `body`, or a random one.
    """
    crown, ring, stripe = kind
    facing = 1 - 2 * int(random.integers(2))
    turn = float(random.uniform(-TURN, TURN)) * facing
    half, radius = random.uniform(*LENGTH) * side, random.uniform(*HEAD) * side
    colour = random.uniform(0.15, 0.85, 3)
    head = (colour + random.uniform(-0.2, 0.2, 3)).clip(0.3, 0.7)
    body = colour if body is None else body
    along = np.array([math.cos(turn) * facing, -abs(math.sin(turn)) - 0.35])
    reach = along * half
    low = np.abs(reach) + radius + 0.04 * side
    centre = random.uniform(np.maximum(low, half), side - np.maximum(low, half))
    at = centre + reach

    for leg in (-0.15, 0.15):
        foot = centre + np.array([leg * half, 0.9 * half])
        draw.line([*(centre + np.array([leg * half, 0])), *foot], fill=_colour(body * 0.5), width=side // 60)
    tail = centre - np.array([facing * half * 1.0, -0.1 * half])
    draw.polygon(_ellipse(tail, (0.4 * half, 0.12 * half), -turn * facing), fill=_colour(body * 0.8))
    draw.polygon(_ellipse(centre, (half * 0.85, half * 0.5), turn * facing), fill=_colour(body))
    wing = (body + random.uniform(-0.3, 0.3, 3)).clip(0, 1)
    folded = centre - np.array([facing * 0.15 * half, 0])
    draw.polygon(_ellipse(folded, (half * 0.55, half * 0.28), turn), fill=_colour(wing))

    beak = at + np.array([facing * radius * 1.5, radius * 0.1])
    root = [at + np.array([facing * radius * 0.7, up * radius * 0.3]) for up in (-1, 1)]
    draw.polygon([*map(tuple, root), tuple(beak)], fill=_colour(random.uniform(0.2, 0.8, 3)))
    draw.polygon(_ellipse(at, (radius, radius), 0), fill=_colour(head))
    tint = head * 0.25 if crown == "dark" else 1 - (1 - head) * 0.25
    box = (*(at - radius), *(at + radius))
    draw.chord(box, 195, 345, fill=_colour(tint))
    eye = at + np.array([facing * radius * 0.3, -radius * 0.1])
    if stripe == "striped":
        end = at - np.array([facing * radius * 0.85, -radius * 0.15])
        draw.line([*eye, *end], fill=_colour(head * 0.15), width=round(radius * 0.35))
    if ring == "ringed":
        draw.polygon(_ellipse(eye, (radius * 0.45,) * 2, 0), fill=(250, 250, 250))
    draw.polygon(_ellipse(eye, (radius * 0.2,) * 2, 0), fill=(10, 10, 10))
    return box


def _ellipse(centre: np.ndarray, radii: tuple[float, float] | np.ndarray, turn: float) -> list[tuple[float, float]]:
    around = np.linspace(0, 2 * math.pi, 40, endpoint=False)
    x, y = radii[0] * np.cos(around), radii[1] * np.sin(around)
    c, s = math.cos(turn), math.sin(turn)
    return [(centre[0] + c * a - s * b, centre[1] + s * a + c * b) for a, b in zip(x, y, strict=True)]


def _colour(rgb: np.ndarray) -> tuple[int, int, int]:
    red, green, blue = (int(255 * value) for value in rgb)
    return red, green, blue


def load(
    *,
    image_size: int = SIZE,
    seed: int = 0,
    train_size: int = 800,
    test_size: int = 400,
    kinds: int = len(KINDS),
    plumage: float = 0.0,
) -> ImageSet:
    """Makes a dataset of drawn birds.

    Args:
        image_size: height and width, in pixels.
        seed: the seed of the drawings.
        train_size, test_size: the number of images of each split.
        kinds: the number of kinds, 2 to 8.
        plumage: the share of birds whose body has the colour of their kind, as for `Birds`.

    Raises: ValueError if `image_size` is below 96, `kinds` is not 2 to 8, `plumage` is not 0 to 1, or a
        split is too small to show every kind.
    """
    if positive("image_size", image_size) < LEAST_SIZE:
        raise ValueError(f"image_size={image_size}: at least {LEAST_SIZE} pixels are needed for drawn birds")
    if not 2 <= positive("kinds", kinds) <= len(KINDS):
        raise ValueError(f"kinds={kinds}: a number from 2 to {len(KINDS)} is needed")
    number("plumage", plumage, least=0, most=1)
    for name, count in (("train_size", train_size), ("test_size", test_size)):
        if positive(name, count) < kinds:
            raise ValueError(f"{name}={count}: at least {kinds} images are needed, one of each kind")
    train, test = (
        Birds(count=count, size=image_size, key=(seed, part), kinds=kinds, plumage=plumage)
        for part, count in enumerate((train_size, test_size))
    )
    return ImageSet("birds", CLASSES[:kinds], train, test)
