"""Recipes for NeuralTalk2, for the recurrent network of the paper, and for the alignment of words with places.

Deep Visual-Semantic Alignments for Generating Image Descriptions. Karpathy, Fei-Fei. CVPR 2015, arXiv:1412.2306.
NeuralTalk2: the released defaults, Adam at 4e-4 with α .8 and β .999, dropout .5, widths of 512, a VGG16, 16 images
with their five captions in a step, and the trunk at 1e-5 once the language model stands. Its gradients are clipped at
.1 for each value; here by their norm. The paper's network: RMSprop, as in karpathy/neuraltalk. The alignment: momentum
.9, batches of 100 pairs; the paper sees boxes of an RCNN, here the places of a trunk's map are the regions.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from regard.catalog.recipes import Claim
from regard.data.batches import Buckets
from regard.papers.neural_talk.network.alignment import Alignment
from regard.papers.neural_talk.network.captioner import NeuralTalk
from regard.papers.neural_talk.task import Align
from regard.training import captioning
from regard.training.captioning import Training
from regard.training.plan import Plan
from regard.training.recipe import Phase, Recipe
from regard.training.schedules import Constant

BACKBONE = "vgg16"
CAPTIONS = Training(
    lr=4e-4,
    epochs=40,
    batch=80,
    optimizer="adam",
    options={"betas": (0.8, 0.999)},
    clip=0.1,
    trunk_lr=1e-5,
    trunk_from=20,
    beam=2,
    finished="expand",
    claim=Claim(
        measure="cider", value=0.922, data="COCO captions", where="README of neuraltalk2", unlike="other test images"
    ),
    where="README and defaults of karpathy/neuraltalk2",
)
RECURRENT = Training(
    lr=1e-3,
    epochs=50,
    batch=100,
    optimizer="rmsprop",
    options={"alpha": 0.999, "eps": 1e-8},
    clip=5.0,
    beam=7,
    finished="stay",
    claim=Claim(
        measure="cider", value=0.66, data="COCO captions", where="Table 2, from memory", unlike="other test images"
    ),
    where="defaults of karpathy/neuraltalk",
)
DRAWN_PLACES: dict[str, Any] = {"lr": 3e-3, "epochs": 8, "batch_size": 64, "optimizer": "adam"}
PLACES: dict[str, Any] = {"lr": 1e-3, "epochs": 15, "batch_size": 100, "optimizer": "sgd", "options": {"momentum": 0.9}}


def neural_talk(
    data: Path | None = None,
    *,
    tiny: bool = False,
    backbone: str = BACKBONE,
    beam: int | None = None,
    least: int | None = None,
) -> Recipe:
    """NeuralTalk2 on COCO's captions, Karpathy's splits, Flickr8k or Flickr30k; the tiny variant on drawn scenes."""
    small = partial(NeuralTalk, backbone="convolutions", embed=48, hidden=96, dropout=0.0)
    make = partial(NeuralTalk, backbone=backbone)
    return captioning.recipe(data, tiny=tiny, make=make, small=small, training=CAPTIONS, beam=beam, least=least)


def recurrent(
    data: Path | None = None,
    *,
    tiny: bool = False,
    backbone: str = BACKBONE,
    beam: int | None = None,
    least: int | None = None,
) -> Recipe:
    """The paper's recurrent network, which sees the image at its first word, on the same data."""
    how: dict[str, Any] = {"cell": "rnn", "once": True}
    small = partial(NeuralTalk, backbone="convolutions", embed=48, hidden=96, dropout=0.0, **how)
    make = partial(NeuralTalk, backbone=backbone, embed=256, hidden=256, **how)
    return captioning.recipe(data, tiny=tiny, make=make, small=small, training=RECURRENT, beam=beam, least=least)


def alignment(data: Path | None = None, *, tiny: bool = False, backbone: str = BACKBONE) -> Recipe:
    """The alignment of words with the places of a map, on the same data."""
    small = partial(Alignment, backbone="convolutions", word=32, hidden=64)
    make = partial(Alignment, backbone=backbone, word=300)
    base = captioning.recipe(data, tiny=tiny, make=make, small=small, training=CAPTIONS)
    plan = base.phases[0].plan
    settings = DRAWN_PLACES if tiny else PLACES
    made = Plan(
        **settings,
        weight_decay=0.0,
        schedule=Constant(),
        warmup=0.0,
        clip=5.0,
        order=Buckets(),
        augment=plan.augment,
        normalise=plan.normalise,
    )
    trains = ("*",) if tiny else base.phases[0].trains
    return Recipe(
        build=base.build,
        train=base.train,
        test=base.test,
        phases=(Phase(name="align", task=Align(), plan=made, trains=trains),),
        start=base.start,
        facts={**base.facts, "training": "Section 3.1 and 4.1"},
        vocabulary=base.vocabulary,
    )
