"""One class for each image: cross-entropy to learn, accuracy and calibration to score.

On Calibration of Modern Neural Networks. Guo, Pleiss, Sun, Weinberger. ICML 2017, arXiv:1706.04599, for

    ECE = Σ_m |B_m| / N · |accuracy(B_m) − confidence(B_m)|,     B_m = {i : (m−1)/M < max_k p_ik ≤ m/M}     Eq. 3    (1)

Rethinking the Inception Architecture for Computer Vision. Szegedy et al. CVPR 2016, arXiv:1512.00567, for smoothed
labels (Section 7): (1 − ε) on the label and ε / K on every class.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from regard.checks import positive
from regard.ops.precision import widened


def expected_calibration_error(probabilities: Tensor, labels: Tensor, bins: int = 15) -> float:
    """How far confidence is from accuracy, 0 to 1: equation (1), with M bins of equal width.

    Args:
        probabilities: of each class, rows summing to 1.
        labels: the right class.
        bins: M; the paper uses 15.

    Shapes: probabilities `N K`, labels `N`.
    Raises: ValueError if the shapes do not fit, or the rows are no probabilities.
    """
    positive("bins", bins)
    _check(probabilities, labels)
    if not (probabilities.min() >= 0 and (probabilities.double().sum(1) - 1).abs().max() <= 1e-3):  # NaN is neither
        raise ValueError("rows of probabilities must be at least 0 and sum to 1; apply softmax to logits first")
    confidence, prediction = probabilities.max(1)  # [N], [N]
    right = (prediction == labels).double()
    # Bounds in the confidences' own type, so that 0.2 in float32 is not above the bound 0.2.
    upper = (torch.arange(1, bins, dtype=torch.float64) / bins).to(confidence)  # [M - 1]
    member = torch.bucketize(confidence, upper)  # [N]; on a bound: the lower bin
    gaps = torch.zeros(bins, dtype=torch.float64, device=right.device)
    gaps.index_add_(0, member, right - confidence.double())  # |B_m| · (accuracy − confidence)
    return gaps.abs().sum().item() / len(labels)


def per_class_accuracy(logits: Tensor, labels: Tensor) -> list[float | None]:
    """Share of each class's images that are right; None for a class without images.

    Shapes: logits `N K`, labels `N`.
    Raises: ValueError if the shapes do not fit.
    """
    _check(logits, labels)
    classes = logits.shape[1]
    images = torch.bincount(labels, minlength=classes).tolist()
    right = torch.bincount(labels[logits.argmax(1) == labels], minlength=classes).tolist()
    return [r / n if n else None for r, n in zip(right, images, strict=True)]


@dataclass(frozen=True)
class Classify:
    """One of K classes for each image.

    Args:
        classes: K, at least 2.
        label_smoothing: ε, from 0 (none) to below 1; the paper uses 0.1.

    Raises: ValueError if an argument is out of range.
    """

    classes: int
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        if positive("classes", self.classes) < 2:
            raise ValueError("classes=1: at least 2 are needed to tell anything apart")
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"label_smoothing={self.label_smoothing!r}: at least 0 and below 1 is needed")

    def loss(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Mean cross-entropy over the images; in float32 at least, whatever the model computes in.

        Shapes: images `B C H W`, labels `B`; the model returns `B K`.
        Raises: ValueError if it returns another shape.
        """
        logits = self._fitting(model(images), len(labels))
        return functional.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)

    def score(self, logits: Tensor, labels: Tensor) -> dict[str, float]:
        """`accuracy`, `top5` with more than five classes, `loss` (cross-entropy without smoothing), `ece`.

        Shapes: logits `N K`, labels `N`.
        Raises: ValueError if the shapes or labels do not fit, or a logit is NaN.
        """
        logits = self._fitting(logits, len(labels))
        _check(logits, labels)
        if broken := int(logits.isnan().any(1).sum()):
            raise ValueError(f"{broken} of {len(logits)} rows of logits hold NaN, and so no answer")
        scores = {"accuracy": _share(logits.argmax(1) == labels)}
        if self.classes > 5:
            scores["top5"] = _share((logits.topk(5).indices == labels[:, None]).any(1))
        scores["loss"] = functional.cross_entropy(logits, labels).item()
        scores["ece"] = expected_calibration_error(logits.softmax(1), labels)
        return scores

    def _fitting(self, logits: Tensor, images: int) -> Tensor:
        if not isinstance(logits, Tensor) or logits.shape != (images, self.classes):
            found = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise ValueError(f"the model returns {found}; one row of {self.classes} logits for each image is needed")
        return widened(logits)


def _share(right: Tensor) -> float:
    return right.double().mean().item()


def _check(logits: Tensor, labels: Tensor) -> None:
    if logits.ndim != 2 or labels.shape != logits.shape[:1] or not len(labels):
        raise ValueError(f"shapes {tuple(logits.shape)} and {tuple(labels.shape)}: N K and N are needed, N at least 1")
    if labels.min() < 0 or labels.max() >= logits.shape[1]:
        raise ValueError(f"labels from {labels.min()} to {labels.max()}: there are {logits.shape[1]} classes, from 0")
