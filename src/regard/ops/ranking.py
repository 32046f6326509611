"""Ranking loss: each prediction should be more confident in the right class than the one before.

Look Closer to See Better. Fu, Zheng, Mei. CVPR 2017, Section 3.3, Eq. 9.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from regard.checks import choice
from regard.ops.precision import widened

BY = ("probabilities", "logits")


def ranking(scores: Sequence[Tensor], labels: Tensor, *, margin: float = 0.05, by: str = "probabilities") -> Tensor:
    """Σ_s max(0, p_s - p_{s+1} + m) for each image: `B K` of every prediction, `B` -> `B`.

    Args:
        scores: logits of each prediction, from the one that should be least confident to the most confident.
        labels: the right class.
        margin: m, by how much the next p should be larger.
        by: p are `"probabilities"` of the right class, as in the paper, or its `"logits"`.

    Raises: ValueError for another `by`, or fewer than two predictions.
    """
    choice("by", by, BY)
    if len(scores) < 2:
        raise ValueError(f"scores: logits of at least 2 predictions are needed, not of {len(scores)}")
    wide = [widened(score).softmax(1) if by == "probabilities" else widened(score) for score in scores]
    right = torch.stack([score.gather(1, labels[:, None])[:, 0] for score in wide])  # [S, B]
    return (right[:-1] - right[1:] + margin).clamp_min(0).sum(0)
