"""Drawing a scene: which objects it has, where they are, and its image."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from regard.data.digits import handwritten
from regard.data.dividing import divide
from regard.data.scene_sentences import COLOURS, KINDS, NUMBERS, SIZES, Object
from regard.ops.seeds import mixed

TEST_SHARE = 0.3  # of the handwritten digits
OBJECTS = (3, 6)  # from, below
# The side of an object's box, as a share of the canvas: of the two that captions name, and of the others.
SIDES = {"small": (0.26, 0.29), "large": (0.33, 0.36)}
OTHER_SIDES = (0.19, 0.23)
TRIES = 200  # places tried for an object
GROUND = (0.05, 0.2)  # grey of the ground
NOISE = 0.02


class Which(NamedTuple):
    """What the scenes are, apart from their number; the fields are those of `scenes.Scenes`."""

    size: int
    seed: int
    part: str
    held_out: tuple[tuple[str, str], ...]


@cache
def _handwritten(seed: int, part: str) -> dict[str, list[np.ndarray]]:
    """Digit -> its handwritten examples in a part."""
    greys, labels = handwritten()
    chosen = divide(labels.tolist(), TEST_SHARE, seed)[part == "test"]
    return {name: [greys[i] for i in chosen if labels[i] == digit] for digit, name in enumerate(NUMBERS)}


def generator(which: Which, scene: int, what: str) -> np.random.Generator:
    """The draws for one purpose in one scene: a function of the arguments only."""
    return np.random.default_rng([mixed(what) % 2**32, which.seed, int(which.part == "test"), scene])


@cache
def drawn(which: Which, scene: int) -> tuple[tuple[Object, ...], Tensor]:
    """The objects of a scene and its image, uint8 `3 size size`."""
    random = generator(which, scene, "scene")
    side, objects = which.size, _placed(which, random)
    canvas = np.full((side, side, 3), random.uniform(*GROUND))
    sources = _handwritten(which.seed, which.part)
    for one in objects:
        left, top, right, bottom = (round(value * side) for value in one.box)
        if one.kind in NUMBERS:
            source = sources[one.kind][int(random.integers(len(sources[one.kind])))]
            values = torch.from_numpy(source)[None, None].float() / 255
            cover = F.interpolate(values, (bottom - top, right - left), mode="bilinear", align_corners=False)[
                0, 0
            ].numpy()
        else:
            cover = _shape(one.kind, bottom - top, right - left)
        part = canvas[top:bottom, left:right]
        part += cover[..., None] * (np.asarray(COLOURS[one.colour]) - part)
    canvas = canvas + NOISE * random.standard_normal(canvas.shape)
    pixels = (canvas.clip(0, 1) * 255 + 0.5).astype(np.uint8)
    return objects, torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


def _placed(which: Which, random: np.random.Generator) -> tuple[Object, ...]:
    """Objects at places where none lies over another; two are larger than the others, which are all small."""
    while True:
        count = int(random.integers(*OBJECTS))
        kinds = _kinds(which, count, random)
        if kinds is None:
            continue
        found: list[Object] = []
        for place, kind in enumerate(kinds):
            size = SIZES[int(random.integers(2))] if place < 2 else SIZES[0]
            one = _free(kind, size, SIDES[size] if place < 2 else OTHER_SIDES, found, which.size, random)
            if one is None:
                break
            found.append(one)
        if len(found) == count:
            order = random.permutation(count)
            return tuple(found[i] for i in order)


def _kinds(which: Which, count: int, random: np.random.Generator) -> list[str] | None:
    """Kinds of a scene, no two alike, as `held_out` asks; None if the draw has a pair that is held out."""
    kinds = [str(kind) for kind in random.permutation(KINDS)[:count]]
    if not which.held_out:
        return kinds
    if which.part == "train":
        return None if any(set(pair) <= set(kinds) for pair in which.held_out) else kinds
    pair = which.held_out[int(random.integers(len(which.held_out)))]
    return [*pair, *(kind for kind in kinds if kind not in pair)][:count]


def _free(
    kind: str,
    size: str,
    sides: tuple[float, float],
    others: Sequence[Object],
    side: int,
    random: np.random.Generator,
) -> Object | None:
    """An object of a drawn colour at a free place; None if none is found."""
    colours = tuple(COLOURS)
    colour = colours[int(random.integers(len(colours)))]
    for _ in range(TRIES):
        length = round(random.uniform(*sides) * side)
        left, top = (int(value) for value in random.integers(side - length + 1, size=2))
        right, bottom = left + length, top + length
        apart = all(
            right + 1 <= one.box[0] * side
            or one.box[2] * side + 1 <= left
            or bottom + 1 <= one.box[1] * side
            or one.box[3] * side + 1 <= top
            for one in others
        )
        if apart:
            return Object(kind, colour, size, (left / side, top / side, right / side, bottom / side))
    return None


def _shape(kind: str, height: int, width: int) -> np.ndarray:
    """A shape that fills its box: 1 inside, 0 outside."""
    y, x = np.mgrid[:height, :width]
    x, y = (x + 0.5) / width, (y + 0.5) / height
    if kind == "square":
        inside = (np.abs(x - 0.5) < 0.42) & (np.abs(y - 0.5) < 0.42)
    elif kind == "disc":
        inside = (x - 0.5) ** 2 + (y - 0.5) ** 2 < 0.23
    else:
        inside = np.abs(x - 0.5) < 0.47 * y
    return np.asarray(inside, np.float64)
