"""Recipes for captioning, shared by the papers' networks: COCO, Karpathy's splits, Flickr8k and Flickr30k.

Images are read as their middle square of 256 × 256; training sees a window of 224 × 224, testing the middle one. They
are not mirrored, since captions say left and right. A network is trained on one caption after the other, and its
sentences, written by beam search, are scored against all captions of the image. The trunk is frozen until the epoch
from which its authors train it, with a rate of its own. The tiny variants are trained on drawn scenes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from regard.backbones import IMAGENET
from regard.catalog.recipes import Claim
from regard.checks import positive
from regard.data import caption_files, coco_captions, karpathy
from regard.data.augmenting import Centre, Crop, Prepared
from regard.data.batches import Buckets, Normalisation
from regard.data.scenes import scenes
from regard.data.words import Words
from regard.ops.beam_search import Penalty
from regard.tasks.caption import Caption
from regard.training.plan import Plan
from regard.training.recipe import Phase, Recipe
from regard.training.schedules import Constant, Schedule, Steps

Make = Callable[..., nn.Module]  # channels and vocabulary -> network
READERS = (karpathy, coco_captions, caption_files)
WANTED = (
    "annotations/captions_*.json of COCO with its images, dataset_*.json of Karpathy's splits, or the token files of "
    "Flickr8k or Flickr30k"
)
READ, SEEN = 256, 224  # pixels on a side of the images
DRAWN: Mapping[str, Any] = {"train_size": 200, "test_size": 50, "size": 32}
NORMALISE: Normalisation = ((0.3,) * 3, (0.3,) * 3)  # of drawn scenes
TRUNK = "encoder."  # what the names of the parameters of a captioner's image encoder begin with


@dataclass(frozen=True, kw_only=True)
class Training:
    """The training of a captioner by its authors.

    Args:
        lr: the highest learning rate.
        epochs: the passes over the captions.
        batch: the captions in a step.
        optimizer, options, weight_decay, clip: as for `Plan`; a release that clips each value of the gradient is
            trained here with its norm clipped.
        falls: every how many epochs the rate falls, and its factor then; None keeps it.
        trunk_lr: the learning rate of the trunk; 0 never trains it.
        trunk_from: the epochs in which the trunk is frozen, from the first one.
        smoothing, beam, longest, finished, penalty: as for `tasks.caption.Caption`.
        least: how often a word has to occur in the training captions.
        cut: the number of words after which a training caption is cut.
        claim: the number that the authors report.
        where: its place in the paper or the released code; what is from memory says so.

    Raises: ValueError if an argument is out of range.
    """

    lr: float
    epochs: int
    batch: int = 64
    optimizer: str = "adam"
    options: Mapping[str, Any] = field(default_factory=dict)
    weight_decay: float = 0.0
    clip: float | None = None
    falls: tuple[int, float] | None = None
    trunk_lr: float = 0.0
    trunk_from: int = 0
    smoothing: float = 0.0
    beam: int = 3
    longest: int = 20
    finished: str = "shrink"
    penalty: Penalty = "none"
    least: int = 5
    cut: int = 16
    claim: Claim | None = None
    where: str

    def __post_init__(self) -> None:
        positive("epochs", self.epochs)
        if not 0 <= self.trunk_from <= self.epochs:
            raise ValueError(f"trunk_from={self.trunk_from!r}: 0 to epochs={self.epochs} is needed")

    def task(self, words: Words) -> Caption:
        """The task with a vocabulary."""
        how: dict[str, Any] = {"finished": self.finished, "penalty": self.penalty, "smoothing": self.smoothing}
        return Caption(words, beam=self.beam, longest=self.longest, **how)


# Of a tiny variant: it is trained with its trunk from the first step, and scored greedily.
QUICK = Training(lr=8e-3, epochs=7, batch=64, clip=5.0, trunk_lr=8e-3, beam=1, least=1, where="tiny")


def recipe(
    data: Path | None = None,
    *,
    tiny: bool = False,
    make: Make,
    small: Make,
    training: Training,
    quick: Training = QUICK,
    view: Callable[[Any], Any] | None = None,
    beam: int | None = None,
    least: int | None = None,
) -> Recipe:
    """A recipe for one captioner; the tiny variant is trained on drawn scenes.

    Args:
        data: the folder of the dataset.
        tiny: make the tiny variant.
        make, small: the network and its tiny variant, called with the channels of what is seen and `vocabulary`.
        training: how the authors trained it.
        quick: how the tiny variant is trained.
        view: what the network sees of drawn scenes, of the training and of the test dataset, where it is not their
            images: `lambda data: data.regions()`.
        beam: the number of hypotheses, in place of the authors'.
        least: how often a word has to occur, in place of the authors'.

    Raises: ValueError if `data` is None and `tiny` is false, or an option is out of range; the errors of reading the
        folder, which name the file.
    """
    chosen = quick if tiny else training
    chosen = replace(
        chosen,
        beam=chosen.beam if beam is None else positive("beam", beam),
        least=chosen.least if least is None else positive("least", least),
    )
    train: Any
    test: Any
    if tiny:
        train, drawn = scenes(**DRAWN)
        test, name, normalise = drawn.images(), "scenes", NORMALISE
        if view is not None:
            train, test = view(train), view(test)
    elif data is None:
        raise ValueError(f"data=None: a folder with {WANTED} is needed (--data); --tiny trains on drawn scenes")
    else:
        train, test = read(data, image_size=READ, least=chosen.least, longest=chosen.cut)
        test, name, normalise = Seen(test, Centre(SEEN)), str(data), IMAGENET
    words: Words = train.words
    sample = train[0]
    image = "image" in sample
    build = partial(
        small if tiny else make,
        sample["image"].shape[0] if image else sample["features"].shape[-1],
        vocabulary=len(words),
    )
    facts = {"data": name, "words": len(words), "training": chosen.where}
    return Recipe(
        build=build,
        train=train,
        test=test,
        phases=phases(
            chosen,
            words,
            build,
            normalise=normalise if image else None,
            augment=None if tiny or not image else Crop(SEEN, SEEN),
        ),
        start=None if tiny else start,
        facts=facts,
        vocabulary=words,
        claim=training.claim if (beam, least) == (None, None) else _changed(training.claim),
    )


def read(folder: Path, *, image_size: int, least: int, longest: int) -> tuple[Any, Any]:
    """The training and the test captions of a folder, by the layout that its files show.

    Raises: ValueError if it has none of the layouts; the errors of the reader, which name the file.
    """
    for reader in READERS:
        if reader.found(folder):
            found: tuple[Any, Any] = reader.load(folder, image_size=image_size, least=least, longest=longest)
            return found
    raise ValueError(f"{folder}: {WANTED} is needed")


def phases(training: Training, words: Words, build: Callable[[], nn.Module], **plan: Any) -> tuple[Phase, ...]:
    """The phases of a training: with a frozen trunk, and with the trunk at its own rate.

    Args:
        training: how the authors trained it.
        words: the vocabulary.
        build: makes the network, whose trunk is its part `encoder`; asked for the names of its parameters.
        plan: further arguments of the plans, such as `augment`.
    """
    others, trunk = behind_trunk(build)
    task = training.task(words)
    if not trunk:
        return (Phase(name="caption", task=task, plan=_plan(training, 0, training.epochs, {}, plan)),)
    frozen = training.trunk_from if training.trunk_lr else training.epochs
    found = []
    if frozen:
        found.append(Phase(name="caption", task=task, plan=_plan(training, 0, frozen, {}, plan), trains=others))
    if frozen < training.epochs:
        rates = {f"{TRUNK}*": training.trunk_lr / training.lr}
        made = _plan(training, frozen, training.epochs, rates, plan)
        found.append(Phase(name="fine-tune" if frozen else "caption", task=task, plan=made))
    return tuple(found)


def behind_trunk(build: Callable[[], nn.Module]) -> tuple[tuple[str, ...], bool]:
    """Glob patterns of the parameters of all but the trunk, and whether there is a trunk."""
    with torch.device("meta"):
        patterns = dict.fromkeys(_pattern(name) for name, _ in build().named_parameters())
    others = tuple(pattern for pattern in patterns if not pattern.startswith(TRUNK))
    return others, len(others) < len(patterns)


def start(model: nn.Module, state: Mapping[str, Tensor] | None) -> None:
    """Loads the first weights of a captioner's trunk: those of a checkpoint of the trunk, or the published ones.

    Raises: OSError if the published weights cannot be loaded; ValueError if those given do not fit.
    """
    load: Callable[[Mapping[str, Tensor] | None], None] = model.start_from  # type: ignore[assignment]
    load(state)


class Seen(Prepared):
    """A dataset of captions whose images are prepared without randomness; it is collated as the captions are."""

    @property
    def collate_fn(self) -> Callable[..., Mapping[str, Any]]:
        found: Callable[..., Mapping[str, Any]] = self.data.collate_fn  # type: ignore[attr-defined]
        return found


def _pattern(name: str) -> str:
    part, dot, _ = name.partition(".")
    return f"{part}.*" if dot else part


def _plan(training: Training, first: int, last: int, rates: Mapping[str, float], further: Mapping[str, Any]) -> Plan:
    """The plan of the epochs from `first` to before `last` of a training."""
    schedule: Schedule = Constant()
    lr = training.lr
    if training.falls is not None:
        every, by = training.falls
        lr *= by ** (first // every)
        at = tuple(float(epoch - first) for epoch in range(every, last, every) if epoch > first)
        schedule = Steps(at=at, by=by, every="epoch") if at else schedule
    return Plan(
        epochs=last - first,
        batch_size=training.batch,
        lr=lr,
        weight_decay=training.weight_decay,
        optimizer=training.optimizer,
        options=training.options,
        schedule=schedule,
        warmup=0.0,
        rates=rates,
        clip=training.clip,
        order=Buckets(),
        **further,
    )


def _changed(claim: Claim | None, *, what: str = "another beam or vocabulary") -> Claim | None:
    if claim is None:
        return None
    return replace(claim, unlike=", ".join(part for part in (claim.unlike, what) if part))
