"""Triplets of an object, an action and a scene: the best of a table, their counts, and where image and sentence meet.

The equations are numbered in `network`.
"""

from __future__ import annotations

from itertools import combinations

import torch
from torch import Tensor

from regard.checks import check_input, positive
from regard.ops.precision import widened


def best_triplets(table: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The best triplets of a table of scores, best first.

    Shapes: `O A S` -> triplets `count 3`, scores `count`.
    Raises: ValueError for another shape, or if there are fewer triplets.
    """
    check_input(table, "O A S")
    if positive("count", count) > table.numel():
        raise ValueError(f"count={count}: at most {table.numel()} triplets are there")
    scores, at = table.flatten().topk(count)
    return torch.stack(torch.unravel_index(at, table.shape), 1), scores


def margin_loss(table: Tensor, truth: Tensor) -> Tensor:
    """Equation (4), the mean over a batch: the true triplet beats each other by its number of wrong labels.

    Shapes: `B O A S`, truth `int64 B 3` -> a number.
    """
    check_input(table, "B O A S")
    check_input(truth, "B 3", B=table.shape[0])
    wrong = torch.zeros_like(table)
    for node, size in enumerate(table.shape[1:]):
        shape = [len(truth), 1, 1, 1]
        shape[node + 1] = size
        own = torch.arange(size, device=truth.device) != truth[:, node, None]
        wrong = wrong + own.to(table.dtype).reshape(shape)
    o, a, s = truth.T
    scored = table[torch.arange(len(truth), device=truth.device), o, a, s]
    loss: Tensor = ((table + wrong).flatten(1).amax(1) - scored).mean()
    return loss


def meeting(image: Tensor, sentence: Tensor) -> float:
    """Equation (5) of two lists of triplets, best first: `M 3` and `N 3`."""
    ranks = {tuple(triplet): rank for rank, triplet in enumerate(sentence.tolist(), 1)}
    common = ((rank, ranks.get(tuple(triplet))) for rank, triplet in enumerate(image.tolist(), 1))
    return sum(1 / (rank * other) for rank, other in common if other is not None)


def neighbours(features: Tensor, known: Tensor, scores: Tensor, count: int, *, itself: bool = False) -> Tensor:
    """The average score of the nearest training images: `B D`, `N D`, scores `N K` -> `B K`.

    Args:
        features: of images.
        known: of the training images.
        scores: of the training images.
        count: the number of neighbours.
        itself: whether each image is a training image itself, the nearest one, which is left out.

    Raises: ValueError if there are fewer training images than `count`.
    """
    check_input(features, "B D")
    check_input(known, "N D", D=features.shape[1])
    if positive("count", count) + itself > len(known):
        raise ValueError(f"count={count}: there are {len(known)} training images")
    one, other = widened(features), widened(known)
    distances = other.square().sum(1) - 2 * one @ other.T  # squared, without the length of each image's own features
    nearest = distances.topk(count + itself, largest=False).indices[:, int(itself) :]
    average: Tensor = scores[nearest].mean(1)
    return average


def counted(triplets: Tensor, sizes: tuple[int, int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """How often two labels stand together in a corpus: `N 3` -> `O A`, `O S`, `A S`, in float32."""
    check_input(triplets, "N 3")
    found = []
    for one, other in combinations(range(3), 2):
        flat = triplets[:, one] * sizes[other] + triplets[:, other]
        counts = torch.bincount(flat, minlength=sizes[one] * sizes[other])
        found.append(counts.view(sizes[one], sizes[other]).float())
    return found[0], found[1], found[2]
