"""Rotated digits, read with and without a spatial transformer in front.

Spatial Transformer Networks. Jaderberg, Simonyan, Zisserman, Kavukcuoglu. NIPS 2015, arXiv:1506.02025, Section 4.1.

In every epoch of training each digit is turned anew, by up to 90° either way; those to test on stay as they are. In a
folder the data is MNIST; without one, the embedded digits.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from regard.data import mnist as digits
from regard.data.rotating import Rotate
from regard.papers.stn.network import TransformerClassifier
from regard.tasks.classify import Classify
from regard.training.loop import Plan, predict
from regard.training.recipe import Phase, Recipe

DEGREES = 90
CANVAS = 24  # of the embedded digits, whose 16×16 turn within it


def rotated(data: Path | None = None, *, tiny: bool = False) -> Recipe:
    """With an affine transformer."""
    return _recipe(data, tiny, "affine")


def plain(data: Path | None = None, *, tiny: bool = False) -> Recipe:
    """The same network without."""
    return _recipe(data, tiny, None)


def _recipe(data: Path | None, tiny: bool, transform: str | None) -> Recipe:
    own = data is None or tiny
    found = digits.embedded() if data is None or tiny else digits.load(data)
    train: Any = found.train
    test: Any = found.test
    turn: Any = Rotate(DEGREES, CANVAS if own else train.greys.shape[-1])
    if own:  # so few that each is turned four ways
        test = digits.Greys(test.greys.repeat(4, 1, 1), torch.tensor(test.labels).repeat(4))
    normalise = ((0.15,), (0.3,)) if own else ((0.1307,), (0.3081,))
    plan = Plan(
        epochs=8 if tiny else 20 if own else 40,
        batch_size=32 if own else 128,
        lr=2e-3,
        weight_decay=1e-4,
        augment=turn,
        normalise=normalise,
        clip=1.0,
    )
    return Recipe(
        build=partial(
            TransformerClassifier,
            1,
            classes=len(found.classes),
            grid=(turn.canvas, turn.canvas),
            transform=transform,
            dropout=0.0,
        ),
        train=train,
        test=digits.Placed(test, turn, seed=0),
        phases=(Phase(name="all", task=Classify(len(found.classes)), plan=plan),),
        score=partial(_score, normalise=normalise),
        facts={"data": found.name, "degrees": DEGREES, "transform": transform},
    )


def _score(model: nn.Module, test: Any, device: Any, *, normalise: Any) -> dict[str, float]:
    """Error in percent, and the accuracy."""
    logits, labels = predict(model, test, batch_size=500, device=device, normalise=normalise)
    right = int((logits.argmax(1) == labels).sum())
    return {"error": 100 * (1 - right / len(labels)), "accuracy": right / len(labels)}
