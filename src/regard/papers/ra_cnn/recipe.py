"""Recipes for RA-CNN: fine-grained classification of birds without labels of location.

Look Closer to See Better. Fu, Zheng, Mei. CVPR 2017, Section 3.4 and 4.

First the coarse network is trained, and the proposals are trained towards its strongest response. Then training
alternates between the networks of all scales, with the proposals fixed, and the proposals, which are to raise the
confidence of the finer network. Last, the fusion of all scales is trained. The error of a scale is that of its own
class scores.

The dataset is a folder, a fine-grained one as published (`data/fine_grained.py`) or one with a subfolder for each class
and optional boxes, or drawn birds (`data/birds.py`), for which the part that differs is known, and so whether the crop
contains it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from regard import data as folders
from regard.backbones import IMAGENET
from regard.data import ImageSet, birds, fine_grained
from regard.data.augmenting import Mirror
from regard.data.masks import Located
from regard.papers.ra_cnn.network import RecurrentAttentionCNN
from regard.papers.ra_cnn.task import Fuse, Propose, Rank, Scales
from regard.training.plan import Plan
from regard.training.recipe import Phase, Recipe

TURNS = 2
LEAST = (
    1 / 6
)  # of the smallest half side: a square is at least a third as wide as what it lies in, and grows by 3 there
OWN = ((0.5,) * 3, (0.25,) * 3)


def drawn(data: Path | None = None, *, tiny: bool = False, plumage: float = 0.0) -> Recipe:
    """Drawn birds of 96×96, which the first scale sees at 48×48; the tiny variant has two scales and two kinds.

    `plumage` is the share of birds whose body has the colour of their kind: see `data.birds`.
    """
    sizes = {"train_size": 480, "test_size": 200, "kinds": 2} if tiny else {"train_size": 1600, "test_size": 400}
    arguments = {
        "image_size": birds.SIZE,
        "first_size": birds.SIZE // 2,
        "crop_size": birds.SIZE // 2,
        "scales": 2 if tiny else 3,
        "backbone": None,
        "widths": (12, 24, 48) if tiny else (16, 32, 64),
        "hidden": 64,
        "least": LEAST,
        "gradient": "balanced",
        "source": "image",
    }
    plan = partial(Plan, batch_size=32 if tiny else 128, weight_decay=1e-3, clip=5.0, normalise=OWN)
    return _recipe(
        birds.load(**sizes, plumage=plumage),
        arguments,
        coarse=plan(epochs=20 if tiny else 50, batch_size=32 if tiny else 64, lr=5e-3),
        propose=plan(epochs=6, lr=1e-3),
        classify=plan(epochs=6, lr=5e-3),
        rank=plan(epochs=1 if tiny else 2, lr=3e-4),
        fuse=plan(epochs=3, lr=2e-2),
        turns=1 if tiny else TURNS,
        half=0.25,
    )


def photographs(data: Path | None = None, *, tiny: bool = False) -> Recipe:
    """Photographs of 448×448 with VGG-19-BN from published weights; the squares are enlarged from the photograph."""
    if tiny:
        return drawn(tiny=True)
    if data is None:
        raise ValueError(
            f"data=None: a folder with {fine_grained.WANTED}; or with a subfolder for each class, is needed (--data)"
        )
    root = Path(data)
    found = fine_grained.load(root) if fine_grained.found(root) else folders.load(root, image_size=448)
    plan = partial(
        Plan, batch_size=16, weight_decay=5e-4, optimizer="sgd", clip=5.0, normalise=IMAGENET, augment=Mirror()
    )
    return _recipe(
        found,
        {"least": LEAST, "gradient": "balanced", "source": "image"},
        coarse=plan(epochs=30, lr=1e-3),
        propose=plan(epochs=5, lr=1e-3),
        classify=plan(epochs=20, lr=1e-3),
        rank=plan(epochs=2, lr=1e-6),
        fuse=plan(epochs=5, lr=1e-2),
        turns=TURNS,
        half=0.2,  # 179 of 448 pixels, and 72 in it, become 224 each: what is seen grows by 1.25, then by 2.5
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
    half: float,
) -> Recipe:
    classes = len(found.classes)
    learn, look, networks = Scales(classes), ("proposals.*",), ("trunks.*", "classifiers.*")
    phases = [
        Phase(name="coarse", task=Scales(classes, first=True), plan=coarse, trains=("trunks.0.*", "classifiers.0.*")),
        Phase(name="propose", task=Propose(classes, half=half), plan=propose, trains=look),
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
