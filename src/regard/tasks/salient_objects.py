"""Salient object detection: the loss of a mask, and metrics at the original size of the masks.

L = BCE(p, g) + w (1 − IoU(p, g))     Qin et al., BASNet, CVPR 2019, doi:10.1109/CVPR.2019.00766, with w = 1     (1)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from regard.checks import number
from regard.data.batches import Batch
from regard.metrics.metric import Measure
from regard.metrics.salient_objects import ObjectScores
from regard.ops.precision import widened


@dataclass(frozen=True)
class SalientObjects:
    """Prediction of masks; batches have `image` and `mask`, and for metrics `truth`, a list of masks of any size.

    Args:
        overlap: w of equation (1).

    Raises: ValueError if the weight is negative.
    """

    overlap: float = 1.0

    def __post_init__(self) -> None:
        number("overlap", self.overlap, least=0)

    @property
    def measure(self) -> Measure:
        return Measure("s_measure", "S-measure")

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Equation (1), the mean over the images, in float32 or wider.

        Shapes: image `B C H W`, mask `B 1 H W` in 0..1; the model returns logits `B 1 H W`.
        Raises: ValueError if the model returns another shape.
        """
        logits = self._logits(model, batch)
        truth = batch["mask"].to(logits)
        entropy = functional.binary_cross_entropy_with_logits(logits, truth)
        p = logits.sigmoid()
        both = (p * truth).sum((1, 2, 3))
        either = (p + truth).sum((1, 2, 3)) - both
        return entropy + self.overlap * (1 - (both + 1) / (either + 1)).mean(), {}  # 1: defined for an empty mask

    def metric(self) -> ObjectScores:
        return ObjectScores()

    def answers(self, model: nn.Module, batch: Batch) -> tuple[list[Tensor], list[Tensor]]:
        """The predicted maps in 0..1 and the masks, `H W` each, in the sizes of `truth`, or else of `mask`."""
        logits = self._logits(model, batch).double()
        truths = batch.get("truth", [one[0] >= 0.5 for one in batch["mask"]])
        resized = [
            functional.interpolate(one[None], truth.shape, mode="bilinear", align_corners=False)[0, 0].sigmoid()
            for one, truth in zip(logits, truths, strict=True)
        ]
        return [one.cpu() for one in resized], [truth.cpu() for truth in truths]

    def _logits(self, model: nn.Module, batch: Batch) -> Tensor:
        mask = batch["mask"]
        if mask.ndim != 4 or mask.shape[1] != 1:
            raise ValueError(f"mask {tuple(mask.shape)}: masks B 1 H W are needed")
        logits = model(batch["image"])
        if not isinstance(logits, Tensor) or logits.shape != mask.shape:
            found = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise ValueError(
                f"the model returns {found}: a map of logits for each mask, {tuple(mask.shape)}, is needed"
            )
        return widened(logits)
