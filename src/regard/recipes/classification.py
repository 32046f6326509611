"""Residual Attention Network and the other papers' networks, trained to classify CIFAR or a folder of images.

The papers that the figures in `LISTINGS` are from train for 27 to 200 epochs with SGD and a step size that falls in
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

from regard.backbones import IMAGENET
from regard.batches import Images
from regard.data import cifar, load, mnist
from regard.recipes import Phase, Recipe
from regard.systems.paper_networks import PaperNetwork
from regard.systems.residual_attention_network import ResidualAttentionNetwork
from regard.tasks.classify import Classify
from regard.training import Plan, predict

Make = Callable[..., nn.Module]  # channels and classes -> network
FOLDER = "train/ and val/ with a folder of images for each class"
SIZE = 224


def _recipe(
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
        wanted = cifar.WANTED if collection == "cifar" else FOLDER
        raise ValueError(f"no folder of images: --data with {wanted} is needed; --tiny trains on what comes along")
    elif collection == "cifar":
        found = cifar.load(data)
        plan = partial(plan, augment=cifar.shifted, normalise=cifar.NORMALISE[len(found.classes)])
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
        score=partial(_errors, plan=settled),
        facts={"data": found.name, "classes": classes},
    )


def _errors(model: nn.Module, test: Images, device: Any, *, plan: Plan) -> dict[str, float]:
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


_imagenet = partial(_recipe, collection="folder", epochs=100, batch=256)
_cifar = partial(_recipe, collection="cifar", epochs=200, batch=64)


def _named(name: str) -> dict[str, Make]:
    return {
        "make": partial(PaperNetwork, name=name),
        "small": partial(PaperNetwork, name=name, width=16, blocks=(1, 1)),
    }


_attention = partial(ResidualAttentionNetwork, stem="cifar", width=16)
_small_attention = partial(ResidualAttentionNetwork, stem="cifar", width=4, modules=(0, 0, 1))

attention_cifar = partial(_cifar, make=partial(_attention, depth=452), small=_small_attention)
attention_imagenet = partial(_imagenet, make=partial(ResidualAttentionNetwork, depth=56), small=_small_attention)
spa_cifar = partial(_cifar, **_named("cpsppse_resnet50"))
se_imagenet = partial(_imagenet, **_named("se_resnet50"))
sk_imagenet = partial(_imagenet, **_named("sknet50"))
eca_imagenet = partial(_imagenet, **_named("eca_resnet50"))
cbam_imagenet = partial(_imagenet, **_named("cbam_resnet50"))
bam_imagenet = partial(_imagenet, **_named("bam_resnet50"))
fca_imagenet = partial(_imagenet, **_named("fcanet50"))
gsop_imagenet = partial(_imagenet, **_named("gsop_net2"))
