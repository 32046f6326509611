"""Scores of predicted diagnoses: how many of the categories of the next visit are among the k most likely.

Doctor AI: Predicting Clinical Events via Recurrent Neural Networks. Choi et al. MLHC 2016, arXiv:1511.05942. Dipole.
Ma et al. KDD 2017, arXiv:1706.05764, which divides by min(k, |y|):

    precision@k = mean over visits of hits / min(k, |y|)                                        visit-level  (1)
    accuracy@k  = hits of all visits / |y| of all visits                                        code-level   (2)

The areas under the curve of precision and recall are scikit-learn's average precision: micro over all pairs of a visit
and a category, macro the mean over the categories that occur. Intervals are those of the bootstrap over patients, whose
visits belong together.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score
from torch import Tensor

from regard.checks import positive, whole_numbers
from regard.ops.precision import widened

KS = (5, 10, 20, 30)
LEVEL = 0.95
LOW, HIGH = " low", " high"  # behind the name of a number, the ends of its interval
GAIN = "gain over "

Floats = NDArray[np.float64]


class VisitScores:
    """Precision and accuracy at k, and areas under the curve, of several predictors of the same visits.

    `update` takes the scores of each predictor by name, the one of interest first, called ""; the categories that each
    visit had; how many it had, those included for which there is no score; and the number of its patient. All scores
    are kept, since the order of all of them decides.

    `compute` gives `precision@k`, `accuracy@k`, `auprc_micro` and `auprc_macro` of the first predictor, and those of
    every other one as `NAME: precision@k`; by how much the first is better, as `gain over NAME: precision@k`; and
    the intervals of precision, accuracy and gains, as `… low` and `… high`; `visits` and `patients`.

    Args:
        classes: K, the number of categories.
        ks: the numbers k.
        draws: of the bootstrap.

    Raises: ValueError if an argument is not positive; in `update`, if shapes do not fit, a score is NaN, or a visit has
        fewer categories than are true; in `compute`, if there was no visit.
    """

    def __init__(self, classes: int, *, ks: tuple[int, ...] = KS, draws: int = 1000) -> None:
        self.classes = positive("classes", classes)
        self.ks = whole_numbers("ks", ks)
        self.draws = positive("draws", draws)
        self.reset()

    def reset(self) -> None:
        """Removes all visits."""
        self.scores: dict[str, list[Tensor]] = {}
        self.truth: list[Tensor] = []
        self.counts: list[Tensor] = []
        self.patients: list[Tensor] = []

    def update(self, scores: Mapping[str, Tensor], truth: Tensor, counts: Tensor, patients: Tensor) -> None:
        """Shapes: scores `N K` each, truth `N K`, true where above 0, counts `N`, patients `N`."""
        for name, values in scores.items():
            if values.ndim != 2 or values.shape[1] != self.classes or values.shape != truth.shape:
                shapes = f"shapes {tuple(values.shape)} and {tuple(truth.shape)}"
                raise ValueError(f"{shapes}: scores {name!r} and truth N {self.classes} are needed")
            if values.isnan().any():
                raise ValueError(f"scores {name!r} hold NaN: numbers are needed")
        if counts.shape != truth.shape[:1] or patients.shape != truth.shape[:1]:
            shapes = f"shapes {tuple(counts.shape)} and {tuple(patients.shape)}"
            raise ValueError(f"{shapes}: counts and patients {len(truth)} are needed, one for each visit")
        if self.scores and list(scores) != list(self.scores):
            raise ValueError(f"scores of {', '.join(scores)}: the same predictors are needed for all visits")
        true = truth > 0
        if bool((counts < true.sum(1)).any()) or bool((counts < 1).any()):
            raise ValueError("counts: at least 1, and as many categories as are true, are needed of every visit")
        for name, values in scores.items():
            self.scores.setdefault(name, []).append(widened(values).detach().cpu())
        self.truth.append(true.cpu())
        self.counts.append(counts.cpu())
        self.patients.append(patients.cpu())

    def merge_state(self, incoming_state: VisitScores) -> None:
        """Adds the visits of another metric."""
        for name, several in incoming_state.scores.items():
            self.scores.setdefault(name, []).extend(several)
        self.truth += incoming_state.truth
        self.counts += incoming_state.counts
        self.patients += incoming_state.patients

    def compute(self) -> dict[str, float]:
        if not sum(map(len, self.truth)):
            raise ValueError("no visits: at least one is needed to compute scores")
        truth, counts = torch.cat(self.truth), torch.cat(self.counts).double().numpy()
        people, inverse = np.unique(torch.cat(self.patients).numpy(), return_inverse=True)
        times = _drawn(len(people), self.draws)
        found: dict[str, float] = {}
        first: dict[str, tuple[float, Floats]] = {}
        for name, several in self.scores.items():
            scores = torch.cat(several)
            before = f"{name}: " if name else ""
            order = scores.argsort(dim=1, descending=True, stable=True)
            right = truth.gather(1, order).double().cumsum(1).numpy()
            for k in self.ks:
                hits = right[:, min(k, self.classes) - 1]
                for measure, above, below in (
                    (f"precision@{k}", hits / np.minimum(k, counts), np.ones_like(counts)),
                    (f"accuracy@{k}", hits, counts),
                ):
                    sums = [np.bincount(inverse, one, len(people)) for one in (above, below)]
                    value = float(above.sum() / below.sum())
                    drawn = (times @ sums[0]) / (times @ sums[1])
                    found |= _with_interval(f"{before}{measure}", value, drawn)
                    if measure not in first:
                        first[measure] = value, drawn
                    else:
                        ours, theirs = first[measure]
                        found |= _with_interval(f"{GAIN}{name}: {measure}", ours - value, theirs - drawn)
            occurs = truth.any(0)
            for average in ("micro", "macro"):
                area = _area(truth[:, occurs], scores[:, occurs], average) if average == "macro" else None
                found[f"{before}auprc_{average}"] = _area(truth, scores, average) if area is None else area
        return {**found, "visits": float(len(truth)), "patients": float(len(people))}


def _drawn(count: int, draws: int) -> Floats:
    """How often each patient is in each set that is drawn with replacement, `R P`; the same for all predictors."""
    return np.random.default_rng(draws).multinomial(count, np.full(count, 1 / count), size=draws).astype(float)


def _with_interval(name: str, value: float, drawn: Floats) -> dict[str, float]:
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return {name: value, f"{name}{LOW}": float(low), f"{name}{HIGH}": float(high)}


def _area(truth: Tensor, scores: Tensor, average: str) -> float:
    if not bool(truth.any()):
        return 0.0  # no category has a score that could be right
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of visits without one of the categories
        return float(average_precision_score(truth.numpy(), scores.numpy(), average=average))
