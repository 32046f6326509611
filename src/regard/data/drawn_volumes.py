"""Drawn volumes: a small target among bodies that differ from it by where they lie.

A volume holds one large organ, hardly brighter than what is around it, and several small bright ellipsoids. The target
is the one inside the organ; the others lie outside. Size and brightness do not tell them apart, and the noise hides the
organ from a look at few voxels. The target has 0.2 to 1 percent of all voxels.

A volume is a function of (seed, part, index) only, whichever other volumes are made.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from regard.checks import number, positive, whole, whole_numbers

CLASSES = ("background", "target")
SHARE = (0.002, 0.01)  # of the voxels, of the target
SIZE = (24, 32, 32)
SPACING = (1.5, 1.0, 1.0)  # of a voxel, in mm
LEAST_SIZE = 16  # below, a target of the smallest share has less than ten voxels
BRIGHT, ORGAN, NOISE = 2.0, 0.5, 0.5
OTHERS = (3, 6)  # bodies outside the organ, the last number not included
RADIUS = (0.26, 0.36)  # of the organ, as a share of each side
STRETCH = 1.3  # the largest ratio of a body's axis to their mean
_TRIES = 400


class DrawnVolumes(Dataset[dict[str, Tensor]]):
    """A dataset of drawn volumes: `image`, float32 `1 D H W`, `mask`, uint8 `D H W`, and `spacing` in mm.

    Args:
        count: the number of volumes.
        size: D, H and W, each at least 16.
        share: the bounds of the target's share of the voxels; its logarithm is uniform between theirs.
        organ: how much brighter the organ is than what is around it; the noise has the deviation 0.5.
        seed: of all volumes.
        part: a further number that seeds them, such as 0 for training and 1 for testing.

    Raises: ValueError if an argument is out of range.
    """

    classes = CLASSES

    def __init__(
        self,
        *,
        count: int,
        size: tuple[int, int, int] = SIZE,
        share: tuple[float, float] = SHARE,
        organ: float = ORGAN,
        seed: int = 0,
        part: int = 0,
    ) -> None:
        self.count = positive("count", count)
        self.size = whole_numbers("size", size, LEAST_SIZE, count=3)
        for bound in share:
            number("share", bound, above=0, most=0.02)
        if share[0] > share[1]:
            raise ValueError(f"share={share!r}: two shares, low ≤ high, are needed")
        self.share = share
        self.organ = number("organ", organ, least=0, most=BRIGHT)
        self.key = (whole("seed", seed, 0), whole("part", part, 0))
        self._grid = np.meshgrid(*(np.arange(n) + 0.5 for n in self.size), indexing="ij")

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, i: int) -> dict[str, Tensor]:
        values, parts = self._drawn(i)
        standardised = (values - values.mean()) / values.std()
        return {
            "image": torch.from_numpy(standardised.astype(np.float32))[None],
            "mask": torch.from_numpy(parts["target"].astype(np.uint8)),
            "spacing": torch.tensor(SPACING),
        }

    def parts(self, i: int) -> dict[str, Tensor]:
        """The regions of volume `i`, bool `D H W`: `target`, `others`, the bodies outside the organ, and `organ`."""
        return {name: torch.from_numpy(region) for name, region in self._drawn(i)[1].items()}

    def _drawn(self, i: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        if not 0 <= i < len(self):
            raise IndexError(f"index {i} is out of range: there are {len(self)} volumes")
        random = np.random.default_rng([*self.key, i])
        size = np.array(self.size)
        values = NOISE * random.standard_normal(self.size)
        radii = size * random.uniform(*RADIUS, size=3)
        centre = random.uniform(radii, size - radii)
        organ, outside = self._ellipsoid(centre, radii), ~self._ellipsoid(centre, radii + 1)
        taken = np.zeros(self.size, bool)
        target = self._body(random, organ, taken)
        others = [self._body(random, outside, taken) for _ in range(random.integers(*OTHERS))]
        parts = {"target": target, "others": np.any(others, 0), "organ": organ}
        values += np.where(target | parts["others"], BRIGHT, self.organ * organ)
        return values, parts

    def _ellipsoid(self, centre: np.ndarray, radii: np.ndarray) -> np.ndarray:
        within = sum(((axis - c) / r) ** 2 for axis, c, r in zip(self._grid, centre, radii, strict=True))
        return np.asarray(within <= 1)

    def _body(self, random: np.random.Generator, allowed: np.ndarray, taken: np.ndarray) -> np.ndarray:
        """A small ellipsoid at a random place that is allowed, away from the others, which is then taken too.

        Where half of the tries find no place for one of its size, it gets smaller.
        """
        share = math.exp(random.uniform(*np.log(self.share)))
        stretch = random.uniform(-1, 1, size=3) * math.log(STRETCH)
        shape = np.exp(stretch - stretch.mean())
        for attempt in range(_TRIES):
            radius = (3 * share * taken.size / (4 * math.pi)) ** (1 / 3) * 0.98 ** max(0, attempt - _TRIES // 2)
            radii = radius * shape
            centre = random.uniform(radii, np.array(self.size) - radii)
            body = self._ellipsoid(centre, radii)
            if allowed[body].all() and not (self._ellipsoid(centre, radii + 1) & taken).any() and body.any():
                taken |= body
                return body
        raise RuntimeError(f"size={self.size}: no place for a body was found")
