"""The tasks of RA-CNN's alternating training: classification at every scale, proposals, ranking and fusion.

Look Closer to See Better: Recurrent Attention Convolutional Neural Network for Fine-Grained Image Recognition. Fu,
    Zheng, Mei. CVPR 2017, Section 3.3 and 3.4.

    L_cls  = Σ_s CE(z_s, y), then CE(z, y) of the fused scales                       `Scales`, `Fuse` Eq. 8  (1)
    L_rank = Σ_{s<S} max(0, p_s - p_{s+1} + m),     p_s of the true class            `Rank`     Eq. 9        (2)
    L_apn  = Σ_{s<S} huber(t_s, [argmax F̄_s, l]),     F̄_s = mean_c F_s              `Propose`  Section 3.4  (3)

The model, called with `views=True`, returns a `network.Views` of scores, maps and squares.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regard.checks import choice, flag, number
from regard.data.batches import Batch
from regard.metrics.classification import Classification, Errors
from regard.metrics.metric import Measure
from regard.ops.ranking import BY, ranking
from regard.papers.ra_cnn.network import Views
from regard.tasks.classify import ERROR, fitting


def strongest(found: Tensor, half: float) -> Tensor:
    """The square around the maximum of the channel mean of a map: `B C h w` -> `B 3`, x, y and `half`, as shares."""
    height, width = found.shape[2:]
    best = found.mean(1).flatten(1).argmax(1)
    at = torch.stack(((best % width + 0.5) / width, (best // width + 0.5) / height), 1)
    return torch.cat((at, torch.full_like(at[:, :1], half)), 1)


class CropScores:
    """Metrics of RA-CNN in percent: errors of the fused and of each scale, and the overlap of crops and regions.

    `error` is that of the fused scales, `error_s` that of scale s. `region_in_crop_s` is the share of the region inside
    the crop of scale s, `crop_s_area` the share of the image inside it, means over the images. `update` takes scores
    `N K` of each scale and of their fusion, crops `N S-1 4` from -1 to 1, labels `N`, and regions `N H W`, all false if
    unknown, or None.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Removes all images."""
        self.errors = Errors()
        self.sums: dict[str, tuple[float, int]] = {}

    def update(self, scores: tuple[Tensor, ...], crops: Tensor, labels: Tensor, regions: Tensor | None) -> None:
        """Shapes: scores `N K` each, crops `N S-1 4`, labels `N`, regions bool `N H W`."""
        *each, fused = scores
        self.errors.update({"error": fused, **{f"error_{s}": one for s, one in enumerate(each, 1)}}, labels)
        for i, boxes in enumerate(crops.cpu()):
            for scale, box in enumerate(boxes, 2):
                self._add(f"crop_{scale}_area", _area(box), 1)
                if regions is not None and regions[i].any():
                    self._add(f"region_in_crop_{scale}", _share(regions[i].cpu(), box), 1)

    def _add(self, name: str, value: float, count: int) -> None:
        total, images = self.sums.get(name, (0.0, 0))
        self.sums[name] = total + value, images + count

    def merge_state(self, incoming_state: CropScores) -> None:
        """Adds the images of another metric."""
        self.errors.merge_state(incoming_state.errors)
        for name, (total, images) in incoming_state.sums.items():
            self._add(name, total, images)

    def compute(self) -> dict[str, float]:
        return self.errors.compute() | {name: 100 * total / n for name, (total, n) in sorted(self.sums.items())}


def _area(box: Tensor) -> float:
    left, top, right, bottom = box.tolist()
    return float((right - left) * (bottom - top) / 4)


def _share(region: Tensor, box: Tensor) -> float:
    """The share of a region `H W` inside a box, whose coordinates are -1 and 1 at the edges of the image."""
    rows, columns = (torch.arange(length) * 2 + 1 for length in region.shape)
    left, top, right, bottom = box.tolist()
    across = (columns / region.shape[1] - 1 > left) & (columns / region.shape[1] - 1 < right)
    down = (rows / region.shape[0] - 1 > top) & (rows / region.shape[0] - 1 < bottom)
    return float((region & down[:, None] & across).sum() / region.sum())


@dataclass(frozen=True)
class _Task:
    """The base of the four tasks: K classes, batches with `image` and `label`, class scores at every scale."""

    classes: int

    def __post_init__(self) -> None:
        Classification(self.classes)

    @property
    def measure(self) -> Measure:
        return ERROR

    def metric(self) -> CropScores:
        return CropScores()

    def answers(self, model: nn.Module, batch: Batch) -> tuple[tuple[Tensor, ...], Tensor, Tensor, Tensor | None]:
        """Scores, crops, labels and, if the batch has them, regions.

        Raises: ValueError if the model has no fusion.
        """
        seen: Views = model(batch["image"], views=True)
        _fused(seen)
        return seen.scores, seen.boxes, batch["label"], batch.get("region")

    def _scores(self, seen: Views, batch: Batch) -> list[Tensor]:
        """The class scores of the scales, without their fusion: `B K` each."""
        return [fitting(score, batch.size, self.classes) for score in seen.scores[: len(seen.maps)]]


def _fused(seen: Views) -> Tensor:
    if len(seen.scores) == len(seen.maps):
        raise ValueError(f"the model returns scores of {len(seen.maps)} scales only: a model with fused=True is needed")
    return seen.scores[-1]


@dataclass(frozen=True)
class Scales(_Task):
    """Classification into K classes at every scale.

    Args:
        classes: K, at least 2.
        first: train the first scale alone; the others are not computed.
    """

    first: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        flag("first", self.first)

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The sum of equation (1), the mean over the images."""
        scores = self._scores(model(batch["image"], views=True, first=self.first), batch)
        return torch.stack([F.cross_entropy(score, batch["label"]) for score in scores]).sum(), {}


@dataclass(frozen=True)
class Fuse(_Task):
    """Classification into K classes by the fusion of all scales.

    Args:
        classes: K, at least 2.
    """

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Cross-entropy of the fused scores, the mean over the images.

        Raises: ValueError if the model has no fusion.
        """
        fused = _fused(model(batch["image"], views=True))
        return F.cross_entropy(fitting(fused, batch.size, self.classes), batch["label"]), {}


@dataclass(frozen=True)
class Propose(_Task):
    """Initial training of the proposals: squares around the strongest response of each map.

    Args:
        classes: K, at least 2.
        half: l, half of a square's side as a share of the image's; the paper's squares are half as wide as the image.
    """

    half: float = 0.25

    def __post_init__(self) -> None:
        super().__post_init__()
        number("half", self.half, above=0, most=0.5)

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Equation (3), the mean over images and coordinates."""
        seen = model(batch["image"], views=True)
        told = [strongest(found.detach(), self.half) for found in seen.maps[: len(seen.squares)]]
        return torch.stack([F.smooth_l1_loss(a, b) for a, b in zip(seen.squares, told, strict=True)]).sum(), {}


@dataclass(frozen=True)
class Rank(_Task):
    """Ranking of the scales: each is to score the true class higher than the scale before it.

    Args:
        classes: K, at least 2.
        margin: m.
        by: `"probabilities"` or `"logits"`.
    """

    margin: float = 0.05
    by: str = "probabilities"

    def __post_init__(self) -> None:
        super().__post_init__()
        number("margin", self.margin)
        choice("by", self.by, BY)

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Equation (2), the mean over the images."""
        scores = self._scores(model(batch["image"], views=True), batch)
        return ranking(scores, batch["label"], margin=self.margin, by=self.by).mean(), {}
