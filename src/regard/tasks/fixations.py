"""Prediction of human fixations: the loss of a density, and the metrics that need no other images.

L = KL(q | p) + w (1 − CC(p, q)),     p = softmax of the network's map over all pixels                    (1)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from regard.checks import number
from regard.data.batches import Batch
from regard.metrics.fixations import FixationScores
from regard.metrics.metric import Measure
from regard.ops.precision import widened


@dataclass(frozen=True)
class Fixations:
    """Prediction of fixations; batches have `image` and `human`, the density and the counts of the fixations.

    Args:
        correlation: w of equation (1).

    Raises: ValueError if the weight is negative.
    """

    correlation: float = 1.0

    def __post_init__(self) -> None:
        number("correlation", self.correlation, least=0)

    @property
    def measure(self) -> Measure:
        return Measure("nss", "NSS")

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Equation (1), the mean over the images, in float32 or wider.

        Shapes: image `B C H W`, human `B 2 H W`: density, counts; the model returns logits `B 1 H W`.
        Raises: ValueError if the model returns another shape.
        """
        logits = self._logits(model, batch).flatten(1)  # [B, HW]
        human = batch["human"][:, 0].to(logits).flatten(1)
        q = human / human.sum(1, keepdim=True).clamp_min(torch.finfo(logits.dtype).tiny)
        log_p = logits.log_softmax(1)
        divergence = (torch.xlogy(q, q) - q * log_p).sum(1)
        p = log_p.exp()
        p, q = p - p.mean(1, keepdim=True), q - q.mean(1, keepdim=True)
        norms = (p.square().sum(1) * q.square().sum(1) + torch.finfo(p.dtype).tiny).sqrt()
        return (divergence + self.correlation * (1 - (p * q).sum(1) / norms)).mean(), {}

    def metric(self) -> FixationScores:
        return FixationScores()

    def answers(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """The predicted densities `B H W`, which sum to 1, the human densities and the counts."""
        logits = self._logits(model, batch).double()[:, 0]
        density = logits.flatten(1).softmax(1).view_as(logits)
        human, counts = batch["human"].double().unbind(1)
        return density, human, counts

    def _logits(self, model: nn.Module, batch: Batch) -> Tensor:
        human = batch["human"]
        if human.ndim != 4 or human.shape[1] != 2:
            raise ValueError(f"human {tuple(human.shape)}: B 2 H W, density and counts, is needed")
        logits, wanted = model(batch["image"]), (len(human), 1, *human.shape[2:])
        if not isinstance(logits, Tensor) or logits.shape != wanted:
            found = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise ValueError(f"the model returns {found}: a map of logits for each image, {wanted}, is needed")
        return widened(logits)
