"""Recipes for semantic segmentation, shared by the papers' networks: any folder of images with label maps.

An image is resized by a factor, drawn from 0.5 to 2 where the authors have no other bounds; a window of a fixed size is
cropped from it, outside the image grey and void, and flipped with probability 1/2. Validation images are seen in their
own size. Stochastic gradient descent with momentum 0.9 decays every parameter, and the rate falls with each step as
(1 − u)^0.9, u the finished share of the training.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from regard import catalog
from regard.backbones import IMAGENET
from regard.catalog.recipes import Claim
from regard.checks import choice, flag, positive, whole
from regard.data import label_maps
from regard.data.augmenting import Crop, InTurn, Mirror, Rescale
from regard.data.far_cue import FarCue, far_cue
from regard.data.label_maps import LabelMaps
from regard.tasks.inference import Inference
from regard.tasks.segment import Segment
from regard.training.plan import Plan
from regard.training.recipe import Phase, Recipe
from regard.training.schedules import Poly

Make = Callable[..., nn.Module]  # channels and classes -> network
FOLDER = "images/ and labels/, or the layout of a published dataset for segmentation"
HARD = 0.7  # the probability above which OHEM drops a pixel, as in the released codes of CCNet and ANN
GREY = 0.45  # pads images; about the mean of photographs, which becomes 0
# The tiny variants: drawn scenes whose regions get their class from a distant marker.
DRAWN = {"size": 32, "train_size": 1000, "test_size": 200}
QUICK = Plan(epochs=5, batch_size=8, lr=2e-3, schedule=Poly(0.9), normalise=((0.3,) * 3, (0.25,) * 3))


@dataclass(frozen=True, kw_only=True)
class Training:
    """The training of a segmentation network by its authors.

    Args:
        lr: the highest learning rate.
        weight_decay: of all parameters.
        batch: the images in a step.
        crop: height and width of the window that is cropped from an image, in pixels.
        resize: the bounds of the factor by which an image is resized before.
        epochs, steps: the passes over the data, or the steps; one of them.
        rates: glob pattern over parameter names -> factor of the learning rate, as for `Plan`.
        weights: the weights of the network's outputs in the loss, the prediction first.
        inference: how the validation images of the paper's number are seen.
        claim: the number that the authors report.
        where: its place in the paper or the released code; what is from memory says so.

    Raises: ValueError unless one of `epochs` and `steps` is given.
    """

    lr: float
    weight_decay: float
    batch: int
    crop: tuple[int, int]
    resize: tuple[float, float] = (0.5, 2.0)
    epochs: int | None = None
    steps: int | None = None
    rates: Mapping[str, float] = field(default_factory=dict)
    weights: tuple[float, ...] = (1.0, 0.4)
    inference: Inference = field(default_factory=Inference)
    claim: Claim | None = None
    where: str

    def __post_init__(self) -> None:
        if (self.epochs is None) == (self.steps is None):
            raise ValueError(f"epochs={self.epochs!r}, steps={self.steps!r}: one of them is needed")

    def passes(self, images: int) -> int:
        """The epochs over a number of images."""
        if self.epochs is not None:
            return self.epochs
        assert self.steps is not None
        return max(1, round(self.steps / -(-images // self.batch)))


def recipe(
    data: Path | None = None,
    *,
    tiny: bool = False,
    make: Make,
    small: Make,
    training: Training,
    quick: Plan = QUICK,
    image_size: int | None = None,
    window: int | None = None,
    scales: Sequence[float] | None = None,
    mirror: bool = False,
    ohem: bool = False,
) -> Recipe:
    """A recipe for one network on a folder of images with label maps; the tiny variant trains on drawn scenes.

    Args:
        data: the folder; see `data.label_maps`.
        tiny: make the tiny variant.
        make, small: the network and its tiny variant.
        training: how the authors trained it.
        quick: the plan of the tiny variant.
        image_size: height and width of the training windows in pixels, in place of the authors'.
        window: height and width of the windows through which a validation image is seen; 0 for the whole image; None
            for what the authors' number is for.
        scales: the factors by which a validation image is resized; None for the authors'.
        mirror: average with the prediction of the mirrored image.
        ohem: train on the pixels whose class has a probability of at most 0.7, and at least on 100,000 of a batch.

    Raises: ValueError if `data` is None and `tiny` is false, or an option is out of range; the errors of reading the
        folder, which name the file.
    """
    inference = _inference(training.inference, window, scales, mirror)
    if image_size is not None:
        positive("image_size", image_size)
    hard = HARD if flag("ohem", ohem) else None
    train: LabelMaps | FarCue
    test: LabelMaps | FarCue
    if tiny:
        if image_size is not None:
            raise ValueError(f"image_size={image_size!r}: None is needed for the tiny variant, whose scenes are drawn")
        train, test = far_cue(**DRAWN)
        inference, name, plan = _inference(Inference(), window, scales, mirror), "far-cue", quick
    elif data is None:
        raise ValueError(f"data=None: a folder with {FOLDER} is needed (--data); --tiny trains on drawn scenes")
    else:
        train, test = found = label_maps.read(data)
        label_maps.checked(*found)
        crop = training.crop if image_size is None else (image_size, image_size)
        name, plan = str(data), _plan(training, crop, len(train))
    task = Segment(len(train.classes), weights=training.weights, names=train.classes, hard=hard, inference=inference)
    changed = {"image size": image_size is not None, "inference": inference != training.inference, "loss": ohem}
    return Recipe(
        build=partial(small if tiny else make, 3, classes=len(train.classes)),
        train=train,
        test=test,
        phases=(Phase(name="segment", task=task, plan=plan),),
        facts={"data": name, "classes": len(train.classes), "training": "tiny" if tiny else training.where},
        class_names=train.classes,
        claim=_unlike(training.claim, *(what for what, differs in changed.items() if differs)),
        start=None if tiny else start,
    )


def named(
    data: Path | None = None,
    *,
    tiny: bool = False,
    trainings: Mapping[str, Training],
    smaller: Mapping[str, Mapping[str, Any]],
    network: str | None = None,
    backbone: str | None = None,
    image_size: int | None = None,
    window: int | None = None,
    scales: Sequence[float] | None = None,
    mirror: bool = False,
    ohem: bool = False,
) -> Recipe:
    """A recipe for a segmentation network known by name.

    Args:
        data, tiny, image_size, window, scales, mirror, ohem: as for `recipe`.
        trainings: name of a network -> how its authors trained it.
        smaller: name of a network -> the arguments of its tiny variant.
        network: a name in `trainings`; None for the first.
        backbone: another trunk, any of timm's.

    Raises: ValueError for another network; LookupError for an unknown trunk; and as `recipe`.
    """
    chosen = next(iter(trainings)) if network is None else choice("network", network, trainings)
    if tiny and backbone is not None:
        raise ValueError(f"backbone={backbone!r}: None is needed for the tiny variant, which has a tiny trunk")
    entry = catalog.get("segmenter").load()
    training = trainings[chosen]
    if backbone is not None:
        training = replace(training, claim=_unlike(training.claim, "backbone"))
    return recipe(
        data,
        tiny=tiny,
        make=partial(entry, name=chosen, **({} if backbone is None else {"backbone": backbone})),
        small=partial(entry, name=chosen, **smaller[chosen]),
        training=training,
        image_size=image_size,
        window=window,
        scales=scales,
        mirror=mirror,
        ohem=ohem,
    )


def start(model: nn.Module, state: Mapping[str, Tensor] | None) -> None:
    """Loads the first weights: the published ones of the trunk, a checkpoint of the trunk, or one of the network.

    Of a checkpoint of the same network, as `regard train` writes it, layers with another number of classes are left.

    Args:
        model: a network with `start_from`, which loads its trunk.
        state: the checkpoint; None for the published weights of the trunk.

    Raises: OSError if the published weights cannot be loaded; ValueError if those given do not fit.
    """
    own = model.state_dict()
    if state is None or not own.keys() & state.keys():
        load: Callable[[Mapping[str, Tensor] | None], None] = model.start_from  # type: ignore[assignment]
        load(state)
        return
    if absent := own.keys() ^ state.keys():
        raise ValueError(
            f"{min(absent)} is in one of both only; weights of the same network or of its trunk are needed"
        )
    other = {key for key, value in own.items() if value.shape != state[key].shape}
    of_classes = {key for key in other if own[key].shape[1:] == state[key].shape[1:]}  # the rows of a classifier
    if other - of_classes:
        raise ValueError(f"{min(other - of_classes)} does not fit; weights of the same network are needed")
    model.load_state_dict({key: value for key, value in state.items() if key not in other}, strict=False)


def _plan(training: Training, crop: tuple[int, int], images: int) -> Plan:
    return Plan(
        epochs=training.passes(images),
        batch_size=training.batch,
        lr=training.lr,
        weight_decay=training.weight_decay,
        optimizer="sgd",
        options={"momentum": 0.9, "nesterov": False},
        schedule=Poly(0.9, every="step"),
        warmup=0.0,
        rates=training.rates,
        decays={"*": 1.0},
        augment=InTurn(Rescale(*training.resize), Crop(*crop, fill=GREY), Mirror()),
        normalise=IMAGENET,
    )


def _inference(published: Inference, window: int | None, scales: Sequence[float] | None, mirror: bool) -> Inference:
    """The published way of seeing an image, with the options that were given."""
    flag("mirror", mirror)
    if window is not None:
        side = whole("window", window, 0)
        published = replace(published, window=side or None, stride=None)
    if scales is not None:
        published = replace(published, scales=tuple(scales))
    return replace(published, mirror=True) if mirror else published


def _unlike(claim: Claim | None, *changed: str) -> Claim | None:
    """The claim of a network that was changed in something, with which no score compares."""
    if claim is None or not changed:
        return claim
    return replace(claim, unlike=", ".join([*filter(None, [claim.unlike]), *(f"another {what}" for what in changed)]))
