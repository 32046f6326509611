"""Small images, told apart by what a network attends to at three of its layers.

Learn To Pay Attention. Jetley, Lord, Lee, Torr. ICLR 2018, arXiv:1804.02391, Section 5.1.

The folder holds CIFAR-100 or CIFAR-10. The tiny twin reads the embedded digits, anywhere on 32×32.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from regard.data import cifar
from regard.data import mnist as digits
from regard.papers.ltpa.network import WIDTHS, AttentionVGG
from regard.tasks.classify import Classify
from regard.training.loop import Plan, predict
from regard.training.recipe import Phase, Recipe


def before(data: Path | None = None, *, tiny: bool = False) -> Recipe:
    """Attention before the poolings, as in the paper."""
    return _recipe(data, tiny, "before")


def after(data: Path | None = None, *, tiny: bool = False) -> Recipe:
    """Attention after the poolings."""
    return _recipe(data, tiny, "after")


def plain(data: Path | None = None, *, tiny: bool = False) -> Recipe:
    """The same VGG without attention."""
    return _recipe(data, tiny, None)


def _recipe(data: Path | None, tiny: bool, attend: str | None) -> Recipe:
    train: Any
    test: Any
    augment: Any
    normalise: Any
    if tiny:
        found = digits.embedded()
        train, test, widths, augment = found.train, found.test, tuple(width // 16 for width in WIDTHS), None
        augment = digits.Place(32)
        test, normalise, channels = digits.Placed(test, augment, seed=0), ((0.1,), (0.25,)), 1
    elif data is None:
        raise ValueError(f"no folder of CIFAR is given; it should hold {cifar.WANTED}")
    else:
        found = cifar.load(data)
        train, test, widths, augment = found.train, found.test, WIDTHS, cifar.shifted
        normalise, channels = cifar.NORMALISE[len(found.classes)], 3
    plan = Plan(
        epochs=3 if tiny else 300,
        batch_size=32 if tiny else 128,
        lr=0.05 if tiny else 0.1,
        weight_decay=5e-4,
        optimizer="sgd",
        augment=augment,
        normalise=normalise,
        clip=1.0 if tiny else None,
    )
    classes = len(found.classes)
    return Recipe(
        build=partial(AttentionVGG, channels, classes=classes, widths=widths, attend=attend),
        train=train,
        test=test,
        phases=(Phase(name="all", task=Classify(classes), plan=plan),),
        score=partial(_score, normalise=normalise),
        facts={"data": found.name, "attend": attend},
    )


def _score(model: nn.Module, test: Any, device: Any, *, normalise: Any) -> dict[str, float]:
    """Error in percent."""
    logits, labels = predict(model, test, batch_size=250, device=device, normalise=normalise)
    return {"error": 100 * (logits.argmax(1) != labels).double().mean().item()}
