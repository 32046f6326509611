"""Recipes for Dipole: patients' visits in any of the known layouts, and drawn histories.

Dipole: Diagnosis Prediction in Healthcare via Attention-based Bidirectional Recurrent Neural Networks. Ma, Chitta,
Zhou, You, Sun, Gao. KDD 2017, arXiv:1706.05764, Section 4: Adadelta, batches of 100 patients, dropout 0.5, a factor of
0.001 for the squares of the weights, embeddings of 256 and states of 2 · 128 numbers (from memory).

Two networks are trained beside Dipole on the same batches, and scored with it: one without attention, and a forward GRU
without attention whose state is as wide as that of both directions. Each has as many parameters as Dipole, by the width
of the layer before the softmax. What needs no training is scored too: see `tasks.diagnose`.

Deviations: the paper's data, claims of Medicaid and of patients with diabetes, are not public; the passes over the data
    are not known, nor which width the layer before the softmax has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch
from torch import nn

from regard.checks import choice, whole
from regard.data import visit_layouts
from regard.data.batches import Buckets
from regard.data.drawn_histories import CODES, SEVERITIES, as_patients, drawn_histories
from regard.data.visits import Codes, History, Visits, divided, followed, vocabularies
from regard.papers.dipole.network import SCORES, DipoleNetwork
from regard.tasks.diagnose import Beside, Diagnose
from regard.training.plan import Plan
from regard.training.recipe import Phase, Recipe
from regard.training.schedules import Constant, Cosine

WANTED = "MIMIC-III, MIMIC-IV, eICU or visits.csv"
PAPER = Plan(
    epochs=100,
    batch_size=100,
    lr=1.0,
    weight_decay=1e-3,
    optimizer="adadelta",
    options={"rho": 0.95, "eps": 1e-6},
    schedule=Constant(),
    warmup=0.0,
    order=Buckets(),
)
QUICK = Plan(
    epochs=16, batch_size=64, lr=1e-2, weight_decay=0.0, optimizer="adam", schedule=Cosine(), warmup=0.0, clip=None
)
BRIEF = replace(QUICK, epochs=6, lr=2e-2)
SMALL: Mapping[str, Any] = {"embedding": 24, "hidden": 12, "width": 24, "attention": 12, "dropout": 0.0}
DRAWN: Mapping[str, Any] = {"train_size": 4000, "test_size": 1000, "onsets": (2, 4, 6), "visits": 10}
TINY: Mapping[str, Any] = {"train_size": 2400, "test_size": 200, "onsets": (2,), "visits": 5}


def diagnose(
    data: Path | None = None,
    *,
    tiny: bool = False,
    score: str = "general",
    categories: str | None = None,
    version: int = 9,
    share: float = 0.2,
    split: int = 0,
    least: int = 1,
) -> Recipe:
    """Dipole on patients' visits; the tiny variant is a small one on drawn histories.

    Args:
        data: the folder; see `data.visit_layouts`.
        tiny: make the tiny variant.
        score: how the attention scores a visit: location, general, concatenation, or uniform for equal weights.
        categories: "three digits" of ICD codes, "codes" for the codes themselves, or the path of AHRQ's `$dxref`.
        version: of ICD, of eICU's codes.
        share: of the patients, for testing.
        split: the seed of the division.
        least: how many patients of the training have to have a code or a category.

    Raises: ValueError if `data` is None and `tiny` is false, or an option is out of range; the errors of reading the
        folder, which name the file.
    """
    choice("score", score, SCORES)
    whole("split", split, 0)
    if tiny:
        return _drawn(score, BRIEF, **TINY)
    if data is None:
        raise ValueError(f"data=None: a folder with {WANTED} is needed (--data); --tiny trains on drawn histories")
    found = visit_layouts.read(data, categories=categories, version=version)
    train, test = divided(followed(found.histories), share=share, seed=split)
    codes, classes = vocabularies(train, least=least)
    names = [found.names.get(token, "") for token in codes.tokens]
    facts = {
        "data": str(data),
        "read": dict(found.facts),
        "training patients": len({history.patient for history in train}),
        "test patients": len({history.patient for history in test}),
        "codes": len(codes),
        "categories": len(classes),
        "test categories that no training patient has": len(_categories(test) - {*classes.tokens}),
    }
    return _recipe(
        Visits(train, codes, classes),
        Visits(test, codes, classes),
        partial(DipoleNetwork, score=score),
        PAPER,
        facts=facts,
        names=names,
    )


def histories(data: Path | None = None, *, tiny: bool = False, score: str = "general") -> Recipe:
    """A small network on drawn histories: see docs/diagnosis.md. The tiny variant has fewer of them, with two onsets.

    Args:
        data: none is accepted, since the histories are drawn.
        tiny: make the tiny variant.
        score: as for `diagnose`.

    Raises: ValueError if there is a folder, or the score is unknown.
    """
    choice("score", score, SCORES)
    if data is not None:
        raise ValueError(f"data={str(data)!r}: none is needed, since the histories are drawn; leave out --data")
    return _drawn(score, BRIEF, **TINY) if tiny else _drawn(score, QUICK, **DRAWN)


def _drawn(score: str, plan: Plan, *, train_size: int, test_size: int, **how: Any) -> Recipe:
    train, test = (
        Visits(as_patients(drawn_histories(size, **how, seed=seed)), Codes(CODES), Codes(SEVERITIES))
        for seed, size in enumerate((train_size, test_size))
    )
    facts = {"data": "drawn histories", "training patients": len(train), "test patients": len(test), **how}
    return _recipe(train, test, partial(DipoleNetwork, **SMALL, score=score), plan, facts=facts, ks=(1,))


def _recipe(
    train: Visits,
    test: Visits,
    make: Callable[..., DipoleNetwork],
    plan: Plan,
    *,
    facts: Mapping[str, Any],
    names: Sequence[str] = (),
    ks: tuple[int, ...] | None = None,
) -> Recipe:
    codes, classes = train.codes, train.categories
    network = partial(make, codes=len(codes), categories=len(classes))
    named = [f"{token}: {name}" if name else token for token, name in zip_longest(codes.tokens, names, fillvalue="")]
    others = balanced(network)
    parameters = {"dipole": _parameters(network), **{name: _parameters(other) for name, other in others.items()}}
    task = Diagnose(classes=len(classes), shares=train.shares(), **({} if ks is None else {"ks": ks}))
    return Recipe(
        build=partial(_together, dipole=network, others=others),
        part="dipole",
        train=train,
        test=test,
        phases=(Phase(name="diagnose", task=task, plan=plan),),
        facts={**facts, "parameters": parameters},
        class_names=classes.tokens,
        vocabulary={"codes": codes, "names": Codes(tuple(named))},
    )


def _together(*, dipole: Callable[[], nn.Module], others: Mapping[str, Callable[[], nn.Module]]) -> Beside:
    return Beside({"dipole": dipole(), **{name: make() for name, make in others.items()}})


def balanced(network: partial[DipoleNetwork]) -> dict[str, partial[DipoleNetwork]]:
    """The networks without attention, with as many parameters as `network` as their widths allow."""
    hidden = network.keywords.get("hidden", 128)
    plain: dict[str, dict[str, Any]] = {
        "without attention": {"score": None},
        "forward GRU": {"score": None, "bidirectional": False, "hidden": 2 * hidden},
    }
    found = {}
    for name, changes in plain.items():
        other = partial(network, **changes)
        one, two = (_parameters(partial(other, width=width)) for width in (1, 2))
        width = max(1, round(1 + (_parameters(network) - one) / (two - one)))
        found[name] = partial(other, width=width)
    return found


def _parameters(make: Callable[[], nn.Module]) -> int:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in make().parameters())


def _categories(histories: Sequence[History]) -> set[str]:
    return {category for history in histories for visit in history.visits[1:] for category in visit.categories}
