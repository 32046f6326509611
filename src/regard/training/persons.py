"""Recipes for re-identification, shared by the papers: images of persons, or tracklets, and drawn persons to try it.

data                    read at     trained on
Market-1501, CUHK03     256 × 128   batches of P persons with K images each, augmented as the authors did
MARS                    256 × 128   the same, of clips of T frames
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from regard import backbones
from regard.backbones import IMAGENET
from regard.checks import choice, flag
from regard.data import persons, tracklets
from regard.data.augmenting import InTurn, Mirror
from regard.data.batches import Augment, Identities
from regard.data.drawn_persons import DrawnPersons, drawn
from regard.data.person_augmenting import Erase
from regard.metrics.retrieval import PRECISIONS, ReRanking
from regard.networks.person import SIZE, TRUNK
from regard.published.naming import torch_names
from regard.tasks.reidentify import Reidentify
from regard.training.plan import Plan
from regard.training.recipe import Phase, Recipe
from regard.training.schedules import Cosine, Schedule

Make = Callable[..., nn.Module]  # channels and classes -> network
IMAGES = "bounding_box_train/, query/ and bounding_box_test/ as of Market-1501, or CUHK03 with its new protocol"
CLIPS = "bbox_train/, bbox_test/ and info/ as of MARS"
WEIGHTS = "resnet50.tv_in1k"  # torchvision's for ImageNet, with which the authors start
FRAMES = 4  # T
# As IAUnet's authors erase: after normalisation, to the means of CIFAR, 0.4914, 0.4822 and 0.4465.
ERASED = InTurn(Mirror(), Erase(fill=(0.485 + 0.229 * 0.4914, 0.456 + 0.224 * 0.4822, 0.406 + 0.225 * 0.4465)))
# The tiny variants: drawn persons.
TRAIN, TEST = 32, 12  # persons
DRAWN_SIZE = (64, 32)
QUICK = Plan(
    epochs=12,
    batch_size=32,
    lr=3e-3,
    weight_decay=5e-4,
    optimizer="adam",
    schedule=Cosine(),
    order=Identities(4),
    augment=Mirror(),
    normalise=((0.45,) * 3, (0.25,) * 3),
)


@dataclass(frozen=True, kw_only=True)
class Training:
    """The training of a network by its authors, by Adam.

    Args:
        lr: the highest learning rate.
        schedule: of the rate.
        epochs: the passes over the data.
        batch, samples: the images in a step, and K of each person.
        once: whether an epoch shows each person once, rather than as many images as there are.
        weight_decay: of all parameters.
        augment: of the images.
        task: arguments of `tasks.reidentify.Reidentify`.
        where: its place in the paper or the released code; what is from memory says so.
    """

    lr: float
    schedule: Schedule
    epochs: int
    batch: int = 64
    samples: int = 4
    once: bool = False
    weight_decay: float = 5e-4
    augment: Augment
    task: Mapping[str, Any] = field(default_factory=dict)
    where: str


def recipe(
    data: Path | None = None,
    *,
    tiny: bool = False,
    make: Make,
    small: Make,
    training: Training,
    quick: Plan = QUICK,
    drawn_size: tuple[int, int] = DRAWN_SIZE,
    video: bool = False,
    size: tuple[int, int] = SIZE,
    boxes: str = "labeled",
    mirror: bool = False,
    rerank: bool = False,
    precision: str = "hits",
) -> Recipe:
    """A recipe for one network for persons; the tiny variant trains on drawn persons.

    Args:
        data: the folder; see `data.persons` and `data.tracklets`.
        tiny: make the tiny variant.
        make, small: the network and its tiny variant.
        training: how the authors trained it. Without masks of parts beside the data, it trains without their term.
        quick: the plan of the tiny variant.
        drawn_size: height and width of the drawn persons, in pixels.
        video: whether the network takes clips.
        size: height and width of the images, in pixels.
        boxes: of CUHK03, `labeled` or `detected`.
        mirror: average the features of an image with those of its mirror image.
        rerank: re-rank the gallery by reciprocal neighbours.
        precision: of mAP, `hits` or `trapezoid`.

    Raises: ValueError if `data` is None and `tiny` is false, or an option is out of range; the errors of reading the
        folder, which name the file.
    """
    flag("mirror", mirror), flag("rerank", rerank), choice("precision", precision, PRECISIONS)
    train: Any
    if tiny:
        # A clip costs as much as four images.
        part, frames = (2, FRAMES) if video else (1, None)
        train, test = drawn(train=TRAIN // part, test=TEST // part, frames=frames, size=drawn_size)
        name, plan = "drawn persons", quick
    elif data is None:
        raise ValueError(f"data=None: {CLIPS if video else IMAGES} is needed (--data); --tiny trains on drawn persons")
    else:
        train, test = (
            tracklets.read(data, size=size, frames=FRAMES) if video else persons.read(data, size=size, boxes=boxes)
        )
        name, plan = str(data), _plan(training, video)
    masked = bool(training.task.get("mask_weight")) and _has_masks(train)
    if training.task.get("mask_weight") and not masked:
        warnings.warn(f"{name}: there are no masks of parts (seg_part4/), so they are not supervised", stacklevel=2)
    classes = len(train.people)
    task = Reidentify(
        classes,
        **{**training.task, **({} if masked else {"mask_weight": 0.0})},
        mirror=mirror,
        reranking=ReRanking() if rerank else None,
        precision=precision,
    )
    facts = {"data": name, "persons": classes, "masks of parts": masked, "training": "tiny" if tiny else training.where}
    facts |= {
        "query": len(test.query),
        "gallery": len(test.gallery),
        "junk": test.junk,
        "not found": test.missing,
    }
    return Recipe(
        build=partial(small if tiny else make, 3, classes=classes),
        train=train,
        test=test,
        phases=(Phase(name="reidentify", task=task, plan=plan),),
        facts=facts,
        start=None if tiny else start,
    )


def start(model: nn.Module, state: Mapping[str, Tensor] | None) -> None:
    """Loads the first weights: torchvision's ResNet-50 for ImageNet, another one by its names, or the same network.

    The attention, the neck and the classifier stay as they are where the weights are of a plain ResNet.

    Raises: OSError if the published weights cannot be loaded; ValueError if those given do not fit.
    """
    own = model.state_dict()
    if state is None:
        state = backbones.build(WEIGHTS, classes=None, pretrained=True).state_dict()
    if "neck.weight" in state:  # as `regard train` writes it
        names = {key: key for key in own if not key.startswith("classify.")}
    else:
        trunk = torch_names(TRUNK.blocks, {}, "", bottleneck=True)
        trunk.pop("classify")
        parts = {key: next((part for part in trunk if key.startswith(f"{part}.")), "") for key in own}
        names = {key: trunk[part] + key.removeprefix(part) for key, part in parts.items() if part}
    given = {}
    for key, theirs in names.items():
        if theirs not in state:
            if theirs.endswith("num_batches_tracked"):
                continue
            raise ValueError(f"{theirs} is missing; a ResNet-50 by torchvision's names, or the same network, is needed")
        if state[theirs].shape != own[key].shape:
            raise ValueError(f"{theirs} has the shape {tuple(state[theirs].shape)}: {tuple(own[key].shape)} is needed")
        given[key] = state[theirs]
    model.load_state_dict(given, strict=False)


def weighing_masks(training: Training, weight: float) -> Training:
    """The same training with another weight of the masks of parts; with 0 they are not supervised."""
    return replace(training, task={**training.task, "mask_weight": weight})


def _has_masks(train: Any) -> bool:
    """Whether samples have `parts`; no sample is read."""
    return isinstance(train, DrawnPersons) or getattr(train, "masks", None) is not None


def _plan(training: Training, video: bool) -> Plan:
    return Plan(
        epochs=training.epochs,
        batch_size=training.batch,
        lr=training.lr,
        weight_decay=training.weight_decay,
        optimizer="adam",
        schedule=training.schedule,
        warmup=0.0,
        decays={"*": 1.0},
        order=Identities(training.samples, once=training.once),
        augment=InTurn(tracklets.Chosen(), training.augment) if video else training.augment,
        normalise=IMAGENET,
    )
