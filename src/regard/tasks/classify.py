"""Image classification: cross-entropy as the loss; accuracy and calibration, or errors, as the metric.

Rethinking the Inception Architecture for Computer Vision. Szegedy et al. CVPR 2016, arXiv:1512.00567, for smoothed
labels (Section 7): (1 − ε) on the label and ε / K on every class.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from regard.checks import number
from regard.data.batches import Batch
from regard.metrics.classification import Classification
from regard.metrics.metric import Measure
from regard.ops.precision import widened

ACCURACY = Measure("accuracy", "accuracy", unit="%")
ERROR = Measure("error", "error, %", higher_is_better=False)


def fitting(logits: object, samples: int, classes: int) -> Tensor:
    """Checks the shape of a model's logits, and returns them in float32 or wider.

    Raises: ValueError if the shape is not `samples classes`.
    """
    if not isinstance(logits, Tensor) or logits.shape != (samples, classes):
        found = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ValueError(f"the model returns {found}: {classes} logits for each image are needed")
    return widened(logits)


@dataclass(frozen=True)
class Classify:
    """Classification of images into K classes; batches have `image` and `label`.

    Args:
        classes: K, at least 2.
        label_smoothing: ε, from 0 (none) to below 1; the paper uses 0.1.
        errors: compute percentages of wrong predictions, as papers report them, in place of accuracy and calibration.

    Raises: ValueError if an argument is out of range.
    """

    classes: int
    label_smoothing: float = 0.0
    errors: bool = False

    def __post_init__(self) -> None:
        Classification(self.classes, errors=self.errors)
        if number("label_smoothing", self.label_smoothing, least=0) >= 1:
            raise ValueError(f"label_smoothing={self.label_smoothing!r}: a number of at least 0 and below 1 is needed")

    @property
    def measure(self) -> Measure:
        return ERROR if self.errors else ACCURACY

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The mean cross-entropy over the images, in float32 or wider.

        Shapes: image `B C H W`, label `B`; the model returns `B K`.
        Raises: ValueError if the model returns another shape.
        """
        logits = self.logits(model, batch)
        return functional.cross_entropy(logits, batch["label"], label_smoothing=self.label_smoothing), {}

    def metric(self) -> Classification:
        return Classification(self.classes, errors=self.errors)

    def answers(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        """Logits and labels. Raises: ValueError if the model returns another shape."""
        return self.logits(model, batch), batch["label"]

    def each(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The measure of each image, `B`, whose mean is that of all: 1 if right, or with `errors` 100 if wrong."""
        right = logits.argmax(1) == labels
        return 100.0 * ~right if self.errors else right

    def logits(self, model: nn.Module, batch: Batch) -> Tensor:
        """The model's logits: `B K`, in float32 or wider. Raises: ValueError if the model returns another shape."""
        return fitting(model(batch["image"]), batch.size, self.classes)
