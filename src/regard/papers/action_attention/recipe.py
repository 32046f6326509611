"""Recipe for recurrent attention to the places of a clip's frames: UCF-101, HMDB-51, or any videos with a label each.

Action Recognition using Visual Attention. Sharma, Kiros, Salakhutdinov. 2016, arXiv:1511.04119, Section 4: blocks of 30
frames of a video of 30 frames a second, Adam, batches of 128 and 15 epochs, from memory and as released; a backbone
that is not trained, GoogLeNet there and a network of timm's here. For testing, the probabilities of all blocks of a
video are averaged; here those of 10 blocks at even distances, or with `views="one"` the middle one.

The tiny variant trains the backbone along, on drawn clips (`data.drawn_events`) whose answer is an order of events.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from regard.backbones import IMAGENET
from regard.catalog.recipes import Claim
from regard.checks import choice
from regard.data import clips
from regard.data.clips import Drawn, Sampling
from regard.data.drawn_events import DrawnEvents
from regard.papers.action_attention.network import ActionAttention
from regard.papers.action_attention.task import ClassifyFrames
from regard.training.captioning import start
from regard.training.plan import Plan
from regard.training.recipe import Phase, Recipe
from regard.training.schedules import Constant

FRAMES, SIDE = 30, 224
VIEWS = {"published": 10, "one": 1}
SMALL: dict[str, Any] = {
    "backbone": "convolutions",
    "score": "content",
    "attention": 32,
    "hidden": 48,
    "layers": 1,
    "output": 48,
    "dropout": 0.0,
}
CLAIM = Claim(
    measure="error",
    value=58.69,
    data="HMDB-51",
    where="Table 1, λ = 0, from memory",
    unlike="features of GoogLeNet and every block of a video",
)


def videos(
    data: Path | None = None,
    *,
    tiny: bool = False,
    backbone: str = "resnet50",
    score: str = "location",
    coverage: float = 0.0,
    split: int = 1,
    views: str = "published",
) -> Recipe:
    """Videos of UCF-101, of HMDB-51, or of another folder that `data.clips` reads.

    Args:
        data: the folder of the videos.
        tiny: make the tiny variant.
        backbone: a network of timm's.
        score: "location" or "content", as for the network.
        coverage: λ, the weight of the penalty; the paper tries 0, 1 and 10.
        split: which of the published splits.
        views: "published" or "one".

    Raises: ValueError for an option out of range, or without `data`; LookupError for an unknown backbone; the errors of
        reading the folder.
    """
    count = VIEWS[choice("views", views, VIEWS)]
    if tiny:
        drawn = partial(DrawnEvents, frames=4, size=24, coloured=True)
        train, test = drawn(count=960), drawn(count=120, part="test")
        plan = Plan(epochs=16, batch_size=32, lr=5e-3, clip=1.0, normalise=((0.2,) * 3, (0.25,) * 3))
        return _recipe(partial(ActionAttention, 3, **SMALL), train.classes, train, test, plan, name="drawn events")
    if data is None:
        raise ValueError("data=None: a folder of videos is needed (--data); --tiny trains on drawn clips")
    sampling = Sampling(frames=FRAMES, stride=1, crop=SIDE, shorter=(SIDE, SIDE))
    found = clips.load(data, sampling, clips=count, split=split)
    plan = Plan(
        epochs=15,
        batch_size=128,
        lr=2e-4,
        weight_decay=1e-5,
        optimizer="adam",
        schedule=Constant(),
        warmup=0.0,
        augment=Drawn(mirror=False),
        normalise=IMAGENET,
    )
    build = partial(ActionAttention, 3, backbone=backbone, score=score, coverage=coverage)
    claim = CLAIM if (score, coverage) == ("location", 0.0) else None
    return _recipe(build, found.classes, found.train, found.test, plan, name=found.name, claim=claim)


def _recipe(
    build: partial[ActionAttention],
    classes: tuple[str, ...],
    train: clips.Clips | DrawnEvents,
    test: clips.Clips | DrawnEvents,
    plan: Plan,
    *,
    name: str,
    claim: Claim | None = None,
) -> Recipe:
    build = partial(build, classes=len(classes))
    drawn = isinstance(train, DrawnEvents)
    score = ("where.*",) if build.keywords.get("score") == "location" else ("place.*", "state.*", "value.*")
    trains = ("*",) if drawn else ("first.*", *score, "memory.*", "output.*", "classify.*")
    return Recipe(
        build=build,
        train=train,
        test=test,
        phases=(Phase(name="watch", task=ClassifyFrames(len(classes), errors=True), plan=plan, trains=trains),),
        start=None if drawn else start,
        facts={"data": name, "classes": len(classes), "train": len(train), "test": len(test)},
        class_names=classes,
        claim=claim,
    )
