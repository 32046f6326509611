"""Planes of ultrasound, told apart by a network that gates its finer maps.

Attention Gated Networks: Learning to Leverage Salient Regions in Medical Images. Schlemper et al. Medical Image
Analysis 2019, arXiv:1808.08114, Section 4.1.

The paper's fetal scans (13 standard planes and background) were never published: the folder holds images of one's own,
a subfolder for each class. Settings are those of the released configuration for a feature scale of 8. The tiny twin
reads the embedded digits, anywhere on 32×32.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor, nn

from regard.data import load
from regard.data import mnist as digits
from regard.data.batches import Images, gathered, normalised
from regard.papers.sononet.network import GatedSononet
from regard.tasks.several_heads import SeveralHeads, together
from regard.training.loop import Plan
from regard.training.recipe import Phase, Recipe

NORMALISE = ((0.3,), (0.25,))
SIZE = 224
AT_ONCE = 100


def planes(data: Path | None = None, *, tiny: bool = False) -> Recipe:
    """AG-Sononet-8 with a head for each of its three maps."""
    train: Any
    test: Any
    if tiny:
        found = digits.embedded()
        place = digits.Place(32)
        train, test = found.train, digits.Placed(found.test, place, seed=0)  # type: ignore[arg-type]
        plan = Plan(epochs=4, batch_size=32, lr=5e-3, augment=place, normalise=NORMALISE, clip=1.0)
    elif data is None:
        raise ValueError("no folder of images is given; it should hold a subfolder for each class")
    else:
        found = load(data, image_size=SIZE)
        train, test = found.train, found.test
        plan = Plan(
            epochs=300,
            batch_size=64,
            lr=0.1,
            weight_decay=1e-6,
            optimizer="sgd",
            augment=mirrored,
            normalise=NORMALISE,
        )
    classes = len(found.classes)
    return Recipe(
        build=partial(
            GatedSononet, 1 if tiny else 3, classes=classes, feature_scale=16 if tiny else 8, aggregation="separate"
        ),
        train=train,
        test=test,
        phases=(Phase(name="all", task=SeveralHeads(classes), plan=plan),),
        score=partial(_score, classes=classes),
        facts={"data": found.name},
    )


def mirrored(image: Tensor, generator: Generator) -> Tensor:
    """Every other image, at random, left to right."""
    return image.flip(2) if torch.rand((), generator=generator).item() < 0.5 else image


def _score(model: nn.Module, test: Images, device: Any, *, classes: int) -> dict[str, float]:
    """Accuracy, and the mean over the classes of F1."""
    table = torch.zeros(classes, classes)
    for start in range(0, len(test), AT_ONCE):
        images, labels = gathered(test, range(start, min(start + AT_ONCE, len(test))))
        answers = together(model(normalised(images.to(device), NORMALISE))).argmax(1).cpu()
        table.view(-1).index_add_(0, labels * classes + answers, torch.ones(len(labels)))
    right, there, said = table.diagonal(), table.sum(1), table.sum(0)
    f1 = 2 * right / (there + said).clamp_min(1)
    return {"accuracy": (right.sum() / table.sum()).item(), "f1": f1[there > 0].mean().item()}
