"""Recipes for image classification by a VGG with attention at three layers.

Learn To Pay Attention. Jetley, Lord, Lee, Torr. ICLR 2018, arXiv:1804.02391, Section 5.1.

The paper compares two scores of compatibility, parametrised and dot product, and two ways to the classes, the
descriptors side by side and independent classifiers; `before` has the first of either, which is its best.

The dataset is CIFAR-100 or CIFAR-10. The tiny variant trains on the embedded digits at random positions on 32×32.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from regard.data import ImageSet, cifar
from regard.data import mnist as digits
from regard.data.augmenting import OfImage
from regard.data.batches import Normalisation
from regard.papers.ltpa.network import COMBINATIONS, COMPATIBILITIES, WIDTHS, AttentionVGG
from regard.tasks.classify import Classify
from regard.training.plan import Plan
from regard.training.recipe import Phase, Recipe


def before(data: Path | None = None, *, tiny: bool = False) -> Recipe:
    """Attention before the poolings, as in the paper."""
    return _recipe(data, tiny, "before")


def after(data: Path | None = None, *, tiny: bool = False) -> Recipe:
    """Attention after the poolings."""
    return _recipe(data, tiny, "after")


def dot(data: Path | None = None, *, tiny: bool = False) -> Recipe:
    """The dot product as compatibility, (VGG-att3)-concat-dp."""
    return _recipe(data, tiny, "before", compatibility="dot")


def independent(data: Path | None = None, *, tiny: bool = False) -> Recipe:
    """A classifier for each of the three descriptors, (VGG-att3)-indep-pc."""
    return _recipe(data, tiny, "before", combine="independent")


def independent_dot(data: Path | None = None, *, tiny: bool = False) -> Recipe:
    """The dot product, and a classifier for each of the three descriptors, (VGG-att3)-indep-dp."""
    return _recipe(data, tiny, "before", compatibility="dot", combine="independent")


def plain(data: Path | None = None, *, tiny: bool = False) -> Recipe:
    """The same VGG without attention."""
    return _recipe(data, tiny, None)


def _recipe(
    data: Path | None,
    tiny: bool,
    attend: str | None,
    compatibility: str = COMPATIBILITIES[0],
    combine: str = COMBINATIONS[0],
) -> Recipe:
    if tiny:
        small, place = digits.embedded(), digits.Place(32)
        found = ImageSet(small.name, small.classes, small.train, digits.Placed(small.test, place, seed=0))
        widths, augment = tuple(width // 16 for width in WIDTHS), OfImage(place)
        normalise: Normalisation = ((0.1,), (0.25,))
    elif data is None:
        raise ValueError(f"data=None: a folder with {cifar.WANTED} is needed (--data)")
    else:
        found = cifar.load(data)
        widths, augment, normalise = WIDTHS, OfImage(cifar.shifted), cifar.NORMALISE[len(found.classes)]
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
    options = {"attend": attend, "compatibility": compatibility, "combine": combine}
    network = partial(AttentionVGG, attend=attend, compatibility=compatibility, combine=combine)
    return Recipe(
        build=partial(network, 1 if tiny else 3, classes=classes, widths=widths),
        train=found.train,
        test=found.test,
        phases=(Phase(name="all", task=Classify(classes, errors=True), plan=plan),),
        facts={"data": found.name, **options},
        class_names=found.classes,
    )
