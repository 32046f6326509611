"""What scores of regions for words are trained by and read with: equations (6) and (7) of `network.alignment`."""

from __future__ import annotations

import torch
from torch import Tensor

from regard.checks import check_input, number


def ranking_loss(scores: Tensor, margin: float = 1.0) -> Tensor:
    """Equation (6): every pair scores higher than its image or its sentence with another, by the margin.

    Shapes: `B B` -> a number.
    Raises: ValueError if the scores are not square or the margin is not positive.
    """
    number("margin", margin, above=0)
    check_input(scores, "B B", B=scores.shape[0])
    own = scores.diagonal()
    sentences = (scores - own[:, None] + margin).relu()
    images = (scores - own[None] + margin).relu()
    return sentences.sum() + images.sum()


def phrases(scores: Tensor, beta: float) -> tuple[Tensor, Tensor]:
    """The region of each word by equation (7), found exactly by Viterbi's algorithm: neighbours tend to share one.

    Args:
        scores: v_i·s_t.
        beta: β, what it is worth that two words in a row have one region.

    Shapes: `L N` -> regions `int64 L`, the value of the maximum `[]`.
    Raises: ValueError for scores of another shape or a β below 0.
    """
    check_input(scores, "L N")
    number("beta", beta, least=0)
    best, came = scores[0], []
    for row in scores[1:]:
        change = best.max()
        stay = best + beta
        came.append(torch.where(stay >= change, torch.arange(len(row), device=row.device), best.argmax()))
        best = row + torch.maximum(stay, change)
    last = best.argmax()
    path = [last]
    for before in reversed(came):
        path.append(before[path[-1]])
    return torch.stack(path[::-1]), best.max()
