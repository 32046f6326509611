"""Classification metrics: accuracy, calibration, errors and F1, accumulated over batches.

On Calibration of Modern Neural Networks. Guo, Pleiss, Sun, Weinberger. ICML 2017, arXiv:1706.04599, for

    ECE = Σ_m |B_m| / N · |accuracy(B_m) − confidence(B_m)|,     B_m = {i : (m−1)/M < max_k p_ik ≤ m/M}     Eq. 3    (1)
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from regard.checks import flag, positive, whole
from regard.ops.precision import widened

BINS = 15


def expected_calibration_error(probabilities: Tensor, labels: Tensor, bins: int = BINS) -> float:
    """Expected calibration error, from 0 to 1: equation (1), with M bins of equal width.

    Args:
        probabilities: the probability of each class; rows sum to 1.
        labels: the true class of each sample.
        bins: M; the paper uses 15.

    Shapes: probabilities `N K`, labels `N`.
    Raises: ValueError if the shapes do not fit, or the rows are not probabilities.
    """
    return _gaps(probabilities, labels, bins).abs().sum().item() / len(labels)


def _gaps(probabilities: Tensor, labels: Tensor, bins: int) -> Tensor:
    """|B_m| (accuracy − confidence) of every bin, which is additive over batches: float64 `M`."""
    positive("bins", bins)
    _check(probabilities, labels)
    if not (probabilities.min() >= 0 and (probabilities.double().sum(1) - 1).abs().max() <= 1e-3):  # false for NaN
        raise ValueError(
            "probabilities: rows of numbers of at least 0 that sum to 1 are needed; apply softmax to logits"
        )
    confidence, prediction = probabilities.max(1)  # [N], [N]
    right = (prediction == labels).double()
    # Bounds in the type of the confidences, so that 0.2 in float32 is not above the bound 0.2.
    upper = (torch.arange(1, bins, dtype=torch.float64) / bins).to(confidence)  # [M - 1]
    member = torch.bucketize(confidence, upper)  # [N]; a confidence equal to a bound is in the lower bin
    gaps = torch.zeros(bins, dtype=torch.float64, device=right.device)
    return gaps.index_add_(0, member, right - confidence.double())


class Classification:
    """Accuracy, top-5 accuracy, cross-entropy and calibration.

    `update` takes logits `N K` and labels `N`; `compute` gives `accuracy`, `top5` with more than five classes, `loss`
    (cross-entropy), `ece` (equation (1)) as numbers, and `per_class` the accuracy of each class.

    Args:
        classes: K, at least 2.
        errors: compute percentages of wrong predictions, `error` and `top5_error`, in place of these, as papers report
            them.

    Raises: ValueError, in `update`, if shapes or labels do not fit, or a logit is NaN; in `compute`, without samples.
    """

    def __init__(self, classes: int, *, errors: bool = False) -> None:
        self.classes, self.errors = whole("classes", classes, 2), flag("errors", errors)
        self.reset()

    def reset(self) -> None:
        """Removes all samples."""
        self.right = torch.zeros(self.classes, dtype=torch.int64)
        self.there = torch.zeros(self.classes, dtype=torch.int64)
        self.gaps = torch.zeros(BINS, dtype=torch.float64)
        self.among_five, self.loss = 0, 0.0

    def update(self, logits: Tensor, labels: Tensor) -> None:
        """Shapes: logits `N K`, labels `N`."""
        logits, labels = widened(logits).cpu(), labels.cpu()
        _check(logits, labels)
        if logits.shape[1] != self.classes:
            raise ValueError(f"logits of shape {tuple(logits.shape)}: rows of {self.classes} logits are needed")
        if broken := int(logits.isnan().any(1).sum()):
            raise ValueError(f"{broken} of {len(logits)} rows of logits hold NaN: numbers are needed")
        self.right += torch.bincount(labels[logits.argmax(1) == labels], minlength=self.classes)
        self.there += torch.bincount(labels, minlength=self.classes)
        if self.classes > 5:
            self.among_five += int((logits.topk(5).indices == labels[:, None]).any(1).sum())
        self.loss += functional.cross_entropy(logits.double(), labels, reduction="sum").item()
        self.gaps += _gaps(logits.softmax(1), labels, BINS)

    def merge_state(self, incoming_state: Classification) -> None:
        """Adds the samples of another metric."""
        self.right += incoming_state.right
        self.there += incoming_state.there
        self.gaps += incoming_state.gaps
        self.among_five += incoming_state.among_five
        self.loss += incoming_state.loss

    @property
    def per_class(self) -> list[float | None]:
        """The accuracy of each class; None for a class without samples."""
        return [r / n if n else None for r, n in zip(self.right.tolist(), self.there.tolist(), strict=True)]

    def compute(self) -> dict[str, float]:
        n = int(self.there.sum())
        if not n:
            raise ValueError("no samples: at least one is needed to compute scores")
        scores = {"accuracy": int(self.right.sum()) / n}
        if self.classes > 5:
            scores["top5"] = self.among_five / n
        if self.errors:
            names = {"accuracy": "error", "top5": "top5_error"}
            return {names[name]: 100 * (1 - share) for name, share in scores.items()}
        return scores | {"loss": self.loss / n, "ece": self.gaps.abs().sum().item() / n}


class Errors:
    """Percentage of samples with a wrong prediction, for each of several named predictions.

    `update` takes a mapping of names to predictions, logits `N *S K`, and labels `N *S`; a sample with several labels
    is wrong if the prediction of one of them is.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Removes all samples."""
        self.wrong: dict[str, int] = {}
        self.samples = 0

    def update(self, answers: Mapping[str, Tensor], labels: Tensor) -> None:
        """Shapes: answers `N *S K` each, labels `N *S`."""
        for name, logits in answers.items():
            if logits.shape[:-1] != labels.shape:
                raise ValueError(
                    f"{name} of shape {tuple(logits.shape)} for labels {tuple(labels.shape)}: N K and N are needed"
                )
            wrong = (logits.argmax(-1) != labels).flatten(1).any(1) if labels.ndim > 1 else logits.argmax(-1) != labels
            self.wrong[name] = self.wrong.get(name, 0) + int(wrong.sum())
        self.samples += len(labels)

    def merge_state(self, incoming_state: Errors) -> None:
        """Adds the samples of another metric."""
        for name, count in incoming_state.wrong.items():
            self.wrong[name] = self.wrong.get(name, 0) + count
        self.samples += incoming_state.samples

    def compute(self) -> dict[str, float]:
        if not self.samples:
            raise ValueError("no samples: at least one is needed to compute scores")
        return {name: 100 * count / self.samples for name, count in self.wrong.items()}


class Confusion:
    """Accuracy and macro-averaged F1, from a confusion matrix.

    `update` takes logits `N K` and labels `N`; `table[i, j]` counts the samples of class i that are predicted as j.

    Args:
        classes: K, at least 2.
    """

    def __init__(self, classes: int) -> None:
        Classification(classes)
        self.classes = classes
        self.reset()

    def reset(self) -> None:
        """Removes all samples."""
        self.table = torch.zeros(self.classes, self.classes, dtype=torch.int64)

    def update(self, logits: Tensor, labels: Tensor) -> None:
        """Shapes: logits `N K`, labels `N`."""
        logits, labels = logits.cpu(), labels.cpu()
        _check(logits, labels)
        pairs = labels * self.classes + logits.argmax(1)
        self.table += torch.bincount(pairs, minlength=self.classes**2).view(self.classes, self.classes)

    def merge_state(self, incoming_state: Confusion) -> None:
        """Adds the samples of another metric."""
        self.table += incoming_state.table

    def compute(self) -> dict[str, float]:
        """`accuracy`, and `f1`, the mean over the classes that have samples."""
        right, there, said = self.table.diagonal(), self.table.sum(1), self.table.sum(0)
        if not there.any():
            raise ValueError("no samples: at least one is needed to compute scores")
        f1 = 2 * right / (there + said).clamp_min(1)
        return {"accuracy": (right.sum() / there.sum()).item(), "f1": f1[there > 0].mean().item()}


def _check(logits: Tensor, labels: Tensor) -> None:
    if logits.ndim != 2 or labels.shape != logits.shape[:1] or not len(labels):
        raise ValueError(f"shapes {tuple(logits.shape)} and {tuple(labels.shape)}: N K and N are needed, N at least 1")
    if labels.min() < 0 or labels.max() >= logits.shape[1]:
        raise ValueError(f"labels from {labels.min()} to {labels.max()}: from 0 to {logits.shape[1] - 1} are needed")
