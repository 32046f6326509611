"""Glimpses that are learned from what comes of them: one class for each image, and a reward for the right one.

Recurrent Models of Visual Attention. Mnih, Heess, Graves, Kavukcuoglu. NIPS 2014, arXiv:1406.6247.

    L = -log p(y) + mean_t (b_t - R)² - w Σ_t log π(l_t) (R - b_t),     R = 1 if argmax p = y, else 0             (1)
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from regard.checks import positive
from regard.ops.reinforce import reinforce
from regard.tasks.classify import Classify


@dataclass(frozen=True)
class Glimpse:
    """One of K classes by glimpses at places that the network chooses at random.

    Args:
        classes: K, at least 2.
        weight: w of the reward's term in (1); the paper has 1, the common code 0.01.
        episodes: how many are drawn for each image of a batch.

    Raises: ValueError if an argument is out of range.
    """

    classes: int
    weight: float = 0.01
    episodes: int = 1

    def __post_init__(self) -> None:
        Classify(self.classes)
        positive("episodes", self.episodes)
        if not 0 <= self.weight < float("inf"):
            raise ValueError(f"weight={self.weight!r}: a number of at least 0 is needed")

    def loss(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Equation (1), the mean over the images and their episodes, whose noise torch's random numbers give.

        Shapes: images `B C H W`, labels `B`; the model, called with `episode=True`, returns log-probabilities `B K`,
            and under those names log_policy `B T` and baseline `B T`.
        """
        episode = model(images.repeat(self.episodes, 1, 1, 1), episode=True)
        labels = labels.repeat(self.episodes)
        if episode.log_probs.shape != (len(labels), self.classes):
            found = tuple(episode.log_probs.shape)
            raise ValueError(f"the model returns {found}; one row of {self.classes} for each image is needed")
        right = (episode.log_probs.argmax(1) == labels).to(episode.baseline.dtype)
        reward = right[:, None].expand_as(episode.baseline)
        chosen = reinforce(episode.log_policy, reward, episode.baseline)
        return F.nll_loss(episode.log_probs, labels) + F.mse_loss(episode.baseline, reward) + self.weight * chosen

    def score(self, logits: Tensor, labels: Tensor) -> dict[str, float]:
        """`error` in percent beside the scores of `Classify`."""
        scores = Classify(self.classes).score(logits, labels)
        return {"error": 100 * (1 - scores["accuracy"]), **scores}
