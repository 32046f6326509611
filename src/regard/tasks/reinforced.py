"""Classification by places that are drawn, whose scores are trained by reinforcement.

Show, Attend and Tell. Xu, Ba, Kiros, Cho, Courville, Salakhutdinov, Zemel, Bengio. ICML 2015, arXiv:1502.03044, Section
    4.1, Eqs. 11 to 14.

    R = log p(y | image, places)                                                       reward of an image            (1)
    L = mean of -R - w Σ_t (R - b) log π_t - h Σ_t H(π_t)        over the images; t runs over the drawn places       (2)
    b ← m b + (1 - m) mean R                                     after each batch                                    (3)

    In (R - b), R and b are constants. The published code draws for half of the batches, and attends softly for the
    other half, which is left out here: a network that looks at one place only is what is to be trained.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from regard.checks import number
from regard.data.batches import Batch
from regard.layers import drawing
from regard.metrics.classification import Classification
from regard.metrics.metric import Measure
from regard.ops.reinforce import reinforce
from regard.tasks.classify import ACCURACY, ERROR, fitting


@dataclass(frozen=True)
class Reinforced:
    """Classification into K classes by a network that draws places; batches have `image` and `label`.

    The moving average b of Eq. 3 is kept in the `baseline` of each layer that draws, so that it is saved and resumed
    with the weights; on several processes it is that of the first one's images.

    Args:
        classes: K, at least 2.
        weight: w, the weight of the policy term.
        entropy: h, the weight of the entropy of the places.
        momentum: m of the moving average, from 0 to below 1; 0.9 in the paper.
        errors: compute percentages of wrong predictions in place of accuracy and calibration.

    Raises: ValueError if an argument is out of range.
    """

    classes: int
    weight: float = 1.0
    entropy: float = 0.01
    momentum: float = 0.9
    errors: bool = False

    def __post_init__(self) -> None:
        Classification(self.classes, errors=self.errors)
        number("weight", self.weight, least=0)
        number("entropy", self.entropy, least=0)
        if number("momentum", self.momentum, least=0) >= 1:
            raise ValueError(f"momentum={self.momentum!r}: a number of at least 0 and below 1 is needed")

    @property
    def measure(self) -> Measure:
        return ERROR if self.errors else ACCURACY

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Eq. 2, and the step of Eq. 3.

        Shapes: image `B C H W`, label `B`; the model returns `B K`, and draws places for each image.
        Raises: ValueError if the model returns another shape or draws nothing.
        """
        with drawing(model) as draws:
            logits = fitting(model(batch["image"]), batch.size, self.classes)
        if not draws:
            raise ValueError(f"{type(model).__name__} has drawn no place: training mode is needed")
        told = functional.cross_entropy(logits, batch["label"], reduction="none")  # [B], -R
        reward = -told.detach()[:, None]
        log_policy = torch.stack([draw.log_probability.reshape(batch.size, -1).sum(1) for draw in draws], 1)  # [B, T]
        baselines = torch.stack([draw.choice.baseline for draw in draws]).to(reward.dtype)[None]  # [1, T]
        spread = torch.stack([draw.entropy.reshape(batch.size, -1).sum(1) for draw in draws], 1).sum(1).mean()
        chosen = reinforce(log_policy, reward, baselines)
        for layer in {draw.choice for draw in draws}:
            layer.baseline.lerp_(reward.mean().to(layer.baseline.dtype), 1 - self.momentum)
        return told.mean() + self.weight * chosen - self.entropy * spread, {"entropy": spread, "reward": reward.mean()}

    def metric(self) -> Classification:
        return Classification(self.classes, errors=self.errors)

    def answers(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        """Logits, by the likeliest places, and labels. Raises: ValueError if the model returns another shape."""
        return fitting(model(batch["image"]), batch.size, self.classes), batch["label"]
