"""Several answers of one network to the same question: each learns on its own, their mean is what counts.

Attention Gated Networks: Learning to Leverage Salient Regions in Medical Images. Schlemper et al. Medical Image
Analysis 2019, arXiv:1808.08114: scores from each of three maps.

    L = Σ_h CE_h,     p = 1/H Σ_h softmax(z_h)                                                          (1)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from regard.ops.precision import widened
from regard.tasks.classify import Classify


@dataclass(frozen=True)
class SeveralHeads(Classify):
    """One of K classes for each image, from each of several heads."""

    def loss(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Equation (1): the sum over the heads of the mean over the images.

        Shapes: images `B C H W`, labels `B`; the model returns several of `B K`.
        Raises: ValueError if it returns anything else.
        """
        answers = model(images)
        if not isinstance(answers, tuple | list) or not answers:
            raise ValueError(f"the model returns {type(answers).__name__}; scores of several heads are needed")
        heads = [self._fitting(answer, len(labels)) for answer in answers]
        losses = [functional.cross_entropy(head, labels, label_smoothing=self.label_smoothing) for head in heads]
        return torch.stack(losses).sum()


def together(answers: Sequence[Tensor]) -> Tensor:
    """log p of equation (1), in float32 at least, which stands for the scores of one head: several `B K` -> `B K`."""
    each = torch.stack([widened(answer).log_softmax(1) for answer in answers])
    return each.logsumexp(0) - math.log(len(answers))
