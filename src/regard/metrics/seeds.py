"""Seeds: label maps made from the maps of a classifier, and how good they are at every threshold.

    y_hw = argmax_c A^c_hw / max A^c over the classes of the image, where that is at least t; else background     (1)

With weak supervision, t decides the mIoU, and no label of the images that are scored may choose it. `SeedCurve` gives
the mIoU at every t, so that the whole curve can be shown, and t comes from the curve of other images.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from regard.checks import number, sequence
from regard.metrics.segmentation import Segmentation

THRESHOLDS = tuple(round(0.05 * i, 2) for i in range(1, 20))


def seeds(maps: Tensor, labels: Tensor, threshold: float) -> Tensor:
    """The label map of one image, equation (1): 0 is the background, c + 1 is class c.

    Shapes: maps `M H W`, of at least 0, one for each class of the image; labels `M`; -> int64 `H W`.
    """
    if not len(maps):
        return torch.zeros(maps.shape[1:], dtype=torch.int64)
    best, which = scaled(maps).max(0)
    return torch.where(best >= threshold, labels.to(maps.device)[which] + 1, 0)


def scaled(maps: Tensor) -> Tensor:
    """Each map divided by its largest value; a map of zeros stays so. `M H W` -> `M H W`."""
    largest = maps.amax((1, 2), keepdim=True)
    return maps / torch.where(largest > 0, largest, 1)


class SeedCurve:
    """The mIoU of seeds at several thresholds.

    `update` takes the maps, their classes and the true label map of one image; `compute` gives `miou@<t>` of each
    threshold, and `curve` the same by threshold.

    Args:
        classes: K, without the background.
        thresholds: t of equation (1), above 0 and at most 1.

    Raises: ValueError for an argument out of range, and as `Segmentation`.
    """

    def __init__(self, classes: int, thresholds: Sequence[float] = THRESHOLDS) -> None:
        self.classes = classes
        self.thresholds = tuple(number("thresholds", t, above=0, most=1) for t in sequence("thresholds", thresholds))
        self.reset()

    def reset(self) -> None:
        """Removes all images."""
        self.scores = {t: Segmentation(self.classes + 1) for t in self.thresholds}

    def update(self, maps: Tensor, labels: Tensor, truth: Tensor) -> None:
        """Shapes: maps `M H W`, labels `M`, truth `H W`, where 255 does not count."""
        for threshold, score in self.scores.items():
            score.update([seeds(maps, labels, threshold).cpu()], [truth.cpu()])

    def merge_state(self, incoming_state: SeedCurve) -> None:
        """Adds the images of another metric."""
        for threshold, score in self.scores.items():
            score.merge_state(incoming_state.scores[threshold])

    @property
    def curve(self) -> dict[float, float]:
        """Threshold -> mIoU."""
        return {threshold: score.compute()["miou"] for threshold, score in self.scores.items()}

    @property
    def best(self) -> float:
        """The threshold with the highest mIoU; use it on other images only."""
        curve = self.curve
        return max(curve, key=curve.__getitem__)

    def compute(self) -> dict[str, float]:
        return {f"miou@{threshold:.2f}": miou for threshold, miou in self.curve.items()}
