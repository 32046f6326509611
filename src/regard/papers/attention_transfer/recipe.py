"""Recipes for a small wide residual network: labels only, attention transfer, gradient transfer, or distillation.

Paying More Attention to Attention: Improving the Performance of Convolutional Neural Networks via Attention Transfer.
Zagoruyko, Komodakis. ICLR 2017, arXiv:1612.03928, Section 4.1.

Every recipe trains the teacher and then the student, which is evaluated. The dataset is CIFAR-10 if a folder is given,
otherwise the embedded digits with clutter.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from regard.data import ImageSet, cifar
from regard.data import mnist as digits
from regard.data.augmenting import OfImage
from regard.data.batches import Augment, Normalisation
from regard.papers.attention_transfer.network import WideResNet
from regard.papers.attention_transfer.task import Pair, Teach, Transfer
from regard.training.plan import Plan
from regard.training.recipe import Phase, Recipe

GROUPS = ("groups.0", "groups.1", "groups.2")
CANVAS, PIECES = 24, 2


def plain(data: Path | None = None, *, tiny: bool = False) -> Recipe:
    """The student is trained with labels only."""
    return _recipe(data, tiny)


def activations(data: Path | None = None, *, tiny: bool = False) -> Recipe:
    """Labels and activation-based attention transfer; β is the paper's, or smaller for the small images of digits."""
    return _recipe(data, tiny, beta=1e3 if data is not None and not tiny else BETA, layers=GROUPS)


def gradients(data: Path | None = None, *, tiny: bool = False) -> Recipe:
    """Labels and gradient-based attention transfer."""
    return _recipe(data, tiny, gamma=GAMMA)


def distillation(data: Path | None = None, *, tiny: bool = False) -> Recipe:
    """Labels and knowledge distillation."""
    return _recipe(data, tiny, alpha=0.9)


BETA, GAMMA = 20.0, 1e-2


def _recipe(data: Path | None, tiny: bool, **ways: Any) -> Recipe:
    own = data is None or tiny
    # depth and width of student and teacher; epochs of student and teacher
    shapes, epochs = ((10, 0.25), (10, 0.5)), (6, 6)
    if not tiny:
        shapes, epochs = ((10, 0.5), (16, 1.0)), (12, 30)
    if not own:
        shapes, epochs = ((16, 1.0), (16, 2.0)), (200, 200)
    if data is None or tiny:
        found, augment, normalise = _digits(plain=tiny)
    else:
        found, augment, normalise = _cifar(data)
    student, teacher = (
        partial(WideResNet, found.train[0][0].shape[0], classes=10, depth=depth, width=width) for depth, width in shapes
    )
    plan = partial(
        Plan,
        batch_size=64 if own else 128,
        lr=0.1,
        weight_decay=5e-4,
        optimizer="sgd",
        augment=augment,
        normalise=normalise,
    )
    return Recipe(
        build=partial(_pair, student=student, teacher=teacher),
        part="student",
        train=found.train,
        test=found.test,
        phases=(
            Phase(name="teacher", task=Teach(10), plan=plan(epochs=epochs[1]), trains=("teacher.*",)),
            Phase(
                name="student", task=Transfer(classes=10, **ways), plan=plan(epochs=epochs[0]), trains=("student.*",)
            ),
        ),
        facts={"data": found.name, "student": shapes[0], "teacher": shapes[1], **ways},
        class_names=found.classes,
    )


def _pair(*, student: Callable[[], nn.Module], teacher: Callable[[], nn.Module]) -> Pair:
    return Pair(student(), teacher())


def _digits(*, plain: bool) -> tuple[ImageSet, Augment | None, Normalisation]:
    """The embedded digits at random positions on a canvas with clutter, or `plain`, without canvas.

    Training digits have new positions in every epoch; every test digit occurs at four fixed positions.
    """
    found = digits.embedded()
    if plain:
        return found, None, ((0.3,), (0.37,))
    train, test = found.train, found.test
    often = digits.Greys(test.greys.repeat(4, 1, 1), torch.tensor(test.labels).repeat(4))
    still = digits.Placed(often, digits.Place(CANVAS, PIECES, test.greys), seed=0)
    placed = ImageSet(found.name, found.classes, train, still)
    return placed, OfImage(digits.Place(CANVAS, PIECES, train.greys)), ((0.16,), (0.29,))


def _cifar(folder: Path) -> tuple[ImageSet, Augment | None, Normalisation]:
    found = cifar.load(folder)
    if len(found.classes) != 10:
        raise ValueError(f"{folder} holds CIFAR-{len(found.classes)}: CIFAR-10 is needed")
    return found, OfImage(cifar.shifted), cifar.NORMALISE[10]
