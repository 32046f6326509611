"""How near two labels are in a tree of meanings: Lin's similarity, and the agreement of their paths from the root.

An Information-Theoretic Definition of Similarity. Lin. ICML 1998, for equation (1); Farhadi et al., ECCV 2010, for (2).

    lin(a, b) = 2 log P(c) / (log P(a) + log P(b))          c: their lowest common ancestor            (1)
    F1(a, b)  = 2 |path(a) ∩ path(b)| / (|path(a)| + |path(b)|)     path: the edges from the root      (2)

    P(a) is the share of all occurrences that lie at a or below it. A label has 1 with itself, the root as well.
"""

from __future__ import annotations

import torch
from torch import Tensor

from regard.checks import check_input


def ancestors(parents: Tensor) -> Tensor:
    """`bool N N`: whether the second label is the first one or above it.

    Args:
        parents: the label above each, `int64 N`; −1 for the root.

    Raises: ValueError if there is not one root, or a parent is no label, or the labels go in a circle.
    """
    check_input(parents, "N")
    size = len(parents)
    if int((parents < 0).sum()) != 1 or int(parents.max()) >= size:
        raise ValueError(f"parents={parents.tolist()}: one root (-1) and labels from 0 to {size - 1} are needed")
    found = torch.eye(size, dtype=torch.bool, device=parents.device)
    for label in range(size):
        above, steps = int(parents[label]), 0
        while above >= 0:
            found[label, above] = True
            above, steps = int(parents[above]), steps + 1
            if steps > size:
                raise ValueError(f"parents={parents.tolist()}: label {label} is above itself")
    return found


def shares(parents: Tensor, counts: Tensor) -> Tensor:
    """P of equation (1): `int64 N`, occurrences `N` -> `N`.

    Raises: ValueError as `ancestors`, or if there are no occurrences.
    """
    check_input(counts, "N", N=len(parents))
    if not bool(counts.sum() > 0):
        raise ValueError("counts: their sum is 0; at least one occurrence is needed")
    probabilities: Tensor = ancestors(parents).to(counts.dtype).T @ counts / counts.sum()
    return probabilities


def lin(parents: Tensor, counts: Tensor) -> Tensor:
    """Equation (1) for all pairs: `N N`. Raises: ValueError as `shares`."""
    logs = shares(parents, counts).log()
    above = ancestors(parents)
    depth = above.sum(1)
    # The common ancestor with the most above it; row by row, since a table of all pairs and ancestors would be large.
    lowest = torch.stack([torch.where(row & above, depth, -1).argmax(1) for row in above])
    similarity = 2 * logs[lowest] / (logs[:, None] + logs[None])
    return similarity.masked_fill(torch.eye(len(parents), dtype=torch.bool, device=parents.device), 1)


def tree_f1(parents: Tensor, *, dtype: torch.dtype = torch.float64) -> Tensor:
    """Equation (2) for all pairs: `N N`. Raises: ValueError as `ancestors`."""
    edges = ancestors(parents).to(dtype)
    edges[:, parents < 0] = 0  # each label but the root stands for the edge above it
    depth = edges.sum(1)
    agreement = 2 * (edges @ edges.T) / (depth[:, None] + depth[None]).clamp_min(1)
    return agreement.masked_fill(torch.eye(len(parents), dtype=torch.bool, device=parents.device), 1)
