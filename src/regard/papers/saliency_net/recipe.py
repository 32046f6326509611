"""Recipes for saliency networks: masks of salient objects, and densities of fixations.

The backbone starts from its published weights, a checkpoint or random weights, and the whole network is trained; images
are resized to a square and flipped at random. Masks are scored at their original size, as in public evaluations.

The tiny variants train on the embedded cluttered digits: the box of the digit is the object, and the fixations are
synthetic, most of them around its centre and some anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from regard import data as embedded
from regard.data import fixations as recorded
from regard.data import masks
from regard.data.augmenting import Mirror
from regard.data.batches import Data
from regard.data.dividing import every_fifth
from regard.papers.saliency_net.network import SaliencyNet
from regard.tasks.fixations import Fixations
from regard.tasks.salient_objects import SalientObjects
from regard.training.plan import Plan, Task
from regard.training.recipe import Phase, Recipe

SIZE = 224
TINY_TRAIN, TINY_TEST = 160, 40


def objects(data: Path | None = None, *, tiny: bool = False) -> Recipe:
    """Masks of salient objects, in the layout of DUTS, ECSSD or `images` and `masks`."""
    if tiny:
        digits = embedded.load("digits", train_size=TINY_TRAIN, test_size=TINY_TEST)
        train: Data = masks.Regions(digits.train)
        test: Data = masks.Regions(digits.test)
    else:
        pairs = masks.read(_given(data, "DUTS-TR and DUTS-TE, COCO, or images and masks"))
        train, test = masks.Masked(pairs[0], SIZE), masks.Masked(pairs[1], SIZE, own=True)
    return _recipe(SalientObjects(), train, test, tiny=tiny, density=False)


def fixations(data: Path | None = None, *, tiny: bool = False) -> Recipe:
    """Fixations, in a format of `regard.data.fixations`; without train and val, every fifth image is a test image."""
    if tiny:
        digits = embedded.load("digits", train_size=TINY_TRAIN, test_size=TINY_TEST)
        train: Data = masks.Regions(digits.train, made_up, field="human")
        test: Data = masks.Regions(digits.test, made_up, field="human")
    else:
        folder = _given(data, "images with fixations: SALICON, MIT1003, CAT2000, OSIE, or fixations.csv")
        if recorded.parts(folder):
            viewed = [list(recorded.read(folder, part)) for part in ("train", "val")]
        else:
            viewed = list(every_fifth(recorded.read(folder), str(folder)))
        train, test = (recorded.Fixated(part, SIZE) for part in viewed)
    return _recipe(Fixations(), train, test, tiny=tiny, density=True)


def made_up(region: Tensor, i: int) -> Tensor:
    """Density and counts of 24 synthetic fixations, 20 of them around the centre of the region: `2 H W`."""
    height, width = region.shape
    places = region.nonzero().double()
    draw = np.random.default_rng((height, width, i))
    near = draw.normal(places.mean(0).flip(0) + 0.5, places.std(0).flip(0) / 2, (20, 2))
    anywhere = draw.uniform((0, 0), (width, height), (4, 2))
    counts = recorded.counted(np.concatenate((near, anywhere)), height, width)
    human = recorded.density(counts, recorded.SIGMA * max(height, width))
    return torch.from_numpy(np.stack((human, counts))).float()


def _given(data: Path | None, wanted: str) -> Path:
    if data is None:
        raise ValueError(f"data=None: a folder with {wanted} is needed (--data)")
    return Path(data)


def _start(model: nn.Module, state: Mapping[str, Tensor] | None) -> None:
    if isinstance(model, SaliencyNet):
        model.start_from(state)


def _recipe(task: Task, train: Data, test: Data, *, tiny: bool, density: bool) -> Recipe:
    sizes: dict[str, Any] = {"backbone": "test_efficientnet", "width": 16} if tiny else {}

    epochs, lr, batch_size = (8, 4e-3, 16) if tiny else (20, 3e-4, 16)
    plan = Plan(epochs=epochs, lr=lr, batch_size=batch_size, weight_decay=1e-4, clip=5.0, augment=Mirror())
    facts = {"train": len(train), "test": len(test), "backbone": "test_efficientnet" if tiny else "resnet18"}
    return Recipe(
        build=partial(SaliencyNet, density=density, **sizes),
        train=train,
        test=test,
        phases=(Phase(name="all", task=task, plan=plan),),
        start=None if tiny else _start,
        facts=facts,
    )
