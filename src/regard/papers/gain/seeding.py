"""SEC's losses, by which a segmentation is learned from seeds: seed, expand, constrain to boundary.

Seed, Expand and Constrain: Three Principles for Weakly-Supervised Image Segmentation. Kolesnikov, Lampert. ECCV 2016,
arXiv:1603.06098. GAIN's maps take the place of its seeds.

    L_seed   = −1/Σ_c |S_c| Σ_c Σ_{u∈S_c} log f_uc                              S_c, the seeds of class c   Eq. 2  (1)
    G_c(d)   = Σ_j d^{j−1} f_{i_j c} / Σ_j d^{j−1}          i_1, i_2, …: pixels by falling f_c; rank pooling Eq. 3  (2)
    L_expand = −1/|T| Σ_{c∈T} log G_c(d₊) − 1/|C∖T| Σ_{c∉T} log(1 − G_c(d₋)) − log G_0(d_0)                Eq. 4  (3)
    L_constr = 1/n Σ_u Σ_c Q_uc log(Q_uc / f_uc)                                Q = CRF(I, log f)          Eq. 5  (4)

f_uc is the probability of class c at pixel u, class 0 is the background, T are the classes of the image without it. d₊
is 0.996, d₋ is 0 (the maximum) and d_0 is 0.999. As in the released code f is at least 1e-4 and sums to 1 again. Q is
taken as a constant, as later codes do; the released one also sends a gradient through the CRF.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regard.checks import number, positive, whole
from regard.data.batches import Batch
from regard.metrics.metric import Measure
from regard.metrics.segmentation import VOID, Segmentation
from regard.ops.mean_field import mean_field
from regard.ops.precision import widened
from regard.tasks.segment import Segment

LEAST = 1e-4
WORKING = 41  # side of the map on which the published CRF works in training, and on which its widths are


class Decay(NamedTuple):
    """d of equation (2): of the image's classes, of other classes, and of the background."""

    there: float = 0.996
    absent: float = 0.0
    background: float = 0.999


PUBLISHED = Decay()


def probabilities(scores: Tensor) -> Tensor:
    """f of the header: the softmax of scores `B K H W`, at least 1e-4, and summing to 1."""
    found = widened(scores).softmax(1) + LEAST
    return found / found.sum(1, keepdim=True)


def seed_loss(f: Tensor, seeds: Tensor) -> Tensor:
    """Equation (1), the mean over images; an image without a seed counts as 0.

    Shapes: f `B K H W`; seeds `B H W`, a class, or 255 where there is no seed.
    """
    labels = seeds.long()
    known = labels != VOID
    picked = f.gather(1, labels.where(known, 0)[:, None])[:, 0].log()
    return -((picked * known).sum((1, 2)) / known.sum((1, 2)).clamp_min(1)).mean()


def rank_pooled(f: Tensor, decay: float) -> Tensor:
    """Global weighted rank pooling, equation (2): from the maximum, 0, to the mean, 1. `B K H W` -> `B K`."""
    if decay == 0:
        return f.amax((2, 3))
    ranked = f.flatten(2).sort(2, descending=True).values
    weights = decay ** torch.arange(ranked.shape[2], dtype=f.dtype, device=f.device)
    return (ranked * weights).sum(2) / weights.sum()


def expand_loss(f: Tensor, present: Tensor, decay: Decay = PUBLISHED) -> Tensor:
    """Equation (3), the mean over images.

    Shapes: f `B K+1 H W`, the background first; present, 0 and 1 of each class, `B K`.
    """
    there = present > 0
    inside = rank_pooled(f[:, 1:], decay.there).log() * there
    outside = (1 - rank_pooled(f[:, 1:], decay.absent)).clamp_min(LEAST).log() * ~there
    background = rank_pooled(f[:, :1], decay.background)[:, 0].log()
    means = inside.sum(1) / there.sum(1).clamp_min(1) + outside.sum(1) / (~there).sum(1).clamp_min(1)
    return -(means + background).mean()


def boundary_loss(f: Tensor, image: Tensor, *, steps: int = 10) -> Tensor:
    """Equation (4), the mean over images and pixels.

    The CRF has the widths of the published one, in pixels of a map of 41 × 41.

    Args:
        steps: of the CRF's mean field inference.

    Shapes: f `B K H W`; image `B C H' W'` in 0..1, resized to the size of f.
    """
    small = F.interpolate(widened(image), f.shape[2:], mode="bilinear", align_corners=False)
    share = max(f.shape[2:]) / WORKING
    with torch.no_grad():
        marginals = mean_field(f.log(), small, steps=steps, far=80 / 12 * share, near=3 / 12 * share) + LEAST
        marginals = marginals / marginals.sum(1, keepdim=True)
    return (marginals * (marginals.log() - f.log())).sum(1).mean()


@dataclass(frozen=True)
class Seeded:
    """Segmentation from seeds; batches have `image`, `picture`, `seeds` and `present`, and for scoring `truth`.

    `picture` is the image in 0..1, which a plan does not normalise. The losses are at the size of the seeds.

    Args:
        classes: K, without the background.
        seed, expand, boundary: weights of the losses; 0 leaves one out.
        decay: of equation (2).
        steps: of the CRF.

    Raises: ValueError if an argument is out of range.
    """

    classes: int
    seed: float = 1.0
    expand: float = 1.0
    boundary: float = 1.0
    decay: Decay = PUBLISHED
    steps: int = 10

    def __post_init__(self) -> None:
        positive("classes", self.classes)
        for name in ("seed", "expand", "boundary"):
            number(name, getattr(self, name), least=0)
        for value in self.decay:
            number("decay", value, least=0, most=1)
        whole("steps", self.steps, 0)

    @property
    def measure(self) -> Measure:
        return self._scored.measure

    @property
    def _scored(self) -> Segment:
        return Segment(self.classes + 1)

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The weighted sum of the three losses; the figures are its parts."""
        scores = model(batch["image"])
        scores = scores[0] if isinstance(scores, tuple) else scores
        size = batch["seeds"].shape[1:]
        f = probabilities(F.interpolate(scores, size, mode="bilinear", align_corners=False))
        parts = {"seed": seed_loss(f, batch["seeds"]), "expand": expand_loss(f, batch["present"], self.decay)}
        loss = self.seed * parts["seed"] + self.expand * parts["expand"]
        if self.boundary:
            parts["boundary"] = boundary_loss(f, batch["picture"], steps=self.steps)
            loss = loss + self.boundary * parts["boundary"]
        return loss, {name: part.detach() for name, part in parts.items()}

    def metric(self) -> Segmentation:
        return self._scored.metric()

    def answers(self, model: nn.Module, batch: Batch) -> tuple[object, ...]:
        """Predicted and true label maps."""
        return self._scored.answers(model, batch)
