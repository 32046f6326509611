"""Segmentation, and which classes are in the image: the loss of JaveyWang's pyramid attention network.

    L = CE(y, labels) + α BCE(v, p),     p_k = 1 if a pixel of the image has the class k = 1 … K − 1             (1)

As in JaveyWang/Pyramid-Attention-Networks-pytorch, train.py, with α = 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from regard.checks import number
from regard.data.batches import Batch
from regard.metrics.metric import Measure
from regard.metrics.segmentation import Segmentation
from regard.ops.precision import widened
from regard.tasks.segment import Segment


@dataclass(frozen=True)
class SegmentAndName:
    """Segmentation by the first output of a network, and by its second which classes are in the image.

    Args:
        segment: the task of the first output.
        share: α of equation (1).

    Raises: ValueError if `share` is negative.
    """

    segment: Segment
    share: float = 1.0

    def __post_init__(self) -> None:
        number("share", self.share, least=0)

    @property
    def classes(self) -> int:
        return self.segment.classes

    @property
    def measure(self) -> Measure:
        return self.segment.measure

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Equation (1), and the second term.

        Shapes: image `B C H W`, mask `B H W`; the model returns logits `B K H W` and `B K-1 1 1`.
        Raises: ValueError if the model returns other shapes.
        """
        logits, *others = found if isinstance(found := model(batch["image"]), tuple) else (found,)
        wanted = (len(logits), self.classes - 1, 1, 1)
        shapes = [tuple(other.shape) for other in others]
        if shapes != [wanted]:
            raise ValueError(f"outputs behind the logits {shapes}: one of {wanted} is needed, as with presence=True")
        loss, figures = self.segment.loss(_Given(logits), batch)
        names = functional.binary_cross_entropy_with_logits(
            widened(others[0]).flatten(1), present(batch["mask"], self.classes).to(widened(others[0]))
        )
        return loss + self.share * names, {**figures, "names": names.detach()}

    def metric(self) -> Segmentation:
        return self.segment.metric()

    def answers(self, model: nn.Module, batch: Batch) -> tuple[object, ...]:
        return self.segment.answers(model, batch)


class _Given(nn.Module):
    """Returns logits that are there already."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, image: Tensor) -> Tensor:
        return self.logits


def present(mask: Tensor, classes: int) -> Tensor:
    """Whether a pixel of the image has each class but the first: label maps `B H W` -> bool `B K-1`."""
    flat = mask.flatten(1).long()[:, :, None]
    return (flat == flat.new_tensor(range(1, classes))).any(1)
