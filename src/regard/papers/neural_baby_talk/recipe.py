"""Recipe for Neural Baby Talk: COCO's captions, whose words are matched with the objects of its instances.

Neural Baby Talk. Lu, Yang, Batra, Parikh. CVPR 2018, arXiv:1803.09845, Section 4: layers of 1024, words of 512, images
of 576 × 576 with windows of 512 × 512, Adam with a rate of 5e-4 that falls to 0.8 of it every 3 epochs, 30 epochs. The
released code clips each value of the gradient at 0.1, and its trunk stays frozen; here the norm is clipped.

    annotations/captions_train*.json, instances_train*.json, and the images in train*/ or images/train*/
    annotations/captions_val*.json, instances_val*.json, and the images of val*
    annotations/detections_train*.json, detections_val*.json       optional: a detector's results in COCO's form

Without detections the true objects are the regions, which the paper calls the oracle. The words that name a category
are those of `metrics.words.object_words`. Classes and names have the vectors of a file of GloVe (`glove.6B.300d.txt`),
those of several words the mean of the known ones; without a file they are random. The tiny variant is trained on drawn
scenes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from regard.backbones import IMAGENET
from regard.catalog.recipes import Claim
from regard.data import word_vectors
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


SHORT = replace(QUICK, epochs=5, batch=32, lr=5e-3, trunk_lr=5e-3)


def neural_baby_talk(
    data: Path | None = None,
    *,
    tiny: bool = False,
    backbone: str = BACKBONE,
    core: str = "top-down",
    visual: bool = True,
    required: int = 0,
    vectors: str | None = None,
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
        vectors: a text file of GloVe's vectors, of 300 numbers each, or 16 in the tiny variant; None has random ones.
        least: how often a word has to occur.

    Raises: ValueError if `data` is None and `tiny` is false, or an option is out of range; the errors of reading, that
        of the vectors when a training begins.
    """
    if tiny:
        return _tiny(core, visual, required, vectors)
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
        vectors=vectors,
        normalise=IMAGENET,
        augment=Window(SEEN / SIDE),
        facts={"data": str(data)},
    )


def _tiny(core: str, visual: bool, required: int, vectors: str | None) -> Recipe:
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
        vectors=vectors,
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
    vectors: str | None,
    facts: Mapping[str, object],
    **plan: Any,
) -> Recipe:
    task = BabyTalk(words, names, beam=training.beam, longest=training.longest, required=required)
    tiny = training is SHORT
    begin = None if tiny else start
    if vectors is not None:
        begin = partial(_start, names=names, vectors=Path(vectors), trunk=not tiny)
    return Recipe(
        build=build,
        train=Slotted(train, words, names, visual=visual, longest=training.cut),
        test=Slotted(test, words, names, each=False, visual=visual),
        phases=tuple(replace(phase, task=task) for phase in phases(training, words, build, **plan)),
        start=begin,
        facts={
            **facts,
            "vectors": None if vectors is None else Path(vectors).name,
            "words": len(words),
            "classes": len(names.classes),
            "training": training.where,
        },
        vocabulary={
            "words": words,
            "classes": Words((*SPECIAL, *names.classes)),
            "names": Words((*SPECIAL, *names.names)),
        },
        claim=training.claim,
    )


def _start(
    model: nn.Module, state: Mapping[str, Tensor] | None, *, names: ObjectNames, vectors: Path, trunk: bool
) -> None:
    """Loads the vectors of classes and names, and the weights of the trunk.

    Raises: ValueError if the vectors have another width than the network's, or a class or a name has none; the errors
        of reading, and of `training.captioning.start`.
    """
    assert isinstance(model, NeuralBabyTalk)
    parts = [name.split() for name in (*names.classes, *names.names)]
    words = Words.of(parts, least=1)
    found = word_vectors.load(vectors, words)
    width = model.class_vectors.shape[1]
    if found.weight.shape[1] != width:
        raise ValueError(f"vectors={str(vectors)!r}: {found.weight.shape[1]} numbers a word; {width} are needed")
    known = [[word for word in part if word not in found.missing] for part in parts]
    without = [" ".join(part) for part, there in zip(parts, known, strict=True) if not there]
    if without:
        raise ValueError(f"vectors={str(vectors)!r}: no vector of {', '.join(map(repr, without[:5]))}")
    means = torch.stack([found.weight[words.encode(there)[1:-1]].mean(0) for there in known])
    model.class_vectors[1:].copy_(means[: len(names.classes)])  # the first is no class, and no name
    model.naming.vectors[1:].copy_(means[len(names.classes) :])
    if trunk:
        start(model, state)
