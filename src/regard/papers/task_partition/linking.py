"""Ships from the maps of the two heads: connected ends are linked along hulls, and become oriented boxes.

    parts: connected sets of pixels (four neighbours) with a response above t, of at least n pixels               (1)
    h_ij = mean probability of a hull along the middle half of the line between the centres of two parts           (2)
    pairs: h_ij ≥ u, and the parts further apart than r times their size                                          (3)
    ships: as many pairs as possible, no part in two, and of these choices the one with the shortest lines         (4)
    box: along the line, as far as the pixels of both parts reach, and across it as wide as the wider part         (5)
    score = √(mean response of one part · that of the other) · h_ij                                                (6)

(4) because the nearest ends of two ships that lie side by side, shifted, can belong to both, with nothing but hulls
between them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage, optimize

from regard.checks import number, positive
from regard.ops.arrays import as_array

Array = NDArray[np.float64]
Pair = tuple[int, int]


@dataclass(frozen=True)
class Linking:
    """How ends are linked.

    Args:
        threshold: t of (1).
        least: n of (1).
        hull: u of (3).
        apart: r of (3).
        most: how many parts are linked, those with the largest sum of responses.

    Raises: ValueError if an argument is out of range.
    """

    threshold: float = 0.5
    least: int = 4
    hull: float = 0.5
    apart: float = 1.25
    most: int = 60

    def __post_init__(self) -> None:
        number("threshold", self.threshold, above=0, most=1)
        positive("least", self.least)
        number("hull", self.hull, least=0, most=1)
        number("apart", self.apart, above=0)
        positive("most", self.most)

    def __call__(self, ends: ArrayLike, hull: ArrayLike) -> Array:
        """The ships of an image.

        Shapes: ends, hull `H W` in 0..1 -> `n 6`: x, y, length, width, angle, score; the best first.
        Raises: ValueError for other shapes.
        """
        response, body = (np.asarray(as_array(one), np.float64) for one in (ends, hull))
        if response.ndim != 2 or response.shape != body.shape:
            raise ValueError(f"ends {response.shape}, hull {body.shape}: two maps of one size are needed")
        parts = self.parts(response)
        lines: dict[Pair, tuple[float, float]] = {}  # pair -> its length, and h of (2)
        for i, one in enumerate(parts):
            for j, other in enumerate(parts[:i]):
                length = float(np.linalg.norm(one.centre - other.centre))
                if length > self.apart * (one.size + other.size):
                    covered = _along(body, one.centre, other.centre)
                    if covered >= self.hull:
                        lines[j, i] = length, covered
        boxes = [
            [*_box(parts[i], parts[j]), math.sqrt(parts[i].mean * parts[j].mean) * lines[i, j][1]]
            for i, j in _chosen(lines)
        ]
        found = np.array(boxes, np.float64).reshape(-1, 6)
        return found[np.argsort(-found[:, 5], kind="stable")]

    def parts(self, response: Array) -> list[Part]:
        """The parts of (1)."""
        labels, count = ndimage.label(response > self.threshold)
        found = []
        for label, place in enumerate(ndimage.find_objects(labels, count), 1):
            rows, columns = np.nonzero(labels[place] == label)
            if len(rows) >= self.least:
                at = np.stack((columns + place[1].start + 0.5, rows + place[0].start + 0.5), 1)
                found.append(Part(at, response[place][rows, columns]))
        return sorted(found, key=lambda part: -part.responses.sum())[: self.most]


@dataclass(frozen=True, eq=False)
class Part:
    """Connected pixels.

    Args:
        at: the middle of each, x and y: `n 2`.
        responses: of each: `n`.
    """

    at: Array
    responses: Array

    @property
    def centre(self) -> Array:
        """The mean of the pixels, each weighted by its response."""
        mean: Array = np.average(self.at, axis=0, weights=self.responses)
        return mean

    @property
    def mean(self) -> float:
        """The mean response."""
        return float(self.responses.mean())

    @property
    def size(self) -> float:
        """The side of a square of as many pixels."""
        return math.sqrt(len(self.at))


def _along(body: Array, first: Array, second: Array) -> float:
    """Equation (2), at points one pixel apart."""
    count = max(2, math.ceil(float(np.linalg.norm(second - first)) / 2))
    points = first + np.linspace(0.25, 0.75, count)[:, None] * (second - first)
    columns, rows = (points - 0.5).T
    return float(ndimage.map_coordinates(body, (rows, columns), order=1, mode="nearest").mean())


def _chosen(lines: dict[Pair, tuple[float, float]]) -> list[Pair]:
    """The pairs of (4): a whole-number programme, solved exactly."""
    if not lines:
        return []
    pairs = sorted(lines)
    ends = {part: row for row, part in enumerate(sorted({part for pair in pairs for part in pair}))}
    table = np.zeros((len(ends), len(pairs)))
    for column, pair in enumerate(pairs):
        table[[ends[part] for part in pair], column] = 1
    lengths = np.array([lines[pair][0] for pair in pairs])
    worth = 1 - lengths / (len(ends) * lengths.max())  # all lengths together weigh less than one pair
    chosen = optimize.milp(
        -worth,
        constraints=optimize.LinearConstraint(table, ub=1),
        integrality=np.ones(len(pairs)),
        bounds=optimize.Bounds(0, 1),
    )
    return [pair for pair, share in zip(pairs, chosen.x, strict=True) if share > 0.5]


def _box(one: Part, other: Part) -> tuple[float, float, float, float, float]:
    """Equation (5): x, y, length, width and angle."""
    line = other.centre - one.centre
    along = line / np.linalg.norm(line)
    across = np.array((-along[1], along[0]))
    reach = np.concatenate((one.at, other.at)) @ along
    sides = [part.at @ across for part in (one, other)]
    # Pixels are squares: half of one lies beyond the middle of the last, 1/2 (|cos| + |sin|) of it at an angle.
    border = float(np.abs(along).sum()) / 2
    length = float(reach.max() - reach.min()) + 2 * border
    wider = max(sides, key=np.ptp)
    width = float(np.ptp(wider)) + 2 * border
    middle = (reach.max() + reach.min()) / 2 * along + (wider.max() + wider.min()) / 2 * across
    return float(middle[0]), float(middle[1]), length, width, math.atan2(along[1], along[0])
