"""Recipes for the recurrent attention model on digits: plain, translated, and translated with clutter.

Recurrent Models of Visual Attention. Mnih, Heess, Graves, Kavukcuoglu. NIPS 2014, arXiv:1406.6247, Section 4.1.

The dataset is MNIST in its published files. Training digits have new positions on the canvas in every epoch; test
digits have fixed positions. `error` is that of the mean log-probabilities of ten episodes per image; `single_error` is
that of one episode.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from regard.data import mnist as digits
from regard.data.augmenting import OfImage
from regard.data.batches import Data
from regard.data.mnist import NORMALISE
from regard.papers.ram.network import RecurrentAttention
from regard.papers.ram.task import Glimpse
from regard.training.plan import Plan
from regard.training.recipe import Phase, Recipe

STD = 0.17  # of the policy, as in the settings beside the published checkpoint
EPISODES = 10


def mnist(data: Path | None = None, *, tiny: bool = False) -> Recipe:
    """Digits of 28×28, with 6 glimpses of 8×8."""
    return _tiny() if tiny else _recipe(digits.load(_given(data)), glimpse_size=8)


def translated(data: Path | None = None, *, tiny: bool = False) -> Recipe:
    """Digits at random positions on 60×60, with 6 glimpses of 12×12 at 3 scales."""
    return _tiny(canvas=24) if tiny else _recipe(digits.load(_given(data)), canvas=60, glimpse_size=12, patches=3)


def cluttered(data: Path | None = None, *, tiny: bool = False) -> Recipe:
    """Digits on 60×60 among 4 pieces of other digits, with 6 glimpses of 12×12 at 3 scales."""
    if tiny:
        return _tiny(canvas=24, pieces=1)
    return _recipe(digits.load(_given(data)), canvas=60, pieces=4, glimpse_size=12, patches=3)


def _given(data: Path | None) -> Path:
    if data is None:
        raise ValueError(f"data=None: a folder with {digits.WANTED} is needed (--data)")
    return data


def _tiny(*, canvas: int | None = None, pieces: int = 0) -> Recipe:
    sizes: dict[str, Any] = {
        "glimpses": 4,
        "glimpse_size": 6,
        "glimpse_hidden": 32,
        "location_hidden": 32,
        "hidden": 64,
    }
    plan = {"epochs": 10, "batch_size": 32, "lr": 3e-3}
    patches = 1 if canvas is None else 2
    return _recipe(digits.embedded(), canvas=canvas, pieces=pieces, patches=patches, **sizes, plan=plan)


def _recipe(
    found: digits.Digits,
    *,
    canvas: int | None = None,
    pieces: int = 0,
    plan: Mapping[str, Any] | None = None,
    **sizes: Any,
) -> Recipe:
    test: Data = found.test
    augment = None
    if canvas is not None:
        augment = OfImage(digits.Place(canvas, pieces, found.train.greys))
        test = digits.Placed(found.test, digits.Place(canvas, pieces, found.test.greys), seed=0)
    fixed = {"weight_decay": 0.0, "clip": 5.0, "augment": augment, "normalise": NORMALISE}
    phase = Phase(
        name="all",
        task=Glimpse(len(found.classes), averaged=EPISODES),
        plan=Plan(**{"epochs": 30, "batch_size": 128, "lr": 1e-3, **fixed, **(plan or {})}),
    )
    return Recipe(
        build=partial(RecurrentAttention, std=STD, **sizes),
        train=found.train,
        test=test,
        phases=(phase,),
        facts={"data": found.name, "episodes": EPISODES, "std": STD, **sizes},
        class_names=found.classes,
    )
