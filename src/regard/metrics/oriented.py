"""Metrics of oriented boxes: precision, recall and F1 at a rotated overlap, and the distance of the ends.

    IoU     = |A ∩ B| / (|A| + |B| − |A ∩ B|)      exact: two rectangles share a convex polygon                  (1)
    F1      = 2 matches / (found + true boxes)                                                                   (2)
    ends    = mean distance of the ends of a found box from those of its true box, in pixels                     (3)

A box is x, y of its centre, length, width and angle: in pixels, and in radians from the x axis towards the y axis,
which points down; the length lies along the angle. Each found box, the best score first, is matched with the free true
box of the largest overlap, so that no two match the same one; a match needs at least the threshold. Bow and stern are
not told apart: of the two ways to pair two ends with two ends the nearer one counts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from regard.checks import number
from regard.ops.arrays import as_array

Array = NDArray[np.float64]

NEAR = 1e-9  # of a pixel: corners on an edge count as inside


def as_oriented(values: object, columns: int = 5) -> Array:
    """Returns oriented boxes as float64, one in each row.

    Args:
        values: x, y, length, width and angle of each; with 6 columns also its score.
        columns: 5 or 6.

    Shapes: values `n columns`, or nothing at all -> `n columns`.
    Raises: ValueError for other shapes, values that are not finite, or a length or width that is not positive.
    """
    boxes = np.asarray(as_array(values), np.float64)
    if boxes.size == 0:
        boxes = boxes.reshape(0, columns)
    if boxes.ndim != 2 or boxes.shape[1] != columns:
        wanted = "x, y, length, width, angle" + ", score" * (columns == 6)
        raise ValueError(f"oriented boxes of shape {boxes.shape}: n rows of {wanted} are needed")
    if not np.isfinite(boxes).all() or (boxes[:, 2:4] <= 0).any():
        raise ValueError("oriented boxes: finite numbers are needed, length and width above 0")
    return boxes


def corners(boxes: ArrayLike) -> Array:
    """The corners of each box, in order around it: `n 5` -> `n 4 2`, each x, y."""
    b = as_oriented(boxes)
    along = np.stack((np.cos(b[:, 4]), np.sin(b[:, 4])), 1) * b[:, 2:3] / 2
    across = np.stack((-np.sin(b[:, 4]), np.cos(b[:, 4])), 1) * b[:, 3:4] / 2
    turns = ((1, 1), (-1, 1), (-1, -1), (1, -1))
    return np.stack([b[:, :2] + i * along + j * across for i, j in turns], 1)


def tips(boxes: ArrayLike) -> Array:
    """The two ends of each box, the middles of its short sides, first that at its angle: `n 5` -> `n 2 2`."""
    b = as_oriented(boxes)
    along = np.stack((np.cos(b[:, 4]), np.sin(b[:, 4])), 1) * b[:, 2:3] / 2
    return np.stack((b[:, :2] + along, b[:, :2] - along), 1)


def intersection(first: Array, second: Array) -> float:
    """The area that two convex polygons share: `n 2` and `m 2` corners, in the order of `corners`.

    The first polygon is cut along each side of the second (Sutherland, Hodgman, CACM 1974, doi:10.1145/360767.360802).
    """
    polygon = [tuple(corner) for corner in first.tolist()]
    others = second.tolist()
    for (x0, y0), (x1, y1) in zip(others, others[1:] + others[:1], strict=True):
        dx, dy = x1 - x0, y1 - y0
        sides = [dx * (y - y0) - dy * (x - x0) for x, y in polygon]
        cut = []
        for i, here in enumerate(polygon):
            before, at, was = polygon[i - 1], sides[i], sides[i - 1]
            if (at > NEAR) != (was > NEAR) and abs(at - was) > NEAR:
                share = was / (was - at)
                cut.append((before[0] + share * (here[0] - before[0]), before[1] + share * (here[1] - before[1])))
            if at > NEAR:
                cut.append(here)
        polygon = cut
    return area(np.array(polygon)) if len(polygon) > 2 else 0.0


def area(polygon: Array) -> float:
    """The area of a polygon: `n 2` corners in order."""
    x, y = polygon.T
    return abs(float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum())) / 2


def overlaps(first: ArrayLike, second: ArrayLike) -> Array:
    """Intersection over union of every pair of oriented boxes, equation (1).

    Shapes: first `n 5`, second `m 5` -> `n m`.
    Raises: ValueError for other shapes, or values as in `as_oriented`.
    """
    a, b = as_oriented(first), as_oriented(second)
    shapes = corners(a), corners(b)
    table = np.zeros((len(a), len(b)))
    reach = [np.hypot(x[:, 2], x[:, 3]) / 2 for x in (a, b)]
    apart = np.hypot(*(a[:, None, :2] - b[None, :, :2]).transpose(2, 0, 1))
    for i, j in zip(*np.nonzero(apart < reach[0][:, None] + reach[1][None]), strict=True):
        both = intersection(shapes[0][i], shapes[1][j])
        table[i, j] = both / (a[i, 2:4].prod() + b[j, 2:4].prod() - both)
    return table


def matches(found: ArrayLike, truths: ArrayLike, threshold: float = 0.5) -> list[tuple[int, int]]:
    """Pairs of a found box and its true box, each in one pair at most.

    Shapes: found `n 6` with scores, truths `m 5`.
    Raises: ValueError for other shapes, or a threshold outside (0, 1].
    """
    number("threshold", threshold, above=0, most=1)
    mine = as_oriented(found, 6)
    table = overlaps(mine[:, :5], truths)
    pairs = []
    for i in np.argsort(-mine[:, 5], kind="stable"):
        if table.shape[1] and table[i].max() >= threshold:
            best = int(table[i].argmax())
            pairs.append((int(i), best))
            table[:, best] = -1
    return pairs


def end_error(found: ArrayLike, truth: ArrayLike) -> float:
    """Equation (3) for one box `5` and its true box `5`."""
    a, b = (tips(np.asarray(box, np.float64)[None])[0] for box in (found, truth))
    return float(min(np.linalg.norm(a - ends, axis=1).mean() for ends in (b, b[::-1])))


class OrientedScores:
    """`f1`, `precision` and `recall` of oriented boxes over all images, and `end_error` of those that match.

    `update` takes the found boxes `n 6` (x, y, length, width, angle, score) and the true ones `m 5` of each image.
    Without found boxes the precision is 0; without a match the error of the ends is NaN.

    Args:
        threshold: the least overlap of a match.

    Raises: ValueError for a threshold outside (0, 1]; in `compute`, without true boxes.
    """

    def __init__(self, threshold: float = 0.5) -> None:
        self.threshold = number("threshold", threshold, above=0, most=1)
        self.reset()

    def reset(self) -> None:
        """Removes all images."""
        self.found = self.true = self.matched = 0
        self.errors = 0.0

    def update(self, found: Sequence[ArrayLike], truths: Sequence[ArrayLike]) -> None:
        """Args: found boxes with scores, and true boxes; one array for each image."""
        for mine, wanted in zip(found, truths, strict=True):
            boxes, known = as_oriented(mine, 6), as_oriented(wanted)
            self.found += len(boxes)
            self.true += len(known)
            for i, j in matches(boxes, known, self.threshold):
                self.matched += 1
                self.errors += end_error(boxes[i, :5], known[j])

    def merge_state(self, incoming_state: OrientedScores) -> None:
        """Adds the images of another metric."""
        self.found += incoming_state.found
        self.true += incoming_state.true
        self.matched += incoming_state.matched
        self.errors += incoming_state.errors

    def compute(self) -> dict[str, float]:
        if not self.true:
            raise ValueError("no true boxes: at least one is needed")
        return {
            "f1": 2 * self.matched / (self.found + self.true),
            "precision": self.matched / max(self.found, 1),
            "recall": self.matched / self.true,
            "end_error": self.errors / self.matched if self.matched else float("nan"),
        }
