"""Readings of the paper; no code of the authors is public."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from regard import catalog
from regard.papers.baby_talk.prepositions import RELATIONS, relations
from regard.papers.baby_talk.text.templates import Triple, described
from regard.published.reference import Given, Reference, State, unsupported

ORDER = (*RELATIONS[:3], "near_distance")
NAMES = "alpha0,alpha1,beta0,beta1,beta2,gamma0,gamma1"
SMALLEST = {"objects": 1, "attributes": 1, "prepositions": 1}


def _crf(N, K, A, P, weights=NAMES):
    if weights != NAMES:
        raise unsupported("weights", weights, f"{NAMES!r} is needed")
    return {"objects": K, "attributes": A, "prepositions": P}, {"": ""}


def _sized(state: State, args: Given) -> State:
    """The parameters before they are given, with each call."""
    module = catalog.create("baby_talk", objects=args["K"], attributes=args["A"], prepositions=args["P"])
    return dict(module.double().state_dict())


class _Field(nn.Module):
    """The best labelling of one image, its energy, and the energy of a given labelling; it takes names."""

    def __init__(self, module: Any, args: Given) -> None:
        super().__init__()
        self.module = module

    def forward(
        self, obj: Tensor, attr: Tensor, prep: Tensor, oa: Tensor, opo: Tensor, weights: Tensor, **labels: Tensor
    ) -> dict[str, Tensor]:
        module = self.module
        with torch.no_grad():
            module.weights.copy_(weights)
            module.of_attributes.copy_(oa)
            module.of_prepositions.copy_(opo)
            seen = (obj[None], attr[None], prep[None])
            best = module.described(*seen)
            found = {
                "objects": best.objects[0],
                "attributes": best.attributes[0],
                "prepositions": best.prepositions[0],
                "energy": best.energy,
            }
            if labels:
                o, a, p = (labels[f"label_{name}"][None] for name in ("objects", "attributes", "prepositions"))
                found["label_energy"] = module.energy(seen, (o, a, p))
        return found


def _prepositions(order=ORDER):
    if tuple(order) != ORDER:
        raise unsupported("order", order, f"{list(ORDER)} is needed")
    return SMALLEST, {"": ""}


def _nothing(state: State, args: Given) -> State:
    """The parameters of the smallest field; geometry and templates use none of them."""
    return dict(catalog.create("baby_talk", **SMALLEST).state_dict())


class _Relations(nn.Module):
    def __init__(self, module: Any, args: Given) -> None:
        super().__init__()

    def forward(self, regions: Tensor) -> Tensor:
        return relations(regions)


class _Templates(nn.Module):
    """Triples of (attribute, object), preposition, (attribute, object) -> the text."""

    def __init__(self, module: Any, args: Given) -> None:
        super().__init__()

    def forward(self, triples: Sequence[Triple]) -> str:
        return described(triples)


def _template():
    return SMALLEST, {"": ""}


REFERENCES = (
    Reference(
        "baby_talk_crf/paper", "baby_talk", _crf, state=_sized, adapt=_Field, recording="the energy of the paper"
    ),
    Reference(
        "baby_talk_prepositions/paper",
        "baby_talk",
        _prepositions,
        state=_nothing,
        adapt=_Relations,
        recording="definitions of the paper, and two in their style",
    ),
    Reference(
        "baby_talk_template/paper",
        "baby_talk",
        _template,
        state=_nothing,
        adapt=_Templates,
        recording="two texts of the paper",
    ),
)
