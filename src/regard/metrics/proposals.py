"""Metrics of object proposals: recall and overlap of the true boxes with the first k proposals.

What Makes for Effective Detection Proposals? Hosang, Benenson, Dollár, Schiele. TPAMI 2016, arXiv:1502.05082.
Selective Search for Object Recognition. Uijlings, van de Sande, Gevers, Smeulders. IJCV 2013,
doi:10.1007/s11263-013-0620-5.

    o_g       = max IoU of the true box g with the first k proposals                                (1)
    recall(t) = share of true boxes with o_g ≥ t                                                    (2)
    AR        = 2 ∫ from 0.5 to 1 of recall = 2 mean max(o_g − 0.5, 0)            `"hosang"`        (3)
              = mean of recall over t = 0.50, 0.55 … 0.95                         `"coco"`          (4)
    ABO       = mean o_g                                                                            (5)

For several images, o_g of the true boxes of all images are collected first. `matched` counts as COCO's evaluation does:
in their order, each proposal is matched with the unmatched true box of the largest overlap, so that no proposal finds
two; its recall can be lower. `inclusive` counts pixels as older toolkits do: whole coordinates, and the last pixel
belongs to the box.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from regard.checks import choice, flag, number, positive, whole_numbers
from regard.ops.boxes import as_boxes

COCO_THRESHOLDS = tuple(round(0.5 + 0.05 * i, 2) for i in range(10))

Array = NDArray[np.float64]


def overlaps(first: ArrayLike, second: ArrayLike, *, inclusive: bool = False) -> Array:
    """Intersection over union of every pair of boxes.

    Args:
        first, second: left, top, right, bottom of each box.
        inclusive: round to whole pixels, and include the right and bottom ones in the box.

    Shapes: first `n 4`, second `m 4` -> `n m`.
    Raises: ValueError for other shapes, values that are not finite, or a right end before the left.
    """
    a, b = as_boxes(first), as_boxes(second)
    if flag("inclusive", inclusive):
        a, b = np.rint(a), np.rint(b)
        a[:, 2:] += 1
        b[:, 2:] += 1
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    both = (high - low).clip(0).prod(2)
    areas = [(x[:, 2:] - x[:, :2]).prod(1) for x in (a, b)]
    either = areas[0][:, None] + areas[1][None] - both
    shares: Array = np.divide(both, either, out=np.zeros_like(both), where=either > 0)
    return shares


def covered(proposals: ArrayLike, truths: ArrayLike, *, first: int | None = None, inclusive: bool = False) -> Array:
    """The best overlap of each true box, equation (1); 0 without proposals.

    Args:
        proposals: boxes, the best first.
        truths: the true boxes.
        first: the number of proposals that count; None uses all.
        inclusive: as in `overlaps`.

    Shapes: proposals `n 4`, truths `m 4` -> `m`.
    Raises: ValueError for invalid boxes, or `first` below 1.
    """
    best: Array = overlaps(_foremost(proposals, first), truths, inclusive=inclusive).max(0, initial=0.0)
    return best


def recall(best: ArrayLike, threshold: float = 0.5) -> float:
    """Recall at a threshold, equation (2), from the overlaps of `covered`.

    Shapes: best `m`.
    Raises: ValueError without true boxes, or for a threshold outside (0, 1].
    """
    return float((_overlaps(best) >= _known(threshold)).mean())


def average_recall(best: ArrayLike, *, convention: str = "hosang") -> float:
    """Average recall, equation (3), or (4) for `convention="coco"`, from the overlaps of `covered`.

    Shapes: best `m`.
    Raises: ValueError without true boxes, or for an unknown convention.
    """
    if choice("convention", convention, ("hosang", "coco")) == "coco":
        return float(np.mean([recall(best, t) for t in COCO_THRESHOLDS]))
    return float(2 * (_overlaps(best) - 0.5).clip(0).mean())


def average_best_overlap(best: ArrayLike) -> float:
    """Average best overlap, equation (5), from the overlaps of `covered`.

    Shapes: best `m`.
    Raises: ValueError without true boxes.
    """
    return float(_overlaps(best).mean())


def matched(proposals: ArrayLike, truths: ArrayLike, threshold: float = 0.5, *, first: int | None = None) -> int:
    """The number of true boxes that are found, if each proposal finds at most one.

    Args:
        proposals, truths, first: as in `covered`.
        threshold: the least overlap of a match.

    Shapes: proposals `n 4`, truths `m 4`.
    Raises: ValueError for invalid boxes, a threshold outside (0, 1], or `first` below 1.
    """
    _known(threshold)
    table = overlaps(_foremost(proposals, first), truths)
    free = np.ones(table.shape[1], bool)
    for row in table:
        if not free.any():
            break
        mine = np.where(free, row, -1.0)
        if mine.max() >= threshold:
            free[mine.argmax()] = False
    return int((~free).sum())


def _foremost(proposals: ArrayLike, first: int | None) -> Array:
    return as_boxes(proposals)[: None if first is None else positive("first", first)]


def _known(threshold: float) -> float:
    return number("threshold", threshold, above=0, most=1)


def _overlaps(best: ArrayLike) -> Array:
    values = np.asarray(best, np.float64).ravel()
    if not values.size:
        raise ValueError("no true boxes: at least one is needed")
    if not (values >= 0).all() or not (values <= 1).all():
        raise ValueError(f"overlaps from {values.min():g} to {values.max():g}: from 0 to 1 are needed")
    return values


class ProposalScores:
    """`recall_k` (at 0.5), `ar_k` and `abo_k` of the first k proposals, over the true boxes of all images.

    `update` takes the proposals of each method for each image, `n 4`, the best first, and the true boxes `m 4`. The
    name of a method, unless it is "", is the prefix of its numbers: `contrast_recall_10`.

    Args:
        budgets: the numbers k of proposals that count.

    Raises: ValueError for a budget below 1; in `compute`, without true boxes.
    """

    def __init__(self, budgets: Sequence[int] = (1, 10, 100)) -> None:
        self.budgets = whole_numbers("budgets", budgets)
        self.reset()

    def reset(self) -> None:
        """Removes all images."""
        self.best: dict[tuple[str, int], list[Array]] = {}

    def update(self, proposals: Mapping[str, Sequence[ArrayLike]], truths: Sequence[ArrayLike]) -> None:
        """Args: proposals of each method, and true boxes; one array for each image."""
        for way, several in proposals.items():
            for found, wanted in zip(several, truths, strict=True):
                for k in self.budgets:
                    self.best.setdefault((way, k), []).append(covered(found, wanted, first=k))

    def merge_state(self, incoming_state: ProposalScores) -> None:
        """Adds the images of another metric."""
        for key, values in incoming_state.best.items():
            self.best.setdefault(key, []).extend(values)

    def compute(self) -> dict[str, float]:
        scores = {}
        for (way, k), values in self.best.items():
            best, front = np.concatenate(values), f"{way}_" if way else ""
            scores[f"{front}recall_{k}"] = recall(best)
            scores[f"{front}ar_{k}"] = average_recall(best)
            scores[f"{front}abo_{k}"] = average_best_overlap(best)
        if not scores:
            raise ValueError("no true boxes: at least one is needed")
        return scores
