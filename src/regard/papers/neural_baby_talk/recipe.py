"""Recipe for Neural Baby Talk: COCO's captions, whose words are matched with the objects of its instances.

Neural Baby Talk. Lu, Yang, Batra, Parikh. CVPR 2018, arXiv:1803.09845, Section 4: layers of 1024, words of 512, images
of 576 × 576 with windows of 512 × 512, Adam with a rate of 5e-4 that falls to 0.8 of it every 3 epochs, 30 epochs. The
released code clips each value of the gradient at 0.1, and its trunk stays frozen; here the norm is clipped.

    annotations/captions_train*.json, instances_train*.json, and the images in train*/ or images/train*/
    annotations/captions_val*.json, instances_val*.json, and the images of val*
    annotations/detections_train*.json, detections_val*.json       optional: a detector's results in COCO's form

Without detections the true objects are the regions, which the paper calls the oracle. The words that name a category
are those of `metrics.words.object_words`. The tiny variant is trained on drawn scenes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from regard.backbones import IMAGENET
from regard.catalog.recipes import Claim
from regard.data.object_names import ObjectNames
from regard.data.scenes import scenes
from regard.data.words import Words
from regard.ops.words import SPECIAL
from regard.papers.neural_baby_talk.network import NeuralBabyTalk
from regard.papers.neural_baby_talk.slots.drawings import drawn, drawn_names
from regard.papers.neural_baby_talk.slots.photographs import SEEN, SIDE, WANTED, Window, read
from regard.papers.neural_baby_talk.slots.slots import Described, Slotted
from regard.papers.neural_baby_talk.task import BabyTalk
from regard.training.captioning import DRAWN, NORMALISE, QUICK, Training, phases, start
from regard.training.recipe import Recipe

BACKBONE = "resnet101"
TRAINING = Training(
    lr=5e-4,
    epochs=30,
    batch=100,
    clip=0.1,
    falls=(3, 0.8),
    longest=20,
    cut=20,
    claim=Claim(
        measure="cider",
        value=1.072,
        data="COCO captions",
        where="Table 2, from memory",
        unlike="Karpathy's splits, and the regions of a detector",
    ),
    where="Section 4 and jiasenlu/NeuralBabyTalk, opts.py",
)


SHORT = replace(QUICK, epochs=6)


def neural_baby_talk(
    data: Path | None = None,
    *,
    tiny: bool = False,
    backbone: str = BACKBONE,
    core: str = "top-down",
    visual: bool = True,
    required: int = 0,
    least: int = TRAINING.least,
) -> Recipe:
    """Neural Baby Talk on COCO's captions and instances; the tiny variant on drawn scenes.

    Args:
        data: the folder of COCO.
        tiny: make the tiny variant.
        backbone: the trunk, a network of timm's.
        core: "top-down" or "att2in2".
        visual: False makes every word textual: the control without a pointer.
        required: how many regions every sentence has to name, by constrained beam search.
        least: how often a word has to occur.
    """
    if tiny:
        return _tiny(core, visual, required)
    if data is None:
        raise ValueError(f"data=None: a folder with {WANTED} is needed (--data); --tiny trains on drawn scenes")
    train, test, names = read(data)
    words = Words.of((caption for one in train for caption in one.captions), least=least)
    build = partial(NeuralBabyTalk, 3, **_sizes(words, names), core=core, backbone=backbone)
    return _recipe(
        train,
        test,
        words,
        names,
        build,
        replace(TRAINING, claim=TRAINING.claim if visual and not required else None),
        visual=visual,
        required=required,
        normalise=IMAGENET,
        augment=Window(SEEN / SIDE),
        facts={"data": str(data)},
    )


def _tiny(core: str, visual: bool, required: int) -> Recipe:
    train, test = scenes(**DRAWN)
    names = drawn_names(train)
    words = train.words
    sizes: dict[str, Any] = {"width": 48, "embedding": 32, "hidden": 32, "word_vector": 16, "dropout": 0.0}
    build = partial(NeuralBabyTalk, 3, **_sizes(words, names), **sizes, core=core, backbone="convolutions")
    return _recipe(
        drawn(train),
        drawn(test),
        words,
        names,
        build,
        SHORT,
        visual=visual,
        required=required,
        normalise=NORMALISE,
        facts={"data": "scenes"},
    )


def _sizes(words: Words, names: ObjectNames) -> dict[str, Any]:
    return {"vocabulary": len(words), "classes": len(names.classes) + 1, "names": names.owners}


def _recipe(
    train: Sequence[Described],
    test: Sequence[Described],
    words: Words,
    names: ObjectNames,
    build: Callable[[], nn.Module],
    training: Training,
    *,
    visual: bool,
    required: int,
    facts: Mapping[str, object],
    **plan: Any,
) -> Recipe:
    task = BabyTalk(words, names, beam=training.beam, longest=training.longest, required=required)
    tiny = training is SHORT
    return Recipe(
        build=build,
        train=Slotted(train, words, names, visual=visual, longest=training.cut),
        test=Slotted(test, words, names, each=False, visual=visual),
        phases=tuple(replace(phase, task=task) for phase in phases(training, words, build, **plan)),
        start=None if tiny else start,
        facts={**facts, "words": len(words), "classes": len(names.classes), "training": training.where},
        vocabulary={
            "words": words,
            "classes": Words((*SPECIAL, *names.classes)),
            "names": Words((*SPECIAL, *names.names)),
        },
        claim=training.claim,
    )
