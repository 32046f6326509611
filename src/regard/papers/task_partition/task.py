"""Inshore ships: the loss of task partitioning, and oriented boxes from the linked ends as the answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from regard.checks import choice, flag, number, sequence
from regard.data.batches import Batch
from regard.metrics.metric import Measure
from regard.metrics.oriented import OrientedScores
from regard.ops.precision import widened
from regard.papers.task_partition.linking import Linking
from regard.papers.task_partition.partition import (
    CLASSES,
    ENDS,
    HULL,
    OVER,
    attention,
    deep_entropy,
    end_labels,
    gated_entropy,
    responses,
)

Boxes = NDArray[np.float64]


@dataclass(frozen=True)
class Ships:
    """Detection of ships by their ends; batches have `image`, `mask` and, for the metric, `ships`.

    Args:
        weights: of the losses of the deep and of the shallow head. With 0 for the shallow head it is left out: ends and
            hulls are then both read from the deep head, and the model may be any segmentation network of four classes.
        emphasis: weight of bow and stern in the loss of the deep head. They are few pixels of a coarse map, and the
            shallow head learns nothing where the deep head does not find them.
        over: what the loss of the shallow head is divided by; see `partition`.
        gated: the loss of the shallow head counts only where the deep head says bow/stern; otherwise everywhere.
        linking: how ends become ships.
        threshold: the least overlap of a found ship with its true box.

    Raises: ValueError if an argument is out of range.
    """

    weights: Sequence[float] = (1.0, 1.0)
    emphasis: float = 1.0
    over: str = "mask"
    gated: bool = True
    linking: Linking = field(default_factory=Linking)
    threshold: float = 0.5

    def __post_init__(self) -> None:
        first, second = sequence("weights", self.weights, 2)
        number("weights[0]", first, above=0)
        number("weights[1]", second, least=0)
        number("emphasis", self.emphasis, above=0)
        choice("over", self.over, OVER)
        flag("gated", self.gated)
        OrientedScores(self.threshold)

    @property
    def measure(self) -> Measure:
        return Measure("f1", f"F1 at a rotated IoU of {self.threshold:g}", unit="%")

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The weighted sum of the two losses, in float32 or wider.

        Shapes: image `B C H W`, mask `B H W`; the model returns `B 4 H W` and `B 2 H W`.
        Raises: ValueError if the model returns other shapes.
        """
        deep, shallow = self._logits(model, batch)
        labels = batch["mask"]
        loss = self.weights[0] * deep_entropy(deep, labels, emphasis=self.emphasis)
        if shallow is None:
            return loss, {}
        gate = attention(deep.detach())
        counted = gate if self.gated else gate | ~gate
        mine = gated_entropy(shallow, end_labels(labels), counted, over=self.over)
        return loss + self.weights[1] * mine, {"deep": loss.detach(), "shallow": mine.detach()}

    def metric(self) -> OrientedScores:
        return OrientedScores(self.threshold)

    def answers(self, model: nn.Module, batch: Batch) -> tuple[list[Boxes], list[Boxes]]:
        """The found ships of each image, `n 6` with scores, and the true ones, `m 5`."""
        ends, hulls = self.maps(model, batch)
        found = [self.linking(one, hull) for one, hull in zip(ends, hulls, strict=True)]
        return found, [ships.double().numpy(force=True) for ships in batch["ships"]]

    def maps(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        """The response of bows and sterns, and the probability of a hull, which are linked: `B H W` each."""
        deep, shallow = self._logits(model, batch)
        if shallow is not None:
            return responses(deep, shallow)
        probabilities = deep.softmax(1)
        return probabilities[:, ENDS], probabilities[:, HULL]

    def _logits(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor | None]:
        outputs = model(batch["image"])
        given = [outputs] if isinstance(outputs, Tensor) else list(outputs)
        count, _, *size = batch["image"].shape
        wanted = [(count, classes, *size) for classes in (len(CLASSES), 2)][: 2 if self.weights[1] else 1]
        found = [tuple(output.shape) for output in given]
        if found[: len(wanted)] != wanted:
            raise ValueError(f"the model returns {found}: logits of the shapes {wanted} are needed")
        return widened(given[0]), widened(given[1]) if self.weights[1] else None
