"""Mean average precision of images with several labels each.

The PASCAL Visual Object Classes Challenge: A Retrospective. Everingham, Eslami, Van Gool, Williams, Winn, Zisserman.
IJCV 2015, doi:10.1007/s11263-014-0733-5: since 2010 with precision at every recall, not at eleven.

    AP_c = 1/P_c Σ_{i: y_ic = 1} max_{j: s_jc ≤ s_ic} precision(s_jc)                                    (1)
"""

from __future__ import annotations

import torch
from torch import Tensor

from regard.checks import whole
from regard.ops.precision import widened


class AveragePrecision:
    """Mean average precision over the classes that occur, from 0 to 1.

    `update` takes scores `N K` and labels of 0 and 1, `N K`; the scores of all images are kept, since the order of all
    of them decides. `compute` gives `map`.

    Args:
        classes: K, at least 1.

    Raises: ValueError, in `update`, if shapes do not fit or a score is NaN; in `compute`, if no class occurs.
    """

    def __init__(self, classes: int) -> None:
        self.classes = whole("classes", classes, 1)
        self.reset()

    def reset(self) -> None:
        """Removes all images."""
        self.scores = torch.empty(0, self.classes)
        self.labels = torch.empty(0, self.classes, dtype=torch.bool)

    def update(self, scores: Tensor, labels: Tensor) -> None:
        """Shapes: scores `N K`, labels `N K`."""
        if scores.ndim != 2 or scores.shape[1] != self.classes or labels.shape != scores.shape:
            shapes = f"shapes {tuple(scores.shape)} and {tuple(labels.shape)}"
            raise ValueError(f"{shapes}: scores and labels N {self.classes} are needed")
        if scores.isnan().any():
            raise ValueError("scores hold NaN: numbers are needed")
        self.scores = torch.cat((self.scores, widened(scores).cpu()))
        self.labels = torch.cat((self.labels, labels.cpu() > 0))

    def merge_state(self, incoming_state: AveragePrecision) -> None:
        """Adds the images of another metric."""
        self.update(incoming_state.scores, incoming_state.labels)

    def compute(self) -> dict[str, float]:
        found = [
            average_precision(scores, labels)
            for scores, labels in zip(self.scores.T, self.labels.T, strict=True)
            if labels.any()
        ]
        if not found:
            raise ValueError("no image has a label: at least one is needed to compute scores")
        return {"map": sum(found) / len(found)}


def average_precision(scores: Tensor, labels: Tensor) -> float:
    """Equation (1) of one class; of equal scores, all are found together.

    Shapes: scores `N`, labels bool `N`, at least one of them true.
    """
    ranked, order = scores.sort(descending=True)
    right = labels[order].double()
    last = torch.cat((ranked[1:] != ranked[:-1], torch.ones(1, dtype=torch.bool)))  # of a run of equal scores
    found, said = right.cumsum(0)[last], torch.arange(1, len(ranked) + 1, dtype=torch.float64)[last]
    precision = (found / said).flip(0).cummax(0).values.flip(0)
    steps = torch.diff(found, prepend=found.new_zeros(1))
    return float((precision * steps).sum() / right.sum())
