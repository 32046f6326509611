"""Recipes for RA-CNN: fine-grained classification of birds without labels of location.

Look Closer to See Better. Fu, Zheng, Mei. CVPR 2017, Section 3.4 and 4.

First the coarse network is trained, and the proposals are trained towards its strongest response. Then training
alternates between the networks of all scales, with the proposals fixed, and the proposals, which are to raise the
confidence of the finer network. Last, the fusion of all scales is trained. The error of a scale is that of its own
class scores.

The dataset is a folder, CUB-200-2011 or one with a subfolder for each class and optional boxes, or drawn birds
(`data/birds.py`), for which the part that differs is known, and so whether the crop contains it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from regard import data as folders
from regard.backbones import IMAGENET
from regard.data import ImageSet, birds, cub
from regard.data.augmenting import Mirror
from regard.data.masks import Located
from regard.papers.ra_cnn.network import RecurrentAttentionCNN
from regard.papers.ra_cnn.task import Fuse, Propose, Rank, Scales
from regard.training.plan import Plan
from regard.training.recipe import Phase, Recipe

TURNS = 2
OWN = ((0.5,) * 3, (0.25,) * 3)


def drawn(data: Path | None = None, *, tiny: bool = False) -> Recipe:
    """Drawn birds of 96×96 with small networks at three scales; the tiny variant has two scales and fewer birds."""
    found = birds.load(train_size=240, test_size=120, kinds=2) if tiny else birds.load()
    sizes = {
        "image_size": birds.SIZE,
        "crop_size": 48,
        "scales": 2 if tiny else 3,
        "backbone": None,
        "widths": (12, 24, 48) if tiny else (16, 32, 64),
        "hidden": 64,
        "least": 0.17,
    }
    plan = partial(Plan, batch_size=16 if tiny else 32, weight_decay=1e-3, clip=5.0, normalise=OWN)
    return _recipe(
        found,
        sizes,
        coarse=plan(epochs=8 if tiny else 15, lr=5e-3),
        propose=plan(epochs=4 if tiny else 10, lr=1e-3),
        classify=plan(epochs=5 if tiny else 12, lr=5e-3),
        rank=plan(
            epochs=1, lr=1e-4
        ),  # small steps: the signal that moves a square (ops/zooming.py) is not a derivative
        fuse=plan(epochs=3 if tiny else 5, lr=2e-2),
        turns=1 if tiny else TURNS,
    )


def photographs(data: Path | None = None, *, tiny: bool = False) -> Recipe:
    """Photographs of 448×448 with VGG-19-BN from published weights, and the smallest square of the port."""
    if tiny:
        return drawn(tiny=True)
    if data is None:
        raise ValueError(
            f"data=None: a folder with {cub.WANTED}, or with a subfolder for each class, is needed (--data)"
        )
    root = Path(data)
    found = cub.load(root) if cub.found(root) else folders.load(root, image_size=448)
    plan = partial(
        Plan, batch_size=16, weight_decay=5e-4, optimizer="sgd", clip=5.0, normalise=IMAGENET, augment=Mirror()
    )
    return _recipe(
        found,
        {},
        coarse=plan(epochs=30, lr=1e-3),
        propose=plan(epochs=5, lr=1e-3),
        classify=plan(epochs=20, lr=1e-3),
        rank=plan(epochs=2, lr=1e-6),
        fuse=plan(epochs=5, lr=1e-2),
        turns=TURNS,
    )


def _recipe(
    found: ImageSet,
    sizes: dict[str, Any],
    *,
    coarse: Plan,
    propose: Plan,
    classify: Plan,
    rank: Plan,
    fuse: Plan,
    turns: int,
) -> Recipe:
    classes = len(found.classes)
    learn, look, networks = Scales(classes), ("proposals.*",), ("trunks.*", "classifiers.*")
    phases = [
        Phase(name="coarse", task=learn, plan=coarse, trains=("trunks.0.*", "classifiers.0.*")),
        Phase(name="propose", task=Propose(classes), plan=propose, trains=look),
        Phase(name="classify", task=learn, plan=classify, trains=networks),
    ]
    for turn in range(1, turns + 1):
        phases.append(Phase(name=f"rank-{turn}", task=Rank(classes), plan=rank, trains=look))
        phases.append(Phase(name=f"classify-{turn}", task=learn, plan=classify, trains=networks))
    phases.append(Phase(name="fuse", task=Fuse(classes), plan=fuse, trains=("fuse.*",)))
    return Recipe(
        build=partial(RecurrentAttentionCNN, classes=classes, fused=True, **sizes),
        train=found.train,
        test=Located(found.test),
        phases=tuple(phases),
        start=None if sizes.get("backbone", "") is None else _start,
        facts={"data": found.name, "train": len(found.train), "test": len(found.test), **sizes},
    )


def _start(model: nn.Module, state: Mapping[str, Tensor] | None) -> None:
    if isinstance(model, RecurrentAttentionCNN):
        model.start_from(state)
