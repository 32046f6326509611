"""Recipes that classify CIFAR or a folder of images, for the papers' networks.

The papers whose figures the labels give train for 27 to 200 epochs with SGD and a step size that falls in
steps; here it falls along half a cosine, with one plan for ImageNet and one for CIFAR. What a paper does besides
(label smoothing, larger images for testing, averaged crops) is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from regard import catalog
from regard.backbones import IMAGENET
from regard.data import cifar as cifar_files
from regard.data import load, mnist
from regard.data.batches import Images
from regard.tasks.classify import Classify
from regard.training.loop import Plan, predict
from regard.training.recipe import Phase, Recipe

Make = Callable[..., nn.Module]  # channels and classes -> network
FOLDER = "train/ and val/ with a folder of images for each class"
SIZE = 224


def recipe(
    data: Path | None = None, *, tiny: bool = False, make: Make, small: Make, collection: str, epochs: int, batch: int
) -> Recipe:
    """One network on one collection of images; its twin on embedded digits.

    Raises: ValueError if there is no folder; what reading it raises.
    """
    plan = partial(Plan, optimizer="sgd", lr=0.1, weight_decay=1e-4, epochs=epochs, batch_size=batch)
    if tiny:
        found = mnist.embedded()
        make, plan = small, partial(Plan, lr=1e-2, epochs=4, normalise=((0.3,), (0.35,)))
    elif data is None:
        wanted = cifar_files.WANTED if collection == "cifar" else FOLDER
        raise ValueError(f"no folder of images: --data with {wanted} is needed; --tiny trains on what comes along")
    elif collection == "cifar":
        found = cifar_files.load(data)
        plan = partial(plan, augment=cifar_files.shifted, normalise=cifar_files.NORMALISE[len(found.classes)])
    else:
        found = load(data, image_size=SIZE)
        plan = partial(plan, augment=resized_crop, normalise=IMAGENET)
    channels, classes = found.train[0][0].shape[0], len(found.classes)
    settled = plan()
    return Recipe(
        build=partial(make, channels, classes=classes),
        train=found.train,
        test=found.test,
        phases=(Phase(name="classify", task=Classify(classes), plan=settled),),
        score=partial(errors, plan=settled),
        facts={"data": found.name, "classes": classes},
    )


def errors(model: nn.Module, test: Images, device: Any, *, plan: Plan) -> dict[str, float]:
    """Share of wrong answers, in percent; with more than five classes also of those with five guesses."""
    logits, labels = predict(model, test, batch_size=plan.batch_size, device=device, normalise=plan.normalise)
    scores = Classify(logits.shape[1]).score(logits, labels)
    names = {"error": "accuracy", "top5_error": "top5"}
    return {name: 100 * (1 - scores[share]) for name, share in names.items() if share in scores}


def resized_crop(image: Tensor, generator: Generator) -> Tensor:
    """8 to 100 percent of an image, 3:4 to 4:3, resized to the whole, and mirrored half of the time.

    Going Deeper with Convolutions. Szegedy et al. CVPR 2015, arXiv:1409.4842, Section 6.
    """
    area, ratio, down, right, mirror = torch.rand(5, generator=generator).tolist()
    height, width = image.shape[1:]
    share, stretch = 0.08 + 0.92 * area, (4 / 3) ** (2 * ratio - 1)
    tall = max(1, min(height, round(height * (share / stretch) ** 0.5)))
    wide = max(1, min(width, round(width * (share * stretch) ** 0.5)))
    top, left = int(down * (height - tall + 1)), int(right * (width - wide + 1))
    crop = image[:, top : top + tall, left : left + wide]
    resized = functional.interpolate(crop[None], (height, width), mode="bilinear", antialias=True)[0]
    return resized.flip(2) if mirror < 0.5 else resized


def named(name: str) -> dict[str, Make]:
    """A network known by name, and a small one of the same kind."""
    network = catalog.get("paper_network").load()
    return {
        "make": partial(network, name=name),
        "small": partial(network, name=name, width=16, blocks=(1, 1)),
    }


imagenet = partial(recipe, collection="folder", epochs=100, batch=256)
cifar = partial(recipe, collection="cifar", epochs=200, batch=64)
