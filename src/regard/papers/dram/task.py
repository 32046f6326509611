"""Several classes read one after the other, by glimpses that are learned from what comes of them.

Multiple Object Recognition with Visual Attention. Ba, Mnih, Kavukcuoglu. ICLR 2015, arXiv:1412.7755.

    L = -Σ_s log p(y_s) + mean_t (b_t - R_t)² - w Σ_t log π(l_t) (R_t - b_t)                                       (1)

    R_t of the glimpses for the s-th class is how many of the first s are right.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regard.checks import positive
from regard.ops.reinforce import reinforce
from regard.tasks.classify import Classify


@dataclass(frozen=True)
class Read:
    """S classes for each image, one after the other, by glimpses at places that the network chooses at random.

    A label is one number, whose S digits to the base K are the classes.

    Args:
        classes: K, at least 2.
        targets: S.
        weight: w of the reward's term in (1).
        spread: locations are drawn so many times as far from the policy's mean as its own σ has it; with `weight=0`,
            for learning to read wherever a glimpse falls before it is learned where to look.

    Raises: ValueError if an argument is out of range.
    """

    classes: int
    targets: int
    weight: float = 1.0
    spread: float = 1.0

    def __post_init__(self) -> None:
        Classify(self.classes)
        if not 0 <= self.weight < float("inf"):
            raise ValueError(f"weight={self.weight!r}: a number of at least 0 is needed")
        positive("targets", self.targets)
        if not 0 < self.spread < float("inf"):
            raise ValueError(f"spread={self.spread!r}: a number above 0 is needed")
        if self.spread != 1 and self.weight:
            found = f"spread={self.spread!r} with weight={self.weight!r}"
            raise ValueError(f"{found}: the policy learns from its own draws alone, so weight=0 is needed")

    def loss(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """The loss, the mean over the images, whose noise torch's random numbers give.

        Shapes: images `B C H W`, labels `B`; the model, called with `episode=True`, returns log-probabilities `B S K`,
            and under those names log_policy `B SN` and baseline `B SN`. With another `spread` than 1 that is handed
            on.
        """
        episode = model(images, episode=True, **({} if self.spread == 1 else {"spread": self.spread}))
        wanted = self._fitting(episode.log_probs, labels)
        right = (episode.log_probs.argmax(-1) == wanted).to(episode.baseline.dtype)
        reward = right.cumsum(1).repeat_interleave(episode.baseline.shape[1] // self.targets, 1)
        chosen = reinforce(episode.log_policy, reward, episode.baseline)
        told = F.nll_loss(episode.log_probs.flatten(0, 1), wanted.flatten()) * self.targets
        return told + F.mse_loss(episode.baseline, reward) + self.weight * chosen

    def score(self, logits: Tensor, labels: Tensor) -> dict[str, float]:
        """In percent: `error`, images with anything wrong, and `single_error`, wrong classes; `loss` of one class.

        Shapes: logits `N S K`, labels `N`.
        """
        wanted = self._fitting(logits, labels)
        right = logits.argmax(-1) == wanted
        return {
            "error": 100 * (1 - right.all(1).double().mean().item()),
            "single_error": 100 * (1 - right.double().mean().item()),
            "loss": F.cross_entropy(logits.flatten(0, 1), wanted.flatten()).item(),
        }

    def _fitting(self, logits: Tensor, labels: Tensor) -> Tensor:
        if logits.shape != (len(labels), self.targets, self.classes):
            wanted = f"{len(labels)} × {self.targets} × {self.classes}"
            raise ValueError(f"the model returns {tuple(logits.shape)}; {wanted} is needed")
        powers = self.classes ** torch.arange(self.targets - 1, -1, -1, device=labels.device)
        return labels[:, None] // powers % self.classes
