"""Recipes for image classification on CIFAR or a folder of images, shared by the papers' networks.

The papers train for 27 to 200 epochs with SGD and a learning rate that falls in steps; here it follows half a cosine,
with one plan for ImageNet and one for CIFAR. Other parts of a paper's training (label smoothing, larger images for
testing, averaged crops) are left out.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from torch import nn

from regard import catalog
from regard.backbones import IMAGENET
from regard.data import ImageSet, load, mnist
from regard.data import cifar as cifar_files
from regard.data.augmenting import InTurn, Mirror, OfImage, ResizedCrop
from regard.tasks.classify import Classify
from regard.training.plan import Plan
from regard.training.recipe import Phase, Recipe

Make = Callable[..., nn.Module]  # channels and classes -> network
FOLDER = "train/ and val/ with a folder of images for each class"
SIZE = 224


def recipe(
    data: Path | None = None, *, tiny: bool = False, make: Make, small: Make, collection: str, epochs: int, batch: int
) -> Recipe:
    """A recipe for one network on one dataset; the tiny variant trains on the embedded digits.

    Raises: ValueError if `data` is None and `tiny` is false; the errors of reading the folder.
    """
    plan = partial(Plan, optimizer="sgd", lr=0.1, weight_decay=1e-4, epochs=epochs, batch_size=batch)
    if tiny:
        found: ImageSet = mnist.embedded()
        make, plan = small, partial(Plan, lr=1e-2, epochs=4, normalise=((0.3,), (0.35,)))
    elif data is None:
        wanted = cifar_files.WANTED if collection == "cifar" else FOLDER
        raise ValueError(f"data=None: a folder with {wanted} is needed (--data); --tiny trains on the embedded data")
    elif collection == "cifar":
        found = cifar_files.load(data)
        plan = partial(plan, augment=OfImage(cifar_files.shifted), normalise=cifar_files.NORMALISE[len(found.classes)])
    else:
        found = load(data, image_size=SIZE)
        plan = partial(plan, augment=InTurn(ResizedCrop(), Mirror()), normalise=IMAGENET)
    channels, classes = found.train[0][0].shape[0], len(found.classes)
    return Recipe(
        build=partial(make, channels, classes=classes),
        train=found.train,
        test=found.test,
        phases=(Phase(name="classify", task=Classify(classes, errors=True), plan=plan()),),
        facts={"data": found.name, "classes": classes},
        class_names=found.classes,
    )


def named(name: str) -> dict[str, Make]:
    """The constructors of a network of the papers and of its tiny variant, as arguments of `recipe`."""
    network = catalog.get("paper_network").load()
    return {
        "make": partial(network, name=name),
        "small": partial(network, name=name, width=16, blocks=(1, 1)),
    }


imagenet = partial(recipe, collection="folder", epochs=100, batch=256)
cifar = partial(recipe, collection="cifar", epochs=200, batch=64)
