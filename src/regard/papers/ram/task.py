"""Classification by glimpses whose locations are trained by reinforcement, with a reward for the true class.

Recurrent Models of Visual Attention. Mnih, Heess, Graves, Kavukcuoglu. NIPS 2014, arXiv:1406.6247.

    L = -log p(y) + mean_t (b_t - R)² - w Σ_t log π(l_t) (R - b_t),     R = 1 if argmax p = y, else 0             (1)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F

from regard.checks import number, positive
from regard.data.batches import Batch
from regard.metrics.classification import Classification, Errors
from regard.metrics.metric import Measure
from regard.ops.reinforce import reinforce
from regard.papers.ram.network import RecurrentAttention
from regard.tasks.classify import ERROR


@dataclass(frozen=True)
class Glimpse:
    """Classification into K classes by sampled glimpses; batches have `image` and `label`.

    The metric has percentages of wrong predictions: `error` of the mean log-probabilities of several episodes,
    `single_error` of one episode, `mean_error` of glimpses at the means of the policy.

    Args:
        classes: K, at least 2.
        weight: w, the weight of the policy term in (1); 1 in the paper, 0.01 in common code.
        episodes: the number of episodes for each image of a training batch.
        averaged: the number of episodes that are averaged for `error`.

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
        number("weight", self.weight, least=0)

    @property
    def measure(self) -> Measure:
        return ERROR

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Equation (1), the mean over the images and their episodes; locations are sampled with torch's random state.

        Shapes: image `B C H W`, label `B`; the model, called with `episode=True`, returns an episode with log_probs
            `B K`, log_policy `B T` and baseline `B T`.
        """
        episode = model(batch["image"].repeat(self.episodes, 1, 1, 1), episode=True)
        labels = batch["label"].repeat(self.episodes)
        if episode.log_probs.shape != (len(labels), self.classes):
            found = tuple(episode.log_probs.shape)
            raise ValueError(f"the model returns {found}: {self.classes} log-probabilities for each image are needed")
        right = (episode.log_probs.argmax(1) == labels).to(episode.baseline.dtype)
        reward = right[:, None].expand_as(episode.baseline)
        chosen = reinforce(episode.log_policy, reward, episode.baseline)
        loss = F.nll_loss(episode.log_probs, labels) + F.mse_loss(episode.baseline, reward) + self.weight * chosen
        return loss, {"reward": right.mean()}

    def metric(self) -> Errors:
        return Errors()

    def answers(self, model: nn.Module, batch: Batch) -> tuple[dict[str, Tensor], Tensor]:
        """Log-probabilities for the three errors, and labels."""
        network, images = cast(RecurrentAttention, model), batch["image"]
        return {
            "error": network.monte_carlo(images, episodes=self.averaged),
            "single_error": network.monte_carlo(images, episodes=1),
            "mean_error": model(images),
        }, batch["label"]
