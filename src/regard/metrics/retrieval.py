"""Retrieval of the same person from a gallery: the cumulative matching characteristic, mAP and mINP.

Scalable Person Re-identification: A Benchmark. Zheng, Shen, Tian, Wang, Wang, Tian. ICCV 2015, for the protocol, and
Deep Learning for Person Re-identification: A Survey and Outlook. Ye, Shen, Lin, Xiang, Shao, Hoi. PAMI 2021,
arXiv:2001.04193, for mINP.

For one query the gallery is ranked by distance, without the images of the same person under the same camera. Its n
images of the person stand at the ranks r_1 < … < r_n; p(r) is the share of them among the first r, and p(0) = 1.

    rank k = 1 if r_1 ≤ k, else 0                                                                               (1)
    AP = 1/n Σ_i p(r_i)                        "hits", as torchreid, fast-reid and most released codes          (2)
    AP = 1/n Σ_i (p(r_i - 1) + p(r_i)) / 2     "trapezoid", the official code of Market-1501                    (3)
    INP = n / r_n                                                                                               (4)

All are means over the queries with n > 0; the others are dropped and counted. (2) is never below (3), and by a point
or more above it where n is small: a number says which it is. Of equal distances the earlier image of the gallery comes
first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from regard.checks import choice, flag, number, positive, whole_numbers
from regard.ops.distances import COMPARED, distances
from regard.ops.precision import widened
from regard.ops.reranking import reranked

PRECISIONS = ("hits", "trapezoid")
RANKS = (1, 5, 10, 20)
BLOCK = 512  # queries that are ranked at once


@dataclass(frozen=True)
class ReRanking:
    """The arguments of `regard.ops.reranking.rerank`.

    Raises: ValueError if one is out of range.
    """

    k1: int = 20
    k2: int = 6
    weight: float = 0.3

    def __post_init__(self) -> None:
        positive("k1", self.k1)
        positive("k2", self.k2)
        number("weight", self.weight, least=0, most=1)


@dataclass(frozen=True)
class Scored:
    """What is known of each query.

    Args:
        first: r_1, the rank of the first image of the person; 0 if there is none.
        ap: average precision; 0 if there is none.
        inp: equation (4); 0 if there is none.

    Shapes: `Q` each, on the CPU.
    """

    first: Tensor
    ap: Tensor
    inp: Tensor

    @property
    def counts(self) -> Tensor:
        """Which queries have an image of their person in the gallery, bool `Q`."""
        return self.first > 0


def scored(
    rows: Tensor,
    query: tuple[Tensor, Tensor],
    gallery: tuple[Tensor, Tensor],
    *,
    precision: str = "hits",
    same_camera: bool = False,
) -> Scored:
    """Scores each query by its row of distances.

    Args:
        rows: the distances to the gallery.
        query, gallery: the persons and the cameras.
        precision: equation (2) or (3).
        same_camera: keep the images of the same person under the same camera in the gallery.

    Shapes: rows `Q G`, the persons and cameras `Q` and `G`, whole numbers.
    Raises: ValueError for another precision, or a distance that is NaN.
    """
    choice("precision", precision, PRECISIONS)
    if rows.isnan().any():
        raise ValueError("the distances hold NaN: finite features are needed")
    (person, camera), (persons, cameras) = query, gallery
    order = rows.cpu().argsort(dim=1, stable=True)
    same = persons[order] == person[:, None]
    kept = ~(same & (cameras[order] == camera[:, None])) | flag("same_camera", same_camera)
    hit = same & kept
    rank, found = kept.cumsum(1), hit.cumsum(1)  # [Q, G]
    share = found.double() / rank.clamp_min(1)
    if precision == "trapezoid":
        before = torch.where(rank > 1, (found - 1).double() / (rank - 1).clamp_min(1), torch.ones_like(share))
        share = (share + before) / 2
    count = hit.sum(1)
    last = (rank * hit).amax(1)
    first = torch.where(hit, rank, rank.shape[1] + 1).amin(1)
    return Scored(
        first=torch.where(count > 0, first, 0),
        ap=(share * hit).sum(1) / count.clamp_min(1),
        inp=count.double() / last.clamp_min(1),
    )


class Retrieval:
    """Scores of features by which persons are found again.

    `update` takes features `B C`, persons, cameras, and which are queries, `B` each; the features of all images are
    kept, since all of the gallery is ranked for each query. `compute` gives `map_hits` or `map_trapezoid`, `rank_1`,
    `rank_5`, …, `minp`, as numbers from 0 to 1, and how many `queries` counted and how many were `dropped`.

    Args:
        compared: the distance of the features, `"euclidean"` or `"cosine"`.
        precision: equation (2), `"hits"`, or (3), `"trapezoid"`.
        reranking: k-reciprocal re-ranking of the gallery; None for none.
        same_camera: keep the images of the same person under the same camera in the gallery.
        ranks: k of (1).

    Raises: ValueError for an argument out of range; in `update`, if shapes do not fit or a feature is not finite; in
        `compute`, without queries, without a gallery, or if no person of a query is in the gallery.
    """

    def __init__(
        self,
        *,
        compared: str = "cosine",
        precision: str = "hits",
        reranking: ReRanking | None = None,
        same_camera: bool = False,
        ranks: Sequence[int] = RANKS,
    ) -> None:
        self.compared = choice("compared", compared, COMPARED)
        self.precision = choice("precision", precision, PRECISIONS)
        self.reranking = reranking
        self.same_camera = flag("same_camera", same_camera)
        self.ranks = whole_numbers("ranks", ranks)
        self.reset()

    def reset(self) -> None:
        """Removes all images."""
        self.features: list[Tensor] = []
        self.facts: list[Tensor] = []  # person, camera, and whether it is a query, [B, 3]

    def update(self, features: Tensor, persons: Tensor, cameras: Tensor, queries: Tensor) -> None:
        """Adds images."""
        if features.ndim != 2 or any(one.shape != features.shape[:1] for one in (persons, cameras, queries)):
            shapes = ", ".join(str(tuple(one.shape)) for one in (features, persons, cameras, queries))
            raise ValueError(f"shapes {shapes}: features B C, and persons, cameras and queries B are needed")
        if not features.isfinite().all():
            raise ValueError("features hold values that are not finite: finite numbers are needed")
        self.features.append(widened(features.detach()).cpu())
        self.facts.append(torch.stack([persons.cpu().long(), cameras.cpu().long(), queries.cpu().long()], 1))

    def merge_state(self, incoming_state: Retrieval) -> None:
        """Adds the images of another metric."""
        self.features += incoming_state.features
        self.facts += incoming_state.facts

    def each(self) -> Scored:
        """The scores of each query, in the order in which they came."""
        facts = torch.cat(self.facts) if self.facts else torch.empty(0, 3, dtype=torch.int64)
        asked = facts[:, 2] > 0
        for name, part in (("query", asked), ("image of the gallery", ~asked)):
            if not part.any():
                raise ValueError(f"there is no {name}: at least one is needed to compute scores")
        features = torch.cat(self.features)
        persons, cameras = facts[:, 0], facts[:, 1]
        parts, start = [], 0
        for rows in self._rows(features[asked], features[~asked]):
            here = slice(start, start + len(rows))
            query, gallery = (persons[asked][here], cameras[asked][here]), (persons[~asked], cameras[~asked])
            parts.append(scored(rows, query, gallery, precision=self.precision, same_camera=self.same_camera))
            start += len(rows)
        return Scored(*(torch.cat([getattr(part, name) for part in parts]) for name in ("first", "ap", "inp")))

    def _rows(self, query: Tensor, gallery: Tensor) -> Iterator[Tensor]:
        """The distances to the gallery, in blocks of queries."""
        if self.reranking is None:
            return (distances(part, gallery, self.compared) for part in query.split(BLOCK))
        k1, k2, weight = self.reranking.k1, self.reranking.k2, self.reranking.weight
        return reranked(query, gallery, compared=self.compared, k1=k1, k2=k2, weight=weight)

    def compute(self) -> dict[str, float]:
        found = self.each()
        counts = found.counts
        if not counts.any():
            raise ValueError(
                "no query has another image of its person in the gallery, from another camera: at least one is needed"
            )
        scores = {f"map_{self.precision}": float(found.ap[counts].mean())}
        for rank in self.ranks:
            scores[f"rank_{rank}"] = float((found.first[counts] <= rank).double().mean())
        scores["minp"] = float(found.inp[counts].mean())
        return scores | {"queries": float(counts.sum()), "dropped": float((~counts).sum())}
