"""Looking closer by turns: networks learn the classes at every scale, proposals learn to be surer at the finer one.

Look Closer to See Better: Recurrent Attention Convolutional Neural Network for Fine-Grained Image Recognition. Fu,
    Zheng, Mei. CVPR 2017, Section 3.3 and 3.4.

    L_cls  = Σ_s CE(z_s, y), then CE(z, y) of all scales together                    `Scales`, `Fuse` Eq. 8  (1)
    L_rank = Σ_{s<S} max(0, p_s - p_{s+1} + m),     p_s of the right class           `Rank`     Eq. 9        (2)
    L_apn  = Σ_{s<S} huber(t_s, [argmax F̄_s, l]),     F̄_s = mean_c F_s              `Propose`  Section 3.4  (3)

The model, called with `views=True`, returns scores, maps and squares as `systems.ra_cnn.Views` has them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regard.ops.ranking import BY, ranking
from regard.tasks.classify import Classify


def strongest(found: Tensor, half: float) -> Tensor:
    """The square around the position of a map whose mean over channels is highest: `B C h w` -> `B 3`, shares."""
    height, width = found.shape[2:]
    best = found.mean(1).flatten(1).argmax(1)
    at = torch.stack(((best % width + 0.5) / width, (best // width + 0.5) / height), 1)
    return torch.cat((at, torch.full_like(at[:, :1], half)), 1)


@dataclass(frozen=True)
class Scales(Classify):
    """One of K classes for each image, at every scale."""

    def loss(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """The sum of equation (1), the mean over the images."""
        seen = model(images, views=True)
        scores = [self._fitting(score, len(labels)) for score in seen.scores[: len(seen.maps)]]
        return torch.stack([F.cross_entropy(score, labels) for score in scores]).sum()


@dataclass(frozen=True)
class Fuse(Classify):
    """One of K classes for each image, from all scales together."""

    def loss(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy of the scores behind those of the scales, the mean over the images.

        Raises: ValueError if the model fuses nothing.
        """
        seen = model(images, views=True)
        if len(seen.scores) == len(seen.maps):
            raise ValueError(
                f"the model returns scores of {len(seen.maps)} scales and none of all together: fused=True"
            )
        return F.cross_entropy(self._fitting(seen.scores[-1], len(labels)), labels)


@dataclass(frozen=True)
class Propose(Classify):
    """Squares are proposed around the strongest response, half as wide as the image, before anything better is known.

    Args:
        half: l, half a square's side as a share of the image's; the paper's squares are half as wide as the image.
    """

    half: float = 0.25

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.half <= 0.5:
            raise ValueError(f"half={self.half!r}: a share above 0 and up to 1/2 is needed")

    def loss(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Equation (3), the mean over images and coordinates."""
        seen = model(images, views=True)
        told = [strongest(found.detach(), self.half) for found in seen.maps[: len(seen.squares)]]
        return torch.stack([F.smooth_l1_loss(a, b) for a, b in zip(seen.squares, told, strict=True)]).sum()


@dataclass(frozen=True)
class Rank(Classify):
    """Every scale is to be surer of the right class than the one before.

    Args:
        margin: m.
        by: `"probabilities"` or `"logits"`.
    """

    margin: float = 0.05
    by: str = "probabilities"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.by not in BY:
            raise ValueError(f"by={self.by!r}: {' or '.join(BY)} is needed")

    def loss(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Equation (2), the mean over the images."""
        seen = model(images, views=True)
        scores = [self._fitting(score, len(labels)) for score in seen.scores[: len(seen.maps)]]
        return ranking(scores, labels, margin=self.margin, by=self.by).mean()
