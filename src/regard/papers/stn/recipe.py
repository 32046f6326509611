"""Recipes for classification of distorted digits with and without a spatial transformer.

Spatial Transformer Networks. Jaderberg, Simonyan, Zisserman, Kavukcuoglu. NIPS 2015, arXiv:1506.02025, Section 4.1.

Training digits are distorted by new random numbers in every epoch; test digits have fixed ones. The dataset is MNIST if
a folder is given, otherwise the embedded digits. `regard.data.distorting` says what the distortions are.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch

from regard.data import mnist as digits
from regard.data.augmenting import OfImage
from regard.data.distorting import Distort
from regard.papers.stn.network import TransformerClassifier
from regard.tasks.classify import Classify
from regard.training.plan import Plan
from regard.training.recipe import Phase, Recipe

CANVAS = 24  # of the embedded digits, large enough for a rotated image of 16×16
CANVASES = {"rotated": 28, "moved": 42, "projective": 28, "elastic": 28}  # of MNIST's


def rotated(data: Path | None = None, *, tiny: bool = False) -> Recipe:
    """Rotated digits, and the network with an affine transformer."""
    return _recipe(data, tiny, "rotated", "affine")


def rotated_plain(data: Path | None = None, *, tiny: bool = False) -> Recipe:
    """Rotated digits, and the same network without a transformer."""
    return _recipe(data, tiny, "rotated", None)


def moved(data: Path | None = None, *, tiny: bool = False) -> Recipe:
    """Rotated, scaled and translated digits, and the network with an affine transformer."""
    return _recipe(data, tiny, "moved", "affine")


def moved_plain(data: Path | None = None, *, tiny: bool = False) -> Recipe:
    """Rotated, scaled and translated digits, and the same network without a transformer."""
    return _recipe(data, tiny, "moved", None)


def projective(data: Path | None = None, *, tiny: bool = False) -> Recipe:
    """Digits with moved corners, and the network with a projective transformer."""
    return _recipe(data, tiny, "projective", "projective")


def projective_plain(data: Path | None = None, *, tiny: bool = False) -> Recipe:
    """Digits with moved corners, and the same network without a transformer."""
    return _recipe(data, tiny, "projective", None)


def elastic(data: Path | None = None, *, tiny: bool = False) -> Recipe:
    """Elastically distorted digits, and the network with a thin-plate transformer."""
    return _recipe(data, tiny, "elastic", "spline")


def elastic_plain(data: Path | None = None, *, tiny: bool = False) -> Recipe:
    """Elastically distorted digits, and the same network without a transformer."""
    return _recipe(data, tiny, "elastic", None)


def _recipe(data: Path | None, tiny: bool, kind: str, transform: str | None) -> Recipe:
    own = data is None or tiny
    found = digits.embedded() if data is None or tiny else digits.load(data)
    test, distort = found.test, Distort(kind, CANVAS if own else CANVASES[kind])
    if own:  # they are few, so each is distorted four times
        test = digits.Greys(test.greys.repeat(4, 1, 1), torch.tensor(test.labels).repeat(4))
    plan = Plan(
        epochs=8 if tiny else 20 if own else 40,
        batch_size=32 if own else 128,
        lr=2e-3,
        weight_decay=1e-4,
        augment=OfImage(distort),
        normalise=((0.15,), (0.3,)) if own else digits.NORMALISE,
        clip=1.0,
    )
    return Recipe(
        build=partial(
            TransformerClassifier,
            1,
            classes=len(found.classes),
            grid=(distort.canvas, distort.canvas),
            transform=transform,
            dropout=0.0,
        ),
        train=found.train,
        test=digits.Placed(test, distort, seed=0),
        phases=(Phase(name="all", task=Classify(len(found.classes), errors=True), plan=plan),),
        facts={"data": found.name, "distortion": kind, "transform": transform},
        class_names=found.classes,
    )
