"""Boxes that may hold an object: how many of the true ones are found among the first k.

What Makes for Effective Detection Proposals? Hosang, Benenson, Dollár, Schiele. TPAMI 2016, arXiv:1502.05082.
Selective Search for Object Recognition. Uijlings, van de Sande, Gevers, Smeulders. IJCV 2013,
doi:10.1007/s11263-013-0620-5.

    o_g       = max IoU of the truth g with the first k proposals                                   (1)
    recall(t) = share of truths with o_g ≥ t                                                        (2)
    AR        = 2 ∫ from 0.5 to 1 of recall = 2 mean max(o_g − 0.5, 0)            `"hosang"`        (3)
              = mean of recall over t = 0.50, 0.55 … 0.95                         `"coco"`          (4)
    ABO       = mean o_g                                                                            (5)

Over several images, collect o_g of all truths first. `matched` counts as COCO's evaluation does: in the order of the
proposals, each takes the free truth that it overlaps best, so that no box finds two; recalls can be lower.
`inclusive` counts pixels as the older toolkits do: whole coordinates, the last pixel belonging to the box.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from regard.ops.boxes import as_boxes

COCO_THRESHOLDS = tuple(round(0.5 + 0.05 * i, 2) for i in range(10))

Array = NDArray[np.float64]


def overlaps(first: ArrayLike, second: ArrayLike, *, inclusive: bool = False) -> Array:
    """Intersection over union of every pair of boxes.

    Args:
        first, second: left, top, right, bottom of each.
        inclusive: round to whole pixels, of which the right and bottom ones belong to the box.

    Shapes: first `n 4`, second `m 4` -> `n m`.
    Raises: ValueError for other shapes, values that are not finite, or a right end before the left.
    """
    a, b = as_boxes(first), as_boxes(second)
    if inclusive:
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
    """How well each truth is covered, equation (1); 0 without a proposal.

    Args:
        proposals: boxes, the best first.
        truths: the boxes to find.
        first: how many proposals count; None takes all.
        inclusive: as in `overlaps`.

    Shapes: proposals `n 4`, truths `m 4` -> `m`.
    Raises: ValueError for boxes that are none, or `first` below 1.
    """
    best: Array = overlaps(_foremost(proposals, first), truths, inclusive=inclusive).max(0, initial=0.0)
    return best


def recall(best: ArrayLike, threshold: float = 0.5) -> float:
    """Equation (2), of the overlaps that `covered` gives.

    Shapes: best `m`.
    Raises: ValueError without a truth, or for a threshold outside (0, 1].
    """
    return float((_overlaps(best) >= _known(threshold)).mean())


def average_recall(best: ArrayLike, *, convention: str = "hosang") -> float:
    """Equation (3), or (4) for `convention="coco"`.

    Shapes: best `m`.
    Raises: ValueError without a truth, or for an unknown convention.
    """
    if convention == "hosang":
        return float(2 * (_overlaps(best) - 0.5).clip(0).mean())
    if convention == "coco":
        return float(np.mean([recall(best, t) for t in COCO_THRESHOLDS]))
    raise ValueError(f"convention={convention!r}: 'hosang' or 'coco' is needed")


def average_best_overlap(best: ArrayLike) -> float:
    """Equation (5).

    Shapes: best `m`.
    Raises: ValueError without a truth.
    """
    return float(_overlaps(best).mean())


def matched(proposals: ArrayLike, truths: ArrayLike, threshold: float = 0.5, *, first: int | None = None) -> int:
    """How many truths are found when each proposal finds one at most.

    Args:
        proposals, truths, first: as in `covered`.
        threshold: the least overlap that finds.

    Shapes: proposals `n 4`, truths `m 4`.
    Raises: ValueError for boxes that are none, a threshold outside (0, 1], or `first` below 1.
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
    if first is not None and (isinstance(first, bool) or first < 1):
        raise ValueError(f"first={first!r}: at least one proposal has to count")
    return as_boxes(proposals)[:first]


def _known(threshold: float) -> float:
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold={threshold!r}: an overlap above 0 and at most 1 is needed")
    return threshold


def _overlaps(best: ArrayLike) -> Array:
    values = np.asarray(best, np.float64).ravel()
    if not values.size:
        raise ValueError("no true box to find")
    if not (values >= 0).all() or not (values <= 1).all():
        raise ValueError(f"overlaps from {values.min():g} to {values.max():g}: they go from 0 to 1")
    return values


class ProposalScores:
    """`recall_k` (at 0.5), `ar_k` and `abo_k` of the first k proposals, over the true boxes of all images.

    `update` takes, for each way of proposing, its boxes of each image, `n 4`, the best first, and the true boxes `m 4`.
    The names of all ways but "" come in front of theirs: `contrast_recall_10`.

    Args:
        budgets: how many proposals count, k.

    Raises: ValueError for a budget below 1; by `compute`, without a true box.
    """

    def __init__(self, budgets: Sequence[int] = (1, 10, 100)) -> None:
        if not budgets or min(budgets) < 1:
            raise ValueError(f"budgets={budgets!r}: whole numbers of at least 1 are needed")
        self.budgets = tuple(budgets)
        self.reset()

    def reset(self) -> None:
        """Forgets all images."""
        self.best: dict[tuple[str, int], list[Array]] = {}

    def update(self, proposals: Mapping[str, Sequence[ArrayLike]], truths: Sequence[ArrayLike]) -> None:
        """Args: proposals of each way, truths; one array for each image."""
        for way, several in proposals.items():
            for found, wanted in zip(several, truths, strict=True):
                for k in self.budgets:
                    self.best.setdefault((way, k), []).append(covered(found, wanted, first=k))

    def merge_state(self, incoming_state: ProposalScores) -> None:
        """Takes up the images of another metric."""
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
            raise ValueError("no true box to find")
        return scores
