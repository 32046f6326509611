"""Classification with several heads: the sum of their losses, and metrics of their mean prediction.

Attention Gated Networks: Learning to Leverage Salient Regions in Medical Images. Schlemper et al. Medical Image
Analysis 2019, arXiv:1808.08114: class scores from each of three maps.

    L = Σ_h CE_h,     p = 1/H Σ_h softmax(z_h)                                                          (1)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from regard.data.batches import Batch
from regard.metrics.classification import Classification, Confusion
from regard.metrics.metric import Measure
from regard.ops.precision import widened
from regard.tasks.classify import ACCURACY, fitting


@dataclass(frozen=True)
class SeveralHeads:
    """Classification into K classes by several heads; batches have `image` and `label`.

    Args:
        classes: K, at least 2.
    """

    classes: int

    def __post_init__(self) -> None:
        Classification(self.classes)

    @property
    def measure(self) -> Measure:
        return ACCURACY

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Equation (1): the sum over the heads of the mean over the images.

        Shapes: image `B C H W`, label `B`; the model returns a sequence of `B K`, one for each head.
        Raises: ValueError if the model returns anything else.
        """
        losses = [functional.cross_entropy(head, batch["label"]) for head in self._heads(model, batch)]
        return torch.stack(losses).sum(), {}

    def metric(self) -> Confusion:
        return Confusion(self.classes)

    def answers(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        """Log-probabilities of the mean prediction, and labels. Raises: ValueError as `loss`."""
        return together(self._heads(model, batch)), batch["label"]

    def _heads(self, model: nn.Module, batch: Batch) -> list[Tensor]:
        answers = model(batch["image"])
        if not isinstance(answers, tuple | list) or not answers:
            raise ValueError(
                f"the model returns {type(answers).__name__}: a tuple of the logits of its heads is needed"
            )
        return [fitting(answer, batch.size, self.classes) for answer in answers]


def together(answers: Sequence[Tensor]) -> Tensor:
    """log p of equation (1), in float32 or wider: the logits of several heads, `B K` each -> `B K`."""
    each = torch.stack([widened(answer).log_softmax(1) for answer in answers])
    return each.logsumexp(0) - math.log(len(answers))
