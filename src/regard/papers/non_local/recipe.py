"""Recipe for networks with non-local blocks on clips: Kinetics, or any videos with a label each.

Non-local Neural Networks. Wang, Girshick, Gupta, He. CVPR 2018, arXiv:1711.07971, Section 4: stochastic gradient
descent for 400,000 steps of 64 clips, a tenth of the rate after 150,000 and 300,000; for testing, 10 clips of each
video and 3 squares of each clip. Nesterov's momentum as released.

The paper starts from weights for ImageNet; here the network starts at random. The tiny variant trains on drawn clips
(`data.drawn_clips`) whose answer needs two moments, and is scored on them.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from torch import nn

from regard import catalog
from regard.backbones import IMAGENET
from regard.catalog.recipes import Claim
from regard.checks import choice
from regard.data import clips
from regard.data.clips import Drawn, Sampling
from regard.data.drawn_clips import DrawnClips
from regard.networks import design
from regard.tasks.clips import ClassifyClips
from regard.training.plan import Plan
from regard.training.recipe import Phase, Recipe
from regard.training.schedules import Steps

NETWORK = "nonlocal5_c2d_resnet50_8f"
VIEWS = {"published": (10, 3), "one": (1, 1)}
EPOCHS, FALLS = 109, (41, 82)  # 400,000 steps of 64 clips, of 234,643 training videos of Kinetics-400
SMALL = {"width": 8, "blocks": (1, 2, 1)}


def videos(data: Path | None = None, *, tiny: bool = False, network: str = NETWORK, views: str = "published") -> Recipe:
    """Videos of Kinetics, or of a folder, and a network for clips known by name.

    Args:
        data: the folder of the videos; see `data.clips`.
        tiny: make the tiny variant.
        network: a name with c2d or i3d in it.
        views: `published` averages 10 clips and 3 squares of each test video; `one` takes the middle.

    Raises: LookupError for an unknown network; ValueError for one that takes images, unknown `views`, or without
        `data`; the errors of reading the folder.
    """
    known = design.find(network)
    if "T" not in known.backbone.axes:
        raise ValueError(f"network={network!r} takes images: a network for clips is needed")
    count = VIEWS[choice("views", views, VIEWS)]
    make = catalog.get("paper_network").load()
    if tiny:
        train, test = (DrawnClips("match", count=number, size=24, part=part) for part, number in enumerate((4096, 256)))
        plan = Plan(epochs=20, batch_size=64, lr=3e-3, clip=1.0, normalise=((0.3,) * 3, (0.25,) * 3))
        return _recipe(partial(make, 3, name=network, **SMALL), train.classes, train, test, plan, name="drawn clips")
    if data is None:
        raise ValueError("data=None: a folder of videos is needed (--data); --tiny trains on drawn clips")
    frames, stride = (8, 8) if network.endswith("_8f") else (32, 2)
    found = clips.load(data, Sampling(frames=frames, stride=stride), clips=count[0], crops=count[1])
    plan = Plan(
        epochs=EPOCHS,
        batch_size=64,
        lr=0.01,
        weight_decay=1e-4,
        optimizer="sgd",
        schedule=Steps(at=FALLS, by=0.1, every="epoch"),
        warmup=0.0,
        augment=Drawn(),
        normalise=IMAGENET,
    )
    claim = Claim(
        measure="error", value=known.error, data="Kinetics-400", where=f"authors, {network}", unlike=_UNLIKE
    ) if known.error else None  # fmt: skip
    build = partial(make, 3, name=network)
    return _recipe(build, found.classes, found.train, found.test, plan, name=found.name, claim=claim)


_UNLIKE = "a network that starts from weights for ImageNet"


def _recipe(
    build: partial[nn.Module],
    classes: tuple[str, ...],
    train: clips.Clips | DrawnClips,
    test: clips.Clips | DrawnClips,
    plan: Plan,
    *,
    name: str,
    claim: Claim | None = None,
) -> Recipe:
    return Recipe(
        build=partial(build, classes=len(classes)),
        train=train,
        test=test,
        phases=(Phase(name="classify", task=ClassifyClips(len(classes), errors=True), plan=plan),),
        facts={"data": name, "classes": len(classes), "train": len(train), "test": len(test)},
        class_names=classes,
        claim=claim,
    )
