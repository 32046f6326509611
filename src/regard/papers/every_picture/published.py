"""Readings of the paper; no code of the authors is public."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from regard import catalog
from regard.papers.every_picture.taxonomy import lin, tree_f1
from regard.papers.every_picture.triplets import best_triplets
from regard.published.reference import Given, Reference, State

SMALLEST: dict[str, Any] = {"objects": 1, "actions": 1, "scenes": 1}


def _field(k):
    return SMALLEST, {"": ""}


def _tree():
    return SMALLEST, {"": ""}


def _nothing(state: State, args: Given) -> State:
    """The parameters of the smallest network; sizes and weights are given with each call."""
    return dict(catalog.create("every_picture", **SMALLEST).state_dict())


class _Triplets(nn.Module):
    """The table of scores of one image and its best triplets; it takes potentials, counts and weights by name."""

    def __init__(self, module: Any, args: Given) -> None:
        super().__init__()
        self.count = args["k"]

    def forward(
        self,
        obj: Tensor,
        act: Tensor,
        scene: Tensor,
        count_oa: Tensor,
        count_os: Tensor,
        count_as: Tensor,
        edge_weights: Tensor,
    ) -> dict[str, Tensor]:
        module = catalog.create("every_picture", objects=len(obj), actions=len(act), scenes=len(scene)).to(obj.dtype)
        with torch.no_grad():
            module.edges.copy_(edge_weights)
            module.of_actions.copy_(count_oa)
            module.of_scenes.copy_(count_os)
            module.between.copy_(count_as)
            table = module(obj[None, :, None], act[None, :, None], scene[None, :, None])[0]
        triplets, scores = best_triplets(table, self.count)
        return {"table": table, "triplets": triplets, "scores": scores}


class _Similarities(nn.Module):
    def __init__(self, module: Any, args: Given) -> None:
        super().__init__()

    def forward(self, parent: Tensor, count: Tensor) -> dict[str, Tensor]:
        return {"lin": lin(parent, count), "tree_f1": tree_f1(parent, dtype=count.dtype)}


REFERENCES = (
    Reference(
        "every_picture_mrf/paper",
        "every_picture",
        _field,
        state=_nothing,
        adapt=_Triplets,
        recording="the paper's potentials",
    ),
    Reference(
        "every_picture_tree/paper",
        "every_picture",
        _tree,
        state=_nothing,
        adapt=_Similarities,
        recording="Lin's similarity, and Tree-F1",
    ),
)
