"""Recipes for digits among clutter by one patch in full resolution, chosen at a glance, and by all of them.

The canvas of Recurrent Models of Visual Attention (arXiv:1406.6247, Section 4.1): a digit of MNIST and 8 pieces of 8×8
pixels of other digits on about 100×100; here 104×104, so that a grid of 7 × 7 patches of 32×32 covers it. Training
digits have new positions in every epoch. The paper's own images of 1500×1500 hold five digits of which three are the
same. docs/hard.md has what every choice of the patch scores on this canvas, and beside which networks.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from regard.data import mnist
from regard.data.augmenting import OfImage
from regard.data.mnist import NORMALISE
from regard.papers.attention_sampling.network import AttentionSampling
from regard.tasks.classify import Classify
from regard.tasks.reinforced import Reinforced
from regard.training.plan import Plan
from regard.training.recipe import Phase, Recipe

CANVAS, PIECES = 104, 8
LARGE: dict[str, Any] = {"patch": 32, "stride": 12, "scale": 4}
SMALL: dict[str, Any] = {"patch": 24, "stride": 8, "scale": 2, "widths": (16, 32, 32)}


def digits(data: Path | None = None, *, tiny: bool = False) -> Recipe:
    """One patch, drawn in training and trained by REINFORCE; the likeliest one in evaluation."""
    return _recipe(data, tiny, hard="sample")


def soft(data: Path | None = None, *, tiny: bool = False) -> Recipe:
    """Every patch, weighed by soft attention."""
    return _recipe(data, tiny, hard=None)


def _recipe(data: Path | None, tiny: bool, *, hard: str | None) -> Recipe:
    if tiny:
        found, canvas, pieces, piece, sizes = mnist.embedded(), 48, 3, 5, SMALL
        plan = partial(Plan, epochs=12, batch_size=32, lr=6e-3)
    elif data is None:
        raise ValueError(f"data=None: a folder with {mnist.WANTED} is needed (--data)")
    else:
        found, canvas, pieces, piece, sizes = mnist.load(data), CANVAS, PIECES, mnist.PIECE, LARGE
        plan = partial(Plan, epochs=20, batch_size=256, lr=3e-3)
    place = mnist.Place(canvas, pieces, found.train.greys, piece)
    test = mnist.Placed(found.test, mnist.Place(canvas, pieces, found.test.greys, piece), seed=0)
    classes = len(found.classes)
    task = Classify(classes, errors=True) if hard is None else Reinforced(classes, errors=True)
    return Recipe(
        build=partial(AttentionSampling, 1, classes=classes, hard=hard, **sizes),
        train=found.train,
        test=test,
        phases=(
            Phase(name="all", task=task, plan=plan(augment=OfImage(place), normalise=NORMALISE, clip=1.0)),
        ),
        facts={"data": found.name, "canvas": canvas, "pieces": pieces, "hard": hard},
        class_names=found.classes,
    )  # fmt: skip
