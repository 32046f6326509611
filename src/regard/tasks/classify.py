"""One class for each image: cross-entropy to learn, accuracy and calibration to score.

Rethinking the Inception Architecture for Computer Vision. Szegedy et al. CVPR 2016, arXiv:1512.00567, for smoothed
labels (Section 7): (1 − ε) on the label and ε / K on every class.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from regard.data.batches import Batch
from regard.metrics.classification import Classification
from regard.metrics.metric import Measure
from regard.ops.precision import widened

ACCURACY = Measure("accuracy", "accuracy", unit="%")
ERROR = Measure("error", "error, %", higher_is_better=False)


def fitting(logits: object, samples: int, classes: int) -> Tensor:
    """The logits that a model returned, in float32 at least.

    Raises: ValueError if they are not `samples classes`.
    """
    if not isinstance(logits, Tensor) or logits.shape != (samples, classes):
        found = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ValueError(f"the model returns {found}; one row of {classes} logits for each image is needed")
    return widened(logits)


@dataclass(frozen=True)
class Classify:
    """One of K classes for each image; batches have `image` and `label`.

    Args:
        classes: K, at least 2.
        label_smoothing: ε, from 0 (none) to below 1; the paper uses 0.1.
        errors: score percentages of wrong answers, as papers report them, rather than accuracy and calibration.

    Raises: ValueError if an argument is out of range.
    """

    classes: int
    label_smoothing: float = 0.0
    errors: bool = False

    def __post_init__(self) -> None:
        Classification(self.classes)
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"label_smoothing={self.label_smoothing!r}: at least 0 and below 1 is accepted")

    @property
    def measure(self) -> Measure:
        return ERROR if self.errors else ACCURACY

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Mean cross-entropy over the images; in float32 at least, whatever the model computes in.

        Shapes: image `B C H W`, label `B`; the model returns `B K`.
        Raises: ValueError if it returns another shape.
        """
        logits = self.logits(model, batch)
        return functional.cross_entropy(logits, batch["label"], label_smoothing=self.label_smoothing), {}

    def metric(self) -> Classification:
        return Classification(self.classes, errors=self.errors)

    def answers(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        """Logits and labels. Raises: ValueError if the model returns another shape."""
        return self.logits(model, batch), batch["label"]

    def each(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The measure of each image, whose mean is that of all: whether it is right, or 100 where it is wrong: `B`."""
        right = logits.argmax(1) == labels
        return 100.0 * ~right if self.errors else right

    def logits(self, model: nn.Module, batch: Batch) -> Tensor:
        """What the model answers: `B K`, in float32 at least. Raises: ValueError if it returns another shape."""
        return fitting(model(batch["image"]), batch.size, self.classes)
