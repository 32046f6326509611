"""Re-ranking of a gallery by k-reciprocal neighbours, in blocks of rows.

Re-ranking Person Re-identification with k-reciprocal Encoding. Zhong, Zheng, Cao, Li. CVPR 2017, arXiv:1701.08398.

Queries and gallery are ranked together, N images. With d_ij the squared distance, divided by the largest of its row:

    R(i, k) = {j in the k + 1 nearest of i : i in the k + 1 nearest of j}                                        (1)
    R*(i) = R(i, k₁) ∪ {R(j, k₁/2) : j ∈ R(i, k₁), more than two thirds of R(j, k₁/2) are in R(i, k₁)}           (2)
    V_ij = exp(-d_ij) / Σ_{R*(i)} exp(-d_ij)  for j ∈ R*(i), else 0                                              (3)
    V̄_i = mean of V over the k₂ nearest of i, itself included                                                    (4)
    J_qg = 1 - s / (2 - s),  s = Σ_j min(V̄_qj, V̄_gj)                                                             (5)
    result = (1 - λ) J + λ d                                                                                     (6)

The distance matrix of N images is never held: each block of its rows is formed where it is needed, twice in all and
once more for the queries, and V is sparse. Of equal distances any may come first.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from regard.checks import number, positive
from regard.ops.distances import distances
from regard.ops.precision import widened

BLOCK = 512  # rows of the distance matrix that are formed at once


def rerank(
    query: Tensor,
    gallery: Tensor,
    *,
    compared: str = "cosine",
    k1: int = 20,
    k2: int = 6,
    weight: float = 0.3,
    block: int = BLOCK,
) -> Tensor:
    """The distances of equation (6), of every query to every image of the gallery, on the CPU.

    Args:
        query, gallery: the features; on a GPU the blocks are computed there.
        compared: `"euclidean"` or `"cosine"`, whose distance is squared.
        k1: the neighbours of (1); k₁ / 2 is rounded to the even number where it is no whole one, as released.
        k2: the neighbours of (4); 1 leaves V as it is.
        weight: λ, from 0 (the Jaccard distance alone) to 1 (the distance alone).
        block: how many rows of the distance matrix are formed at once; has no effect on the result.

    Shapes: query `Q C`, gallery `G C` -> `Q G`.
    Raises: ValueError for an argument out of range, features that do not fit each other, or no query or no gallery.
    """
    return torch.cat(list(reranked(query, gallery, compared=compared, k1=k1, k2=k2, weight=weight, block=block)))


def reranked(
    query: Tensor,
    gallery: Tensor,
    *,
    compared: str = "cosine",
    k1: int = 20,
    k2: int = 6,
    weight: float = 0.3,
    block: int = BLOCK,
) -> Iterator[Tensor]:
    """Yields the rows of `rerank` in blocks of queries, so that not even the matrix Q G has to fit into memory."""
    positive("k1", k1)
    positive("k2", k2)
    positive("block", block)
    number("weight", weight, least=0, most=1)
    for name, features in (("query", query), ("gallery", gallery)):
        if features.ndim != 2 or not len(features):
            raise ValueError(f"{name} of shape {tuple(features.shape)}: features N C of at least one image are needed")
    features = torch.cat((widened(query.detach()), widened(gallery.detach())))
    rows = _Rows(features, compared, block)
    nearest = _nearest(rows, max(k1 + 1, k2))
    weights = _averaged(_weights(rows, nearest, k1), nearest[:, :k2])
    columns = weights.tocsc()
    for start in range(0, len(query), block):
        d = rows.normalised(start, min(start + block, len(query)))[:, len(query) :].cpu()
        shared = np.stack([_shared(weights, columns, i) for i in range(start, start + len(d))])[:, len(query) :]
        s = torch.from_numpy(shared)
        yield ((1 - weight) * (1 - s / (2 - s))).to(d) + weight * d


class _Rows:
    """Rows of the matrix d. Shapes: features `N C`."""

    def __init__(self, features: Tensor, compared: str, block: int) -> None:
        self.features, self.compared, self.block = features, compared, block

    def normalised(self, start: int, stop: int) -> Tensor:
        """Rows `start` to `stop` of d; the distance of an image to itself is 0, without rounding."""
        d = distances(self.features[start:stop], self.features, self.compared).square_()
        here = torch.arange(start, stop, device=d.device)
        d[here - start, here] = 0
        largest = d.amax(1, keepdim=True)
        return d.div_(torch.where(largest > 0, largest, torch.ones_like(largest)))

    def blocks(self) -> Iterator[tuple[int, Tensor]]:
        """The first row of each block, and its rows."""
        for start in range(0, len(self.features), self.block):
            yield start, self.normalised(start, min(start + self.block, len(self.features)))


def _nearest(rows: _Rows, count: int) -> Tensor:
    """The nearest images of each image, itself first: `N count`, or `N N` of fewer images."""
    count = min(count, len(rows.features))
    return torch.cat([d.topk(count, largest=False, sorted=True).indices.cpu() for _, d in rows.blocks()])


def _reciprocal(nearest: Tensor, chosen: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Equation (1): the k + 1 nearest of the chosen images, and which of them are reciprocal, `M k+1` each."""
    forward = nearest[chosen, : k + 1]
    backward = nearest[:, : k + 1][forward]  # [M, k + 1, k + 1]
    return forward, (backward == chosen[:, None, None]).any(2)


