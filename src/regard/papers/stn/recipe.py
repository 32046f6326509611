"""Recipes for classification of rotated digits with and without a spatial transformer.

Spatial Transformer Networks. Jaderberg, Simonyan, Zisserman, Kavukcuoglu. NIPS 2015, arXiv:1506.02025, Section 4.1.

Training digits are rotated by up to 90° in either direction, by a new angle in every epoch; test digits have fixed
angles. The dataset is MNIST if a folder is given, otherwise the embedded digits.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch

from regard.data import mnist as digits
from regard.data.augmenting import OfImage
from regard.data.rotating import Rotate
from regard.papers.stn.network import TransformerClassifier
from regard.tasks.classify import Classify
from regard.training.plan import Plan
from regard.training.recipe import Phase, Recipe

DEGREES = 90
CANVAS = 24  # of the embedded digits, large enough for a rotated image of 16×16


def rotated(data: Path | None = None, *, tiny: bool = False) -> Recipe:
    """The network with an affine transformer."""
    return _recipe(data, tiny, "affine")


def plain(data: Path | None = None, *, tiny: bool = False) -> Recipe:
    """The same network without a transformer."""
    return _recipe(data, tiny, None)


def _recipe(data: Path | None, tiny: bool, transform: str | None) -> Recipe:
    own = data is None or tiny
    found = digits.embedded() if data is None or tiny else digits.load(data)
    test, turn = found.test, Rotate(DEGREES, CANVAS if own else found.train.greys.shape[-1])
    if own:  # they are few, so each occurs at four angles
        test = digits.Greys(test.greys.repeat(4, 1, 1), torch.tensor(test.labels).repeat(4))
    plan = Plan(
        epochs=8 if tiny else 20 if own else 40,
        batch_size=32 if own else 128,
        lr=2e-3,
        weight_decay=1e-4,
        augment=OfImage(turn),
        normalise=((0.15,), (0.3,)) if own else digits.NORMALISE,
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
        train=found.train,
        test=digits.Placed(test, turn, seed=0),
        phases=(Phase(name="all", task=Classify(len(found.classes), errors=True), plan=plan),),
        facts={"data": found.name, "degrees": DEGREES, "transform": transform},
        class_names=found.classes,
    )
