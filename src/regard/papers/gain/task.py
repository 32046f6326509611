"""The task of GAIN: classification, with losses on the image without what the map shows, and on the map.

Tell Me Where to Look: Guided Attention Inference Network. Li et al. CVPR 2018, arXiv:1802.10171, Section 3.

    L    = L_cl + α L_am + ω L_e                                                        Eq. 6, 8            (1)
    L_cl = cross-entropy of one class, or the soft margin loss of several                                   (2)
    L_am = 1/n Σ_c s^c(I*^c)                      n classes present in the image        Eq. 5               (3)
    L_e  = 1/n Σ_c mean_hw (A^c − H^c)²           H^c, the pixels of class c, of images with a mask  Eq. 7  (4)

α = 1; ω = 10 is from memory. The score in (3) is the logit in the equation, which has no least value; "sigmoid" and
"softmax" are what ports take.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from regard.checks import choice, number
from regard.data.batches import Batch
from regard.metrics.classification import Classification
from regard.metrics.metric import Measure
from regard.metrics.several_labels import AveragePrecision
from regard.papers.gain.streams import SCORES, Streams, erasing, external
from regard.tasks.classify import ACCURACY, fitting

PRECISION = Measure("map", "mean average precision", unit="%")


@dataclass(frozen=True)
class Guide:
    """Classification with a trained map, of images with one class, `label`, or several, `present`.

    Batches have `image`; `label` `B`, or `present`, 0 and 1 in `B K`; and, for the third stream, `mask`, uint8 `B H W`
    as for `external`.

    Args:
        classes: K, at least 2.
        alpha: α; 0 leaves the second stream out of the loss.
        omega: ω; 0 leaves the masks out.
        score: of equation (3): `"logit"`, `"sigmoid"` or `"softmax"`.
        several: images have several classes, `present`; otherwise one, `label`.

    Raises: ValueError if an argument is out of range.
    """

    classes: int
    alpha: float = 1.0
    omega: float = 10.0
    score: str = "logit"
    several: bool = False

    def __post_init__(self) -> None:
        Classification(self.classes)
        number("alpha", self.alpha, least=0)
        number("omega", self.omega, least=0)
        choice("score", self.score, SCORES)

    @property
    def measure(self) -> Measure:
        return PRECISION if self.several else ACCURACY

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Equation (1), the mean over the images; the figures are its parts."""
        present = batch["present"] if self.several else batch["label"]
        streams: Streams = model(batch["image"], present)
        scores = fitting(streams.scores, batch.size, self.classes)
        if self.several:
            classified = F.multilabel_soft_margin_loss(scores, present.to(scores.dtype))
        else:
            classified = F.cross_entropy(scores, present)
        parts = {"classified": classified, "erased": erasing(streams, self.score)}
        loss = classified + self.alpha * parts["erased"]
        if self.omega and "mask" in batch:
            parts["guided"] = external(streams, batch["mask"])
            loss = loss + self.omega * parts["guided"]
        return loss, {name: part.detach() for name, part in parts.items()}

    def metric(self) -> Classification | AveragePrecision:
        return AveragePrecision(self.classes) if self.several else Classification(self.classes)

    def answers(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        """Scores, and the class of each image or the classes present in it."""
        scores = fitting(model(batch["image"]), batch.size, self.classes)
        return scores, batch["present"] if self.several else batch["label"]
