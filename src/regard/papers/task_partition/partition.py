"""The loss of task partitioning, and what the two heads say together.

    L_deep    = Σ w_y · −log softmax(d)[y] / Σ w_y, over pixels; w is m at bow/stern, else 1  (1)
    a         = 1 where argmax d is bow/stern, else 0; no gradient passes through it    (2)
    L_shallow = Σ a · −log softmax(s)[e] / Z                                            (3)
    Z         = 1 (`"sum"`), Σ a (`"mask"`) or the number of pixels (`"all"`)

Pixels labelled void count nowhere.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from regard.checks import choice, whole
from regard.ops.precision import widened

ENDS, HULL, SEA, LAND = range(4)
CLASSES = ("bow/stern", "hull", "sea", "land")
VOID = 255
OVER = ("sum", "mask", "all")


def attention(deep: Tensor, ends: int = ENDS) -> Tensor:
    """The attention map, equation (2): 1 where the class of the largest logit is `ends`, else 0.

    Shapes: deep `B K H W` -> bool `B H W`.
    """
    return deep[:, ends] >= deep.amax(1)  # several times as fast as argmax over strided classes


def deep_entropy(deep: Tensor, labels: Tensor, *, emphasis: float = 1.0, ends: int = ENDS, void: int = VOID) -> Tensor:
    """Equation (1); 0 if all pixels are void.

    Args:
        emphasis: m, the weight of the pixels labelled `ends`.

    Shapes: deep `B K H W`, labels `B H W` -> a single number.
    """
    weights = deep.new_ones(deep.shape[1], dtype=widened(deep).dtype)
    weights[ends] = emphasis
    errors = functional.cross_entropy(widened(deep), labels.long(), weights, ignore_index=void, reduction="sum")
    total = (labels != void).sum() + (emphasis - 1) * (labels == ends).sum()
    return errors / total.clamp_min(min(1.0, emphasis))


def gated_entropy(shallow: Tensor, labels: Tensor, gate: Tensor, *, over: str = "mask", void: int = VOID) -> Tensor:
    """Equation (3); 0 where no pixel counts.

    Args:
        shallow: logits of "elsewhere" and "bow/stern".
        labels: 1 at a bow or stern, else 0.
        gate: the pixels that count.
        over: what the sum is divided by: `"sum"` nothing, `"mask"` the pixels that count, `"all"` all but void ones.
        void: the label of pixels that count nowhere.

    Shapes: shallow `B 2 H W`, labels `B H W`, gate bool `B H W` -> a single number.
    Raises: ValueError for an unknown `over`.
    """
    choice("over", over, OVER)
    known = labels != void
    counted = gate & known
    errors = functional.cross_entropy(widened(shallow), labels.long(), ignore_index=void, reduction="none")
    total = torch.where(counted, errors, 0).sum()
    return total if over == "sum" else total / (counted if over == "mask" else known).sum().clamp_min(1)


def end_labels(labels: Tensor, *, ends: int = ENDS, void: int = VOID) -> Tensor:
    """Labels of the shallow head from those of the deep head: 1 at `ends`, `void` at void, else 0.

    Shapes: labels `B H W` -> int64 `B H W`.
    """
    whole("ends", ends, 0)
    return torch.where(labels == void, void, (labels == ends).long())


def responses(deep: Tensor, shallow: Tensor) -> tuple[Tensor, Tensor]:
    """The response of bows and sterns, the shallow probability times the attention map; the probability of a hull.

    Shapes: deep `B 4 H W`, shallow `B 2 H W` -> two times `B H W`.
    """
    ends = widened(shallow).softmax(1)[:, 1] * attention(deep)
    return ends, widened(deep).softmax(1)[:, HULL]
