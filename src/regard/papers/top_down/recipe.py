"""Recipes for Bottom-Up and Top-Down: captions, with cross-entropy and then the self-critical loss, and answers.

Bottom-Up and Top-Down Attention for Image Captioning and Visual Question Answering. Anderson, He, Buehler, Teney,
Johnson, Gould, Zhang. CVPR 2018, arXiv:1707.07998. Captions: the released solvers of peteanderson80/Up-Down-Captioner,
60,000 steps with two cards' batches of 50, the rate falling linearly from 0.01; then 1,000 steps on CIDEr-D.
Answers: hengyuan-hu/bottom-up-attention-vqa, Adamax with batches of 512, gradients clipped at a norm of 0.25.

`features` is a file of regions, as `regard regions` and the authors write them; without it the network attends to the
positions of a trunk's map, the paper's ResNet baseline. The tiny variants see the boxes of drawn scenes.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from regard.backbones import IMAGENET
from regard.catalog.recipes import Claim
from regard.checks import flag, positive
from regard.data import vqa, word_vectors
from regard.data.augmenting import Centre, Crop
from regard.data.batches import Buckets
from regard.data.bottom_up import BottomUp
from regard.data.scenes import scenes
from regard.data.words import Words
from regard.papers.top_down.network import TopDownAnswerer, TopDownCaptioner
from regard.papers.top_down.regions import RegionCaptions, of_images
from regard.tasks.answer import Answer
from regard.tasks.caption import Caption
from regard.tasks.self_critical import SelfCritical, frequencies
from regard.training import captioning
from regard.training.plan import Plan
from regard.training.recipe import Phase, Recipe
from regard.training.schedules import Constant, Poly

BACKBONE = "resnet101"
LONGEST, LEAST = 20, 5
READ, SEEN = 448, 448  # pixels on a side of the images of questions
DRAWN: dict[str, Any] = {"train_size": 150, "test_size": 40, "size": 32}
CAFFE: dict[str, Any] = {
    "batch_size": 100,
    "optimizer": "sgd",
    "options": {"momentum": 0.9, "nesterov": False},
    "weight_decay": 5e-4,
    "warmup": 0.0,
    "clip": 10.0,
    "order": Buckets(),
}
CLAIM = Claim(
    measure="cider",
    value=1.135,
    data="COCO captions",
    where="README of Up-Down-Captioner, cross-entropy",
)
OPTIMISED = Claim(
    measure="cider",
    value=1.201,
    data="COCO captions",
    where="README of Up-Down-Captioner, CIDEr optimised",
)


def top_down(
    data: Path | None = None,
    *,
    tiny: bool = False,
    features: str | None = None,
    backbone: str = BACKBONE,
    self_critical: bool = True,
    beam: int = 5,
) -> Recipe:
    """Captions on COCO, Karpathy's splits, Flickr8k or Flickr30k.

    Args:
        data: the folder of the captions and their images.
        tiny: make the tiny variant, on drawn scenes.
        features: the file of regions; None attends to the map of `backbone`.
        backbone: the trunk where there are no regions.
        self_critical: train on CIDEr-D after the cross-entropy.
        beam: the number of hypotheses.

    Raises: ValueError if `data` is None and `tiny` is false, or an option is out of range; the errors of reading.
    """
    positive("beam", beam)
    flag("self_critical", self_critical)
    train: Any
    test: Any
    if tiny:
        train, drawn = scenes(**DRAWN)
        train, test = train.regions(), drawn.regions().images()
        sizes: dict[str, Any] = {"embedding": 48, "hidden": 96, "scores": 48}
        build = partial(TopDownCaptioner, train[0]["features"].shape[1], vocabulary=len(train.words), **sizes)
        quick: dict[str, Any] = {"batch_size": 64, "weight_decay": 0.0, "clip": 5.0, "order": Buckets()}
        plans = [Plan(epochs=7, lr=8e-3, **quick), Plan(epochs=1, lr=5e-4, **quick)]
        beam = 1
    elif data is None:
        raise ValueError(f"data=None: a folder with {captioning.WANTED} is needed (--data); --tiny draws scenes")
    else:
        train, test = captioning.read(data, image_size=captioning.READ, least=LEAST, longest=LONGEST)
        how: dict[str, Any] = {}
        if features is None:
            test = captioning.Seen(test, Centre(captioning.SEEN))
            how = {"normalise": IMAGENET, "augment": Crop(captioning.SEEN, captioning.SEEN)}
            build = partial(TopDownCaptioner, 3, vocabulary=len(train.words), backbone=backbone)
        else:
            regions = BottomUp(Path(features))
            train, test = RegionCaptions(train, regions), RegionCaptions(test, regions)
            width = train[0]["features"].shape[1]
            build = partial(TopDownCaptioner, width, vocabulary=len(train.words))
        plans = [
            Plan(epochs=11, lr=0.01, schedule=Poly(1.0), **CAFFE, **how),
            Plan(epochs=1, lr=0.001, schedule=Constant(), **CAFFE, **how),
        ]
    words: Words = train.words
    task = Caption(words, beam=beam, longest=LONGEST)
    trains = ("*",) if tiny or features is not None else ("embed.*", "core.*", "predict.*")
    phases = [Phase(name="caption", task=task, plan=plans[0], trains=trains)]
    if self_critical:
        reward = SelfCritical(task, frequencies(_references(train)))
        phases.append(Phase(name="self-critical", task=reward, plan=plans[1], trains=trains))
    return Recipe(
        build=build,
        train=train,
        test=test,
        phases=tuple(phases),
        task=task,
        start=None if tiny or features is not None else captioning.start,
        facts={"data": "scenes" if tiny else str(data), "words": len(words), "regions": tiny or features is not None},
        vocabulary=words,
        claim=None if tiny or features is None else OPTIMISED if self_critical else CLAIM,
    )


def top_down_vqa(
    data: Path | None = None,
    *,
    tiny: bool = False,
    features: str | None = None,
    vectors: str | None = None,
    backbone: str = BACKBONE,
    scores: str = "product",
) -> Recipe:
    """Answers to the questions of VQA v2.

    Args:
        data: the folder of questions, answers and, without `features`, images.
        tiny: make the tiny variant, on drawn scenes.
        features: the file of regions; None attends to the map of `backbone`.
        vectors: a text file of GloVe's vectors of 300 numbers, with which the words start; None starts at random.
        backbone: the trunk where there are no regions.
        scores: "gated-tanh" as in the paper, or hengyuan-hu's "rectified" or "product".

    Raises: ValueError if `data` is None and `tiny` is false, or an option is out of range; the errors of reading.
    """
    train: Any
    test: Any
    if tiny:
        drawn = scenes(**DRAWN)
        train, test = (one.regions().questions() for one in drawn)
        sizes: dict[str, Any] = {"embedding": 24, "hidden": 64}
        plan = Plan(epochs=6, batch_size=64, lr=5e-3, weight_decay=0.0, optimizer="adamax", clip=0.25, order=Buckets())
    elif data is None:
        raise ValueError("data=None: a folder with VQA v2's questions and annotations is needed (--data); --tiny draws")
    else:
        regions = None if features is None else of_images(Path(features))
        train, test = vqa.load(data, image_size=READ, regions=regions)
        sizes = {"hidden": 1024, "dropout": 0.0 if scores == "gated-tanh" else 0.5}
        plan = Plan(
            epochs=30, batch_size=512, lr=2e-3, weight_decay=0.0, optimizer="adamax", clip=0.25, schedule=Constant(),
            warmup=0.0, order=Buckets(), normalise=IMAGENET if features is None else None,
        )  # fmt: skip
    words, choices = train.question_words, tuple(train.answers)
    sample = train[0]
    if "features" in sample:
        sizes["channels"] = sample["features"].shape[1]
    else:
        sizes |= {"channels": 3, "backbone": backbone}
    trains = ("*",) if "features" in sample else ("embed.*", "input.*", "state.*", "attention.*", "of_*", "answer.*")
    return Recipe(
        build=partial(TopDownAnswerer, vocabulary=len(words), answers=len(choices), scores=scores, **sizes),
        train=train,
        test=test,
        phases=(Phase(name="answer", task=Answer(len(choices)), plan=plan, trains=trains),),
        start=None if tiny else partial(_start, words=words, vectors=vectors),
        facts={"data": "scenes" if tiny else str(data), "words": len(words), "answers": len(choices)},
        class_names=choices,
        vocabulary=words,
    )


def _references(train: Any) -> list[Any]:
    """The captions of each training image."""
    if hasattr(train, "count"):  # drawn scenes
        return [train.captions(scene) for scene in range(train.count)]
    return [photo.captions for photo in getattr(train, "captions", train).photos]


def _start(model: nn.Module, state: Mapping[str, Tensor] | None, *, words: Words, vectors: str | None) -> None:
    """Loads GloVe's vectors and the weights of the trunk, where there are any.

    Raises: ValueError if the vectors have another width than the words; the errors of reading.
    """
    assert isinstance(model, TopDownAnswerer)
    if vectors is not None:
        found = word_vectors.load(Path(vectors), words)
        if found.weight.shape != model.embed.weight.shape:
            raise ValueError(f"vectors={vectors!r}: {model.embed.embedding_dim} numbers a word are needed")
        model.embed.weight.data.copy_(found.weight)
    model.start_from(state)
