"""Ranking of windows by their overlap with an object: the loss, and metrics with those of untrained rankings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from regard.checks import flag, number
from regard.data.batches import Batch
from regard.metrics.metric import Measure
from regard.metrics.proposals import ProposalScores
from regard.ops.boxes import suppressed
from regard.ops.precision import widened
from regard.papers.objectness import proposing

Boxes = NDArray[np.float64]


@dataclass(frozen=True)
class Proposals:
    """Ranking of windows: cross-entropy against a ramp of the overlap; batches have `image` and `boxes`.

    Args:
        low, high: the overlaps with the best true box at which the ramp is 0 and 1.
        overlap: the overlap of two proposals above which the one of lower score is suppressed for the metric.
        budgets: the numbers of proposals that count.
        beside: also score the same number of windows ranked by contrast only (`contrast_…`), and EdgeBoxes
            (`edge_boxes_…`) if OpenCV's contributed modules are installed.

    Raises: ValueError unless 0 <= low < high <= 1 and 0 < overlap <= 1, or if a budget is below 1.
    """

    low: float = 0.3
    high: float = 0.7
    overlap: float = 0.7
    budgets: tuple[int, ...] = (1, 10, 100)
    beside: bool = False

    def __post_init__(self) -> None:
        if number("low", self.low, least=0) >= number("high", self.high, most=1):
            raise ValueError(f"low={self.low!r}, high={self.high!r}: low below high is needed")
        number("overlap", self.overlap, above=0, most=1)
        flag("beside", self.beside)
        ProposalScores(self.budgets)

    @property
    def measure(self) -> Measure:
        return Measure(f"recall_{max(self.budgets)}", f"recall of {max(self.budgets)} windows", unit="%")

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The mean loss over windows on an object and that over all others, averaged; in float32 or wider.

        Shapes: image `B C H W`, boxes `B M 4`, padded with rows of NaN; the model returns `B N 5`, boxes and logits.
        Raises: ValueError if the model returns another shape.
        """
        windows, logits = self._windows(model, batch)
        windows, truths = windows.detach(), batch["boxes"].to(windows)
        low = torch.maximum(windows[:, :, None, :2], truths[:, None, :, :2])  # [B, N, M, 2]
        high = torch.minimum(windows[:, :, None, 2:], truths[:, None, :, 2:])
        both = (high - low).clamp_min(0).prod(3)
        areas = [(x[..., 2:] - x[..., :2]).prod(2) for x in (windows, truths)]
        found = (both / (areas[0][:, :, None] + areas[1][:, None] - both)).nan_to_num(0)
        best = found.amax(2) if found.shape[2] else found.new_zeros(found.shape[:2])
        ramp = ((best - self.low) / (self.high - self.low)).clamp(0, 1)
        losses = functional.binary_cross_entropy_with_logits(logits, ramp, reduction="none")
        on = (ramp > 0).to(losses)
        means = [(losses * part).sum() / part.sum().clamp_min(1) for part in (on, 1 - on)]
        return (means[0] + means[1]) / 2, {}

    def metric(self) -> ProposalScores:
        return ProposalScores(self.budgets)

    def answers(self, model: nn.Module, batch: Batch) -> tuple[dict[str, list[Boxes]], list[Boxes]]:
        """The boxes of each image, ranked by the model and, with `beside`, by the other methods; the true boxes."""
        windows, logits = (x.double().numpy(force=True) for x in self._windows(model, batch))
        first = max(self.budgets)
        ranked: dict[str, list[Boxes]] = {"": []}
        for boxes, scores in zip(windows, logits, strict=True):
            ranked[""].append(boxes[suppressed(boxes, scores, overlap=self.overlap, first=first)])
        if self.beside:
            ranked["contrast"] = []
            for image in batch["image"].permute(0, 2, 3, 1).numpy(force=True):
                apart = np.linalg.norm(image - image.mean((0, 1)), axis=2)
                ranked["contrast"].append(proposing.by_saliency(apart, overlap=self.overlap, first=first)[0])
                if proposing.has_opencv():
                    edges = proposing.gradients(image)
                    least = 0.01 * edges[0].size  # OpenCV's own 1000 pixels are for photographs
                    found = proposing.edge_boxes(*edges, first=first, minBoxArea=least)[0]
                    ranked.setdefault("edge_boxes", []).append(found)
        truths = [one[~one.isnan().any(1)].double().numpy() for one in batch["boxes"].cpu()]
        return ranked, truths

    def _windows(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        boxes = batch["boxes"]
        if boxes.ndim != 3 or boxes.shape[2] != 4:
            raise ValueError(f"boxes {tuple(boxes.shape)}: B M 4 is needed")
        answers = model(batch["image"])
        if not isinstance(answers, Tensor) or answers.ndim != 3 or (len(answers), answers.shape[2]) != (len(boxes), 5):
            found = tuple(answers.shape) if isinstance(answers, Tensor) else type(answers).__name__
            raise ValueError(f"the model returns {found}: B N 5, a box and a logit for each window, is needed")
        answers = widened(answers)
        return answers[..., :4], answers[..., 4]
