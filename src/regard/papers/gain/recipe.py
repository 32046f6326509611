"""Recipes for GAIN: a guided classifier, and a segmentation learned from its maps by SEC.

Tell Me Where to Look: Guided Attention Inference Network. Li, Wu, Peng, Ernst, Fu. CVPR 2018, arXiv:1802.10171,
Section 4. Seed, Expand and Constrain. Kolesnikov, Lampert. ECCV 2016, arXiv:1603.06098, Section 4.

`guided` trains a classifier on images whose classes are known, read from label maps; some images keep the map itself,
which makes it GAIN_ext. `seeded` opens the trained classifier, and trains DeepLab-LargeFOV on the seeds that it gives.
The threshold of the seeds comes from a share of the training images that neither trains the segmentation nor scores the
seeds; result.json has the whole curve of both shares.

Deviations: batch, rate and epochs of GAIN are not known here; SEC's are from memory: batches of 15, a rate of 1e-3 that
    falls tenfold every 2,000 of 8,000 steps, weight decay 5e-4. SEC takes its background seeds from a saliency method;
    here they are the places where all maps are low.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import torch
from torch import Generator, Tensor, nn
from torch.utils.data import Subset

from regard import catalog
from regard.backbones import IMAGENET
from regard.checks import number, whole
from regard.data import biased_digits, label_maps
from regard.data.augmenting import Mirror
from regard.data.batches import Normalisation
from regard.data.few_masks import FewMasks, Tagged
from regard.data.label_maps import LabelMaps
from regard.papers.gain.network import GAIN
from regard.papers.gain.seeded_maps import SeededMaps, SketchedSeeds, curve
from regard.papers.gain.seeding import Decay, Seeded
from regard.papers.gain.task import Guide
from regard.saved.opening import open_network
from regard.training.plan import Plan
from regard.training.recipe import Phase, Recipe
from regard.training.schedules import Steps

FOLDER = "images/ and labels/, or VOC2012's layout, with the background as class 0"
OWN: Normalisation = ((0.4,) * 3, (0.25,) * 3)
SIZE, STUDENT = 224, 321
ENLARGED = 3  # of the digits for the segmentation network, whose map is a fourth of the image
SCORED = 200  # training images whose seeds are scored
SKETCHED = 320  # digits that train the tiny variant; the next hundred score it
SMALL = Decay(there=0.95, background=0.99)  # of maps of 20 × 20, on which a digit has two dozen pixels


def guided(
    data: Path | None = None,
    *,
    tiny: bool = False,
    masks: int = 200,
    backbone: str = "vgg16",
    image_size: int = SIZE,
    score: str = "sigmoid",
) -> Recipe:
    """A classifier whose maps are trained.

    Args:
        data: a folder of images with label maps, of which class 0 is the background.
        tiny: a small network on digits whose background agrees with their class in 95 % of the training images.
        masks: how many training images keep their label map; 0 trains GAIN without the third stream.
        backbone: any classifier of timm's.
        image_size: side of the images, in pixels.
        score: of the image without what the map shows: "logit", as in the paper's equation, "sigmoid" or "softmax".

    Raises: ValueError if `data` is None and `tiny` is false, or an option is out of range; the errors of reading the
        folder.
    """
    if tiny:
        return _digits(masks, score)
    train, val = _read(data, image_size)
    classes = train.classes[1:]
    kept = _order(len(train))[: whole("masks", masks, 0, len(train))]
    plan = Plan(
        epochs=15, batch_size=16, lr=1e-3, weight_decay=5e-4, optimizer="sgd",
        augment=Mirror(), normalise=IMAGENET, clip=5.0, rates={"classifier.head.*": 10.0} if "vgg" in backbone else {},
    )  # fmt: skip
    return Recipe(
        build=partial(GAIN, 3, classes=len(classes), backbone=backbone),
        train=Tagged(train, len(classes), kept),
        test=Tagged(val, len(classes)),
        phases=(Phase(name="guide", task=Guide(len(classes), score=score, several=True), plan=plan),),
        facts={"data": str(data), "masks": len(kept)},
        class_names=classes,
        start=_start,
    )


def _digits(masks: int, score: str) -> Recipe:
    found = biased_digits.load()
    classes = len(found.classes)
    few = whole("masks", masks, 0, len(found.train))
    plan = Plan(epochs=12, batch_size=32, lr=1e-2, normalise=OWN, clip=1.0)
    return Recipe(
        build=partial(GAIN, 3, classes=classes, backbone=None, widths=(16, 32, 32)),
        train=FewMasks(found.train, few),
        test=found.test,
        phases=(Phase(name="guide", task=Guide(classes, alpha=0.1, omega=100.0, score=score), plan=plan),),
        facts={"data": found.name, "masks": few},
        class_names=found.classes,
    )


def seeded(
    data: Path | None = None,
    *,
    tiny: bool = False,
    seeds: str | None = None,
    threshold: float | None = None,
    held: int = 100,
    backbone: str | None = None,
) -> Recipe:
    """A segmentation network that learns from the seeds of a trained GAIN: seed, expand, constrain.

    Args:
        data: the folder on which the GAIN was trained.
        tiny: a small network on digits, whose seeds are drawn from the digits' pixels.
        seeds: the run folder of the GAIN, or its weights.
        threshold: of the seeds, above 0 and at most 1; None chooses it on the held images.
        held: training images set apart for that; their label maps are read.
        backbone: a network of timm's in place of VGG-16.

    Raises: ValueError if `data` or `seeds` is None and `tiny` is false, or an option is out of range; the errors of
        opening the weights and of reading the folder.
    """
    student = catalog.get("attention_to_scale").load()  # at one scale, DeepLab-LargeFOV
    single = {"scales": (1.0,), "merge": "average", "extra": False}
    if tiny:
        return _sketched(partial(student, **single))
    train, val = _read(data, STUDENT)
    if seeds is None:
        raise ValueError('seeds=None: the run folder of a trained GAIN is needed (--options \'{"seeds": "RUN"}\')')
    opened = open_network(weights=Path(seeds))
    if not isinstance(opened.model, GAIN) or opened.model.classes != len(train.classes) - 1:
        raise ValueError(f"seeds={seeds!r}: a GAIN of {len(train.classes) - 1} classes is needed")
    normalise = opened.normalise or IMAGENET
    order = _order(len(train))
    apart = order[: whole("held", held, 1, len(train) - 1)]
    rest = order[len(apart) :]
    classes = len(train.classes) - 1
    scored = {}
    for name, chosen in (("held", apart), ("train", rest[:SCORED])):
        part = train.subset(chosen)
        truths = [part[i]["mask"] for i in range(len(part))]
        scored[name] = curve(opened.model, Tagged(part, classes), truths, normalise, classes)
    best = scored["held"].best if threshold is None else number("threshold", threshold, above=0, most=1)
    epochs = max(1, round(8000 * 15 / len(rest)))
    near = min(scored["train"].thresholds, key=lambda t: abs(t - best))
    plan = Plan(
        epochs=epochs,
        batch_size=15,
        lr=1e-3,
        weight_decay=5e-4,
        optimizer="sgd",
        options={"momentum": 0.9, "nesterov": False},
        schedule=Steps(at=(0.25 * epochs, 0.5 * epochs, 0.75 * epochs), by=0.1),
        rates={"classify.*": 10.0},
        normalise=IMAGENET,
    )
    return Recipe(
        build=partial(student, 3, classes=classes + 1, backbone=backbone, **single),
        train=SeededMaps(Tagged(train.subset(rest), classes), opened.model, normalise, threshold=best),
        test=val.resized_to(STUDENT, own=True),
        phases=(Phase(name="sec", task=Seeded(classes), plan=plan),),
        facts={
            "data": str(data),
            "threshold": best,
            "seeds_miou": scored["train"].curve[near],
            "seeds_curve": {name: {str(t): miou for t, miou in one.curve.items()} for name, one in scored.items()},
        },
        class_names=train.classes,
        start=_start,
    )


def _sketched(student: partial[nn.Module]) -> Recipe:
    found = biased_digits.load(agree=1.0)  # the hue says the class, so that what is left to learn is where the digit is
    classes = len(found.classes)
    digits = SketchedSeeds(found.train, classes, enlarge=ENLARGED)
    plan = Plan(epochs=6, batch_size=16, lr=5e-3, normalise=OWN, clip=1.0)
    return Recipe(
        build=partial(
            student,
            3,
            classes=classes + 1,
            backbone="test_resnet",
            output_stride=4,
            features=48,
            dilation=2,
            dropout=0.0,
        ),
        train=Subset(digits, range(SKETCHED)),
        test=Subset(digits, range(SKETCHED, SKETCHED + 100)),
        phases=(Phase(name="sec", task=Seeded(classes, decay=SMALL, boundary=0.3, steps=3), plan=plan),),
        facts={"data": found.name},
        class_names=("background", *found.classes),
    )


def _read(data: Path | None, size: int) -> tuple[LabelMaps, LabelMaps]:
    if data is None:
        raise ValueError(f"data=None: a folder with {FOLDER} is needed (--data); --tiny trains on embedded digits")
    train, val = label_maps.read(Path(data))
    return train.resized_to(size), val.resized_to(size)


def _order(count: int) -> list[int]:
    order: list[int] = torch.randperm(count, generator=Generator().manual_seed(0)).tolist()
    return order


def _start(model: nn.Module, state: Mapping[str, Tensor] | None) -> None:
    model.start_from(state)  # type: ignore[operator]
