"""Attributes of images as several labels at once: a logistic loss for each, and average precision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from regard.data.batches import Batch
from regard.metrics.metric import Measure
from regard.metrics.several_labels import AveragePrecision
from regard.papers.attribute_lstm.attributes import Attributes
from regard.papers.attribute_lstm.mechanism import logistic_loss
from regard.tasks.caption import bare, seen


@dataclass(frozen=True)
class Name:
    """Naming the attributes of an image; a batch has what the captioner sees, and `references`.

    Args:
        attributes: the vocabulary.
    """

    attributes: Attributes

    @property
    def measure(self) -> Measure:
        return Measure("map", "mean average precision", unit="%")

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The logistic loss of all attributes."""
        scores = self._scores(model, batch)
        return logistic_loss(scores, self._present(batch, scores)), {}

    def metric(self) -> AveragePrecision:
        return AveragePrecision(len(self.attributes))

    def answers(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        """Scores and presence of the attributes, `B A` each."""
        scores = self._scores(model, batch)
        return scores, self._present(batch, scores)

    def _scores(self, model: nn.Module, batch: Batch) -> Tensor:
        captioner = bare(model)
        scores: Tensor = captioner.attributes(*seen(captioner, batch))
        return scores

    def _present(self, batch: Batch, like: Tensor) -> Tensor:
        return torch.stack([self.attributes.present(several) for several in batch["references"]]).to(like.device)
