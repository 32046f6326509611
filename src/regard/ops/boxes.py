"""Boxes as arrays, and non-maximum suppression."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from regard.checks import number, positive
from regard.ops.arrays import as_array

Array = NDArray[np.float64]


def as_boxes(values: object) -> Array:
    """Returns boxes as float64, one in each row.

    Shapes: values `n 4`, or nothing at all -> `n 4`.
    Raises: ValueError for other shapes, values that are not finite, or a right or bottom end before the left or top.
    """
    boxes = np.asarray(as_array(values), np.float64)
    if boxes.size == 0:
        boxes = boxes.reshape(0, 4)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"boxes of shape {boxes.shape}: n rows of left, top, right, bottom are needed")
    if not np.isfinite(boxes).all() or (boxes[:, 2:] < boxes[:, :2]).any():
        raise ValueError("boxes: finite numbers are needed, left no larger than right and top no larger than bottom")
    return boxes


def suppressed(boxes: ArrayLike, scores: ArrayLike, *, overlap: float = 0.7, first: int = 1000) -> NDArray[np.int64]:
    """Positions of the best boxes, best first, without those that overlap a better one too much.

    Args:
        boxes: left, top, right, bottom.
        scores: of each; of equal ones the first is the better.
        overlap: largest intersection over union of two that stay.
        first: how many stay at most.

    Shapes: boxes `n 4`, scores `n` -> at most `first`.
    Raises: ValueError for boxes that are none, other shapes, scores that are NaN, an `overlap` outside 0..1, or `first`
        below 1.
    """
    b, s = as_boxes(boxes), np.asarray(as_array(scores), np.float64)
    if s.shape != b.shape[:1] or np.isnan(s).any():
        raise ValueError(f"boxes of shape {b.shape}, scores of shape {s.shape}: n 4 and n numbers are needed")
    number("overlap", overlap, least=0, most=1)
    positive("first", first)
    order = np.argsort(-s, kind="stable")
    area = (b[:, 2:] - b[:, :2]).prod(1)
    kept: list[int] = []
    while order.size and len(kept) < first:
        best, order = order[0], order[1:]
        kept.append(int(best))
        low, high = np.maximum(b[best, :2], b[order, :2]), np.minimum(b[best, 2:], b[order, 2:])
        both = (high - low).clip(0).prod(1)
        order = order[both <= overlap * (area[best] + area[order] - both)]
    return np.array(kept, np.int64)
