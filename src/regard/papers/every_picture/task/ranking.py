"""Retrieval: how often an image finds its own sentences among all, and a sentence its own image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from regard.checks import check_input

AT = (1, 5, 10)


def inverse_ranks(several: Sequence[Tensor], sizes: Sequence[int]) -> Tensor:
    """1 / rank of every triplet in each list, 0 for one that is not in it; the products of two are equation (5).

    Shapes: N lists `M 3`, best first -> `N T`, T the product of the sizes.
    """
    found = torch.zeros(len(several), sizes[0] * sizes[1] * sizes[2])
    for row, triplets in zip(found, several, strict=True):
        at = (triplets[:, 0] * sizes[1] + triplets[:, 1]) * sizes[2] + triplets[:, 2]
        row[at] = 1 / torch.arange(1, len(at) + 1, dtype=row.dtype)
    return found


def recalls(scores: Tensor, own: Tensor) -> dict[str, float]:
    """Recall at 1, 5 and 10, and the median rank: `annotation` of an image's first own sentence, `search` of images.

    Of several with one score, all have the middle of their ranks.

    Shapes: scores `N M` of N images and M sentences, own `int64 M`, the image of each sentence.
    """
    check_input(scores, "N M", M=len(own))
    by_image = torch.stack([_ranks(row)[own == i].min() for i, row in enumerate(scores) if bool((own == i).any())])
    by_sentence = torch.stack([_ranks(column)[i] for column, i in zip(scores.T, own.tolist(), strict=True)])
    found: dict[str, float] = {}
    for name, ranks in (("annotation", by_image), ("search", by_sentence)):
        found |= {f"{name}_{k}": (ranks <= k).double().mean().item() for k in AT}
        found[f"{name}_median"] = ranks.double().quantile(0.5).item()
    return found


def _ranks(scores: Tensor) -> Tensor:
    """The rank of each score, from 1 for the largest; equal ones share the middle of their ranks."""
    scores = scores.contiguous()  # searchsorted warns otherwise
    ordered = scores.sort().values
    below = torch.searchsorted(ordered, scores, right=False)
    up_to = torch.searchsorted(ordered, scores, right=True)
    return 1 + (len(scores) - up_to) + (up_to - below - 1) / 2
