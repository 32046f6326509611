"""Boxes that may hold an object: how many of the true ones are found among the first k, and the loss to rank them.

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

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn import functional

from regard.ops.boxes import as_boxes, suppressed
from regard.ops.precision import widened

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
    return np.divide(both, either, out=np.zeros_like(both), where=either > 0)


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
    return overlaps(_foremost(proposals, first), truths, inclusive=inclusive).max(0, initial=0.0)


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


@dataclass(frozen=True)
class Proposals:
    """Learns to rank windows by how well they cover an object: cross-entropy against a ramp of the overlap.

    Args:
        low, high: overlaps with the best true box at which a window counts nothing, and fully.
        overlap: of two proposals, at which the lesser one is left out when they are scored.
        budgets: how many proposals count.

    Raises: ValueError if the ramp does not rise within 0..1, the overlap is none, or a budget is below 1.
    """

    low: float = 0.3
    high: float = 0.7
    overlap: float = 0.7
    budgets: tuple[int, ...] = (1, 10, 100)

    def __post_init__(self) -> None:
        if not 0 <= self.low < self.high <= 1 or not 0 < self.overlap <= 1:
            raise ValueError(f"low={self.low!r}, high={self.high!r}, overlap={self.overlap!r}: shares are needed")
        if not self.budgets or min(self.budgets) < 1:
            raise ValueError(f"budgets={self.budgets!r}: whole numbers of at least 1 are needed")

    def loss(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Mean of the means over windows on an object and over the others, which are far more; in float32 at least.

        Shapes: images `B C H W`, labels `B M 4`, boxes or rows of NaN; the model returns `B N 5`, boxes and logits.
        Raises: ValueError if it returns another shape.
        """
        answers = self._fitting(model(images), labels)
        windows, truths = answers[..., :4].detach(), labels.to(answers)
        low = torch.maximum(windows[:, :, None, :2], truths[:, None, :, :2])  # [B, N, M, 2]
        high = torch.minimum(windows[:, :, None, 2:], truths[:, None, :, 2:])
        both = (high - low).clamp_min(0).prod(3)
        areas = [(x[..., 2:] - x[..., :2]).prod(2) for x in (windows, truths)]
        found = (both / (areas[0][:, :, None] + areas[1][:, None] - both)).nan_to_num(0)
        best = found.amax(2) if found.shape[2] else found.new_zeros(found.shape[:2])
        ramp = ((best - self.low) / (self.high - self.low)).clamp(0, 1)
        losses = functional.binary_cross_entropy_with_logits(answers[..., 4], ramp, reduction="none")
        on = (ramp > 0).to(losses)
        means = [(losses * part).sum() / part.sum().clamp_min(1) for part in (on, 1 - on)]
        return (means[0] + means[1]) / 2

    def score(self, logits: Tensor, labels: Tensor) -> dict[str, float]:
        """`recall_k` (at 0.5), `ar_k` and `abo_k` of the first k, over the true boxes of all images.

        Shapes: logits `N W 5`, boxes and logits, labels `N M 4`.
        Raises: ValueError if the shapes do not fit or there is no true box.
        """
        answers = self._fitting(logits, labels).double().numpy(force=True)
        ranked = [suppressed(one[:, :4], one[:, 4], overlap=self.overlap, first=max(self.budgets)) for one in answers]
        boxes = [one[order, :4] for one, order in zip(answers, ranked, strict=True)]
        truths = [one[~one.isnan().any(1)] for one in labels.cpu()]
        return self.summary(boxes, truths)

    def summary(self, proposals: Any, truths: Any) -> dict[str, float]:
        """The same numbers for ranked boxes of any origin: `n 4` and `m 4` for each image."""
        scores = {}
        for k in self.budgets:
            pairs = zip(proposals, truths, strict=True)
            best = np.concatenate([covered(found, wanted, first=k) for found, wanted in pairs])
            scores[f"recall_{k}"] = recall(best)
            scores[f"ar_{k}"] = average_recall(best)
            scores[f"abo_{k}"] = average_best_overlap(best)
        return scores

    def _fitting(self, answers: Tensor, labels: Tensor) -> Tensor:
        if labels.ndim != 3 or labels.shape[2] != 4:
            raise ValueError(f"labels {tuple(labels.shape)}: boxes B M 4 are needed")
        if not isinstance(answers, Tensor) or answers.ndim != 3 or (len(answers), answers.shape[2]) != (len(labels), 5):
            found = tuple(answers.shape) if isinstance(answers, Tensor) else type(answers).__name__
            raise ValueError(f"the model returns {found}; B N 5, a box and a logit for each window, are needed")
        return widened(answers)
