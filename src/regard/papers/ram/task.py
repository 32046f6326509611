"""Glimpses that are learned from what comes of them: one class for each image, and a reward for the right one.

Recurrent Models of Visual Attention. Mnih, Heess, Graves, Kavukcuoglu. NIPS 2014, arXiv:1406.6247.

    L = -log p(y) + mean_t (b_t - R)² - w Σ_t log π(l_t) (R - b_t),     R = 1 if argmax p = y, else 0             (1)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F

from regard.checks import positive
from regard.data.batches import Batch
from regard.metrics.classification import Classification, Errors
from regard.metrics.metric import Measure
from regard.ops.reinforce import reinforce
from regard.papers.ram.network import RecurrentAttention
from regard.tasks.classify import ERROR


@dataclass(frozen=True)
class Glimpse:
    """One of K classes by glimpses at places that the network chooses at random; batches have `image` and `label`.

    Its scores are percentages of wrong answers: `error` of log-probabilities averaged over several episodes an image,
    `single_error` of one episode, `mean_error` of following the policy's means.

    Args:
        classes: K, at least 2.
        weight: w of the reward's term in (1); the paper has 1, the common code 0.01.
        episodes: how many are drawn for each image of a training batch.
        averaged: how many are averaged for `error`.

    Raises: ValueError if an argument is out of range.
    """

    classes: int
    weight: float = 0.01
    episodes: int = 1
    averaged: int = 10

    def __post_init__(self) -> None:
        Classification(self.classes)
        positive("episodes", self.episodes)
        positive("averaged", self.averaged)
        if not 0 <= self.weight < float("inf"):
            raise ValueError(f"weight={self.weight!r}: a number of at least 0 is accepted")

    @property
    def measure(self) -> Measure:
        return ERROR

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Equation (1), the mean over the images and their episodes, whose noise torch's random numbers give.

        Shapes: image `B C H W`, label `B`; the model, called with `episode=True`, returns log-probabilities `B K`,
            and under those names log_policy `B T` and baseline `B T`.
        """
        episode = model(batch["image"].repeat(self.episodes, 1, 1, 1), episode=True)
        labels = batch["label"].repeat(self.episodes)
        if episode.log_probs.shape != (len(labels), self.classes):
            found = tuple(episode.log_probs.shape)
            raise ValueError(f"the model returns {found}; one row of {self.classes} for each image is needed")
        right = (episode.log_probs.argmax(1) == labels).to(episode.baseline.dtype)
        reward = right[:, None].expand_as(episode.baseline)
        chosen = reinforce(episode.log_policy, reward, episode.baseline)
        loss = F.nll_loss(episode.log_probs, labels) + F.mse_loss(episode.baseline, reward) + self.weight * chosen
        return loss, {"reward": right.mean()}

    def metric(self) -> Errors:
        return Errors()

    def answers(self, model: nn.Module, batch: Batch) -> tuple[dict[str, Tensor], Tensor]:
        """Log-probabilities of all three ways of looking, and labels."""
        network, images = cast(RecurrentAttention, model), batch["image"]
        return {
            "error": network.monte_carlo(images, episodes=self.averaged),
            "single_error": network.monte_carlo(images, episodes=1),
            "mean_error": model(images),
        }, batch["label"]
