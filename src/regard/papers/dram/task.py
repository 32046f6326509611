"""Classification of a sequence of objects by glimpses whose locations are trained by reinforcement.

Multiple Object Recognition with Visual Attention. Ba, Mnih, Kavukcuoglu. ICLR 2015, arXiv:1412.7755.

    L = -Σ_s log p(y_s) + mean_t (b_t - R_t)² - w Σ_t log π(l_t) (R_t - b_t)                                       (1)

    R_t of the glimpses for the s-th class is the number of correct classes among the first s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from regard.checks import number, positive
from regard.data.batches import Batch
from regard.metrics.classification import Classification
from regard.metrics.metric import Measure
from regard.ops.reinforce import reinforce
from regard.tasks.classify import ERROR


class ReadingErrors:
    """Errors in percent: `error` of images with any wrong class, `single_error` of classes; `loss` per class.

    `update` takes log-probabilities `N S K` and labels `N S`.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Removes all images."""
        self.images = self.classes = self.wrong_images = self.wrong_classes = 0
        self.loss = 0.0

    def update(self, log_probs: Tensor, labels: Tensor) -> None:
        """Shapes: log_probs `N S K`, labels `N S`."""
        wrong = log_probs.argmax(-1) != labels
        self.images, self.classes = self.images + len(labels), self.classes + labels.numel()
        self.wrong_images += int(wrong.any(1).sum())
        self.wrong_classes += int(wrong.sum())
        self.loss += F.cross_entropy(log_probs.flatten(0, 1).double(), labels.flatten(), reduction="sum").item()

    def merge_state(self, incoming_state: ReadingErrors) -> None:
        """Adds the images of another metric."""
        for name in ("images", "classes", "wrong_images", "wrong_classes", "loss"):
            setattr(self, name, getattr(self, name) + getattr(incoming_state, name))

    def compute(self) -> dict[str, float]:
        if not self.images:
            raise ValueError("no images: at least one is needed to compute scores")
        return {
            "error": 100 * self.wrong_images / self.images,
            "single_error": 100 * self.wrong_classes / self.classes,
            "loss": self.loss / self.classes,
        }


@dataclass(frozen=True)
class Read:
    """Classification of S objects in each image by sampled glimpses; batches have `image` and `label`, `B S`.

    Args:
        classes: K, at least 2.
        targets: S, the number of classes for each image.
        weight: w, the weight of the policy term in (1).
        spread: the factor of the policy's σ with which locations are drawn; needs `weight=0`, to train the
            classification at random locations before the policy is trained.

    Raises: ValueError if an argument is out of range.
    """

    classes: int
    targets: int
    weight: float = 1.0
    spread: float = 1.0

    def __post_init__(self) -> None:
        Classification(self.classes)
        positive("targets", self.targets)
        number("weight", self.weight, least=0)
        number("spread", self.spread, above=0)
        if self.spread != 1 and self.weight:
            found = f"spread={self.spread!r}, weight={self.weight!r}"
            raise ValueError(f"{found}: weight=0 is needed, since the policy is trained with its own samples only")

    @property
    def measure(self) -> Measure:
        return ERROR

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Equation (1), the mean over the images; locations are sampled with torch's random state.

        Shapes: image `B C H W`, label `B S`; the model, called with `episode=True`, returns an episode with log_probs
            `B S K`, log_policy `B SN` and baseline `B SN`. A `spread` other than 1 is passed to the model.
        """
        episode = model(batch["image"], episode=True, **({} if self.spread == 1 else {"spread": self.spread}))
        labels = self._fitting(episode.log_probs, batch["label"])
        right = (episode.log_probs.argmax(-1) == labels).to(episode.baseline.dtype)
        reward = right.cumsum(1).repeat_interleave(episode.baseline.shape[1] // self.targets, 1)
        chosen = reinforce(episode.log_policy, reward, episode.baseline)
        told = F.nll_loss(episode.log_probs.flatten(0, 1), labels.flatten()) * self.targets
        return told + F.mse_loss(episode.baseline, reward) + self.weight * chosen, {"reward": right.mean()}

    def metric(self) -> ReadingErrors:
        return ReadingErrors()

    def answers(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        """Log-probabilities `B S K` and labels `B S`."""
        log_probs = model(batch["image"])
        return log_probs, self._fitting(log_probs, batch["label"])

    def _fitting(self, log_probs: Tensor, labels: Tensor) -> Tensor:
        wanted = (len(labels), self.targets, self.classes)
        if labels.shape != wanted[:2] or log_probs.shape != wanted:
            raise ValueError(
                f"the model returns {tuple(log_probs.shape)} for labels {tuple(labels.shape)}: "
                f"{' × '.join(map(str, wanted))} and B × {self.targets} are needed"
            )
        return labels
