"""Semantic segmentation: the cross-entropy of every output of a network, and metrics at the size of the files.

    L = Σ_o w_o / |V| Σ_{i ∈ V} −log p_o,i(y_i),     V: the pixels whose label is not void                       (1)

Training Region-based Object Detectors with Online Hard Example Mining. Shrivastava, Gupta, Girshick. CVPR 2016,
arXiv:1604.03540. For segmentation, as in the released codes of CCNet and ANN, V of the prediction keeps

    {i : p_i(y_i) ≤ max(θ, the m-th smallest p_j(y_j))}     θ: hard, m: keep                                     (2)

while the auxiliary outputs keep all of their pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional

from regard.checks import number, positive, sequence
from regard.data.batches import Batch
from regard.metrics.metric import Measure
from regard.metrics.segmentation import VOID, Segmentation, check_labels, checked_void
from regard.tasks.inference import Inference, label_map, outputs

MIOU = Measure("miou", "mIoU", unit="%")


@dataclass(frozen=True)
class Segment:
    """Segmentation into K classes; batches have `image` and `mask`, and for metrics `truth`, label maps of any sizes.

    Args:
        classes: K, at least 2.
        weights: w of equation (1) for each output of the network, the prediction first; of a network with fewer outputs
            the first ones are used.
        void: the label of pixels that do not count; no class.
        names: the names of the classes, for the metric.
        hard: θ of equation (2), above 0 and at most 1; None keeps all pixels. CCNet and ANN use 0.7.
        keep: m of equation (2), pixels of a batch.
        inference: how an image is seen for `answers`.

    Raises: ValueError if an argument is out of range.
    """

    classes: int
    weights: tuple[float, ...] = (1.0, 0.4)
    void: int = VOID
    names: tuple[str, ...] = ()
    hard: float | None = None
    keep: int = 100_000
    inference: Inference = field(default_factory=Inference)

    def __post_init__(self) -> None:
        self.metric()
        for weight in sequence("weights", self.weights):
            number("weights", weight, least=0)
        checked_void(self.void, self.classes)
        positive("keep", self.keep)
        if self.hard is not None:
            number("hard", self.hard, above=0, most=1)

    @property
    def measure(self) -> Measure:
        return MIOU

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Equation (1), in float32 or wider; 0 for a batch without labelled pixels.

        The labels are resized to an output of another size by the nearest neighbour.

        Shapes: image `B C H W`, mask `B H W`; the model returns logits `B K H W`, then others `B K h w`.
        Raises: ValueError if the model returns other shapes or more outputs than weights, or a label is no class.
        """
        mask = self.labels(batch)
        found = outputs(model, batch["image"])
        if len(found) > len(self.weights):
            raise ValueError(f"weights={self.weights!r}: a weight for each of the {len(found)} outputs is needed")
        if found[0].shape[1] != self.classes:
            raise ValueError(f"the model returns {tuple(found[0].shape)}: {self.classes} logits a pixel are needed")
        losses = [
            weight * self._entropy(logits, mask, hard=self.hard if i == 0 else None)
            for i, (weight, logits) in enumerate(zip(self.weights, found, strict=False))
        ]
        return torch.stack(losses).sum(), {}

    def metric(self) -> Segmentation:
        return Segmentation(self.classes, self.names, void=self.void)

    def answers(self, model: nn.Module, batch: Batch) -> tuple[list[Tensor], list[Tensor]]:
        """The predicted and the true label maps, `H W` each, in the sizes of `truth`, or else of `mask`."""
        found = self.inference(model, batch["image"])
        truths = [truth.cpu() for truth in batch.get("truth", batch["mask"])]
        return [label_map(one, *truth.shape).cpu() for one, truth in zip(found, truths, strict=True)], truths

    def labels(self, batch: Batch) -> Tensor:
        """The masks of a batch as int64 `B H W`.

        Raises: ValueError if their shape does not fit, or a label is neither a class nor void.
        """
        image, mask = batch["image"], batch["mask"]
        if mask.ndim != 3 or mask.shape[1:] != image.shape[2:]:
            raise ValueError(
                f"mask {tuple(mask.shape)} for images {tuple(image.shape)}: masks B H W of the size of the images are "
                "needed"
            )
        labels: Tensor = mask.to(torch.int64)
        accepted = f"classes from 0 to {self.classes - 1} or {self.void} (void)"
        check_labels("mask", labels[labels != self.void], self.classes, accepted)
        return labels

    def _entropy(self, logits: Tensor, mask: Tensor, *, hard: float | None) -> Tensor:
        """The mean cross-entropy over the pixels that are not void, of the hard ones alone if `hard` is given."""
        if logits.shape[2:] != mask.shape[1:]:
            # float32 holds every label; "nearest" rounds down, as in the released codes
            small = functional.interpolate(mask[:, None].float(), logits.shape[2:], mode="nearest")
            mask = small[:, 0].to(torch.int64)
        entropies = functional.cross_entropy(logits, mask, ignore_index=self.void, reduction="none")
        kept = mask != self.void
        if hard is not None and kept.any():
            chances = (-entropies.detach()).exp()[kept]
            least = chances.kthvalue(min(self.keep, len(chances))).values
            kept = kept & ((-entropies.detach()).exp() <= least.clamp_min(hard))
        mean: Tensor = entropies[kept].sum() / kept.sum().clamp_min(1)
        return mean