def _weights(rows: _Rows, nearest: Tensor, k1: int) -> sparse.csr_array:
    """Equations (1) to (3): V, `N N`."""
    half = round(k1 / 2)
    parts = [_reciprocal(nearest, part, half) for part in torch.arange(len(nearest)).split(rows.block)]
    near, mutual = (torch.cat(several) for several in zip(*parts, strict=True))  # R(j, k1/2) of every image
    found = []
    for start, d in rows.blocks():
        own, reciprocal = _reciprocal(nearest, torch.arange(start, start + len(d)), k1)
        others, member = near[own], mutual[own] & reciprocal[..., None]  # [b, k1 + 1, half + 1]
        inside = torch.zeros(d.shape, dtype=torch.bool).scatter_(1, own, reciprocal)  # [b, N], R(i, k1)
        within = inside.gather(1, others.flatten(1)).view_as(others) & member
        accepted = 3 * within.sum(2) > 2 * member.sum(2)
        taken = (member & accepted[..., None]).flatten(1)
        row, place = taken.nonzero(as_tuple=True)
        inside[row, others.flatten(1)[row, place]] = True
        row, column = inside.nonzero(as_tuple=True)
        values = d[row.to(d.device), column.to(d.device)].cpu().double().neg().exp()
        sums = torch.zeros(len(d), dtype=torch.float64).index_add_(0, row, values)
        found.append((row + start, column, values / sums[row]))
    rows_of, columns_of, all_values = (torch.cat(several).numpy() for several in zip(*found, strict=True))
    return sparse.csr_array((all_values, (rows_of, columns_of)), shape=(len(nearest),) * 2)


def _averaged(weights: sparse.csr_array, nearest: Tensor) -> sparse.csr_array:
    """Equation (4)."""
    count, k2 = nearest.shape
    ends = np.arange(0, count * k2 + 1, k2)
    mean = sparse.csr_array((np.full(count * k2, 1 / k2), nearest.flatten().numpy(), ends), shape=(count, count))
    return (mean @ weights).tocsr()


def _shared(weights: sparse.csr_array, columns: sparse.csc_array, i: int) -> NDArray[np.float64]:
    """s of equation (5), of image i with every image: `N`."""
    own = slice(weights.indptr[i], weights.indptr[i + 1])
    where, values = weights.indices[own], weights.data[own]
    first = columns.indptr[where]
    lengths = columns.indptr[where + 1] - first
    before = np.cumsum(lengths) - lengths
    entries = np.arange(lengths.sum()) + np.repeat(first - before, lengths)
    smaller = np.minimum(np.repeat(values, lengths), columns.data[entries])
    return np.bincount(columns.indices[entries], smaller, minlength=len(columns.indptr) - 1).astype(np.float64)
