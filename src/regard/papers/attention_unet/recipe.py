"""Recipes for Attention U-Net: on volumes in the layout of the Medical Segmentation Decathlon, and on images.

Attention U-Net: Learning Where to Look for the Pancreas. Oktay et al. MIDL 2018, arXiv:1804.03999, Section 3.

Settings of the paper and of the released configuration for CT: Adam at 1e-4, halved after every 250 of 1000 epochs, L2
1e-6 on all parameters, batches of 2 volumes of 160 × 160 × 96 voxels, rotated by up to 15°, scaled by 0.7 to 1.3 and
flipped within slices; the soft Dice loss. The released configuration names no optimizer, and its code then takes SGD;
the paper says Adam. Volumes are tested through windows of the size of the training.

The tiny variant trains on drawn volumes, whose target lies among bodies that differ from it only by their place.

`images` trains LeeJunHyun's popular 2-D port by the defaults of its script: Adam at 2e-4 with β₁ = 0.5, 100 epochs of
single windows of 224 × 224 pixels. That script draws rate and epochs at random, holds the rate for 70 epochs and has
the binary cross-entropy of one class; here the rate falls linearly, and the loss is the cross-entropy over all classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from regard.checks import whole_numbers
from regard.data import volumes as files
from regard.data.augmenting import InTurn
from regard.data.drawn_volumes import CLASSES, DrawnVolumes
from regard.data.volume_augmenting import Affine, Flips, Window
from regard.papers.attention_unet.network import PORT_WIDTHS, WIDTHS, AttentionUnet
from regard.tasks.volumes import SegmentVolumes
from regard.training.plan import Plan
from regard.training.recipe import Phase, Recipe
from regard.training.schedules import Poly, Steps
from regard.training.segmentation import QUICK, Training, recipe

WINDOW = (96, 160, 160)  # D H W
TINY_SIZE, TINY_TRAIN, TINY_TEST = (16, 24, 24), 48, 24
TINY_WIDTHS = (4, 8, 16)


def volumes(
    data: Path | None = None,
    *,
    tiny: bool = False,
    gates: int = 1,
    window: Sequence[int] = WINDOW,
    spacing: Sequence[float] | None = None,
) -> Recipe:
    """A 3-D Attention U-Net on volumes of one dataset.

    Args:
        data: the folder of the dataset.
        tiny: make the tiny variant.
        gates: on each skip connection but the first: 0, 1 or 2.
        window: depth, height and width of what is trained on and of the windows of the test, in voxels.
        spacing: size of a voxel along depth, height and width, in mm, to which volumes are resampled; None keeps that
            of each file.

    Raises: ValueError if `data` is None and `tiny` is false, or an option is out of range; the errors of the reader.
    """
    if tiny:
        drawn = {part: DrawnVolumes(count=count, size=TINY_SIZE, part=part) for part, count in enumerate(TINY_COUNTS)}
        return Recipe(
            build=partial(AttentionUnet, 1, classes=len(CLASSES), widths=TINY_WIDTHS, gates=gates),
            train=drawn[0],
            test=drawn[1],
            phases=(Phase(name="all", task=SegmentVolumes(len(CLASSES), names=CLASSES), plan=TINY_PLAN),),
            facts={"data": "drawn volumes", "train": TINY_TRAIN, "test": TINY_TEST},
            class_names=CLASSES,
        )
    if data is None:
        raise ValueError(f"data=None: a folder with {files.WANTED} is needed (--data)")
    train, test = files.read(Path(data), spacing=spacing)
    window = whole_numbers("window", window, count=3)
    task = SegmentVolumes(len(train.classes), names=train.classes, window=window)
    channels = len(train[0]["image"])
    return Recipe(
        build=partial(AttentionUnet, channels, classes=len(train.classes), widths=WIDTHS, gates=gates),
        train=train,
        test=test,
        phases=(Phase(name="all", task=task, plan=_plan(window)),),
        facts={"data": Path(data).name, "train": len(train), "test": len(test), "spacing": spacing},
        class_names=train.classes,
    )


def images(
    data: Path | None = None,
    *,
    tiny: bool = False,
    gates: int = 1,
    image_size: int | None = None,
    window: int | None = None,
    scales: Sequence[float] | None = None,
    mirror: bool = False,
) -> Recipe:
    """The 2-D port on a folder of images with label maps.

    Args:
        data, tiny, image_size, window, scales, mirror: as for `training.segmentation.recipe`.
        gates: 1, or 0 for the port's U-Net.

    Raises: as `training.segmentation.recipe`, and ValueError for another number of gates.
    """
    build = partial(AttentionUnet, dims=2, gates=gates, deep_supervision=False, port=True)
    found = recipe(
        data,
        tiny=tiny,
        make=partial(build, widths=PORT_WIDTHS),
        small=partial(build, widths=PORT_TINY_WIDTHS),
        training=PORT_TRAINING,
        quick=PORT_TINY_PLAN,
        image_size=image_size,
        window=window,
        scales=scales,
        mirror=mirror,
    )
    (phase,) = found.phases
    if not tiny:
        plan = replace(phase.plan, optimizer="adam", options={"betas": (0.5, 0.999)}, schedule=Poly(1.0))
        phase = replace(phase, plan=plan)
    return replace(found, phases=(phase,), start=None)


def _plan(window: Sequence[int]) -> Plan:
    return Plan(
        epochs=1000,
        batch_size=2,
        lr=1e-4,
        weight_decay=1e-6,
        optimizer="adam",
        schedule=Steps(at=(250, 500, 750), by=0.5, every="epoch"),
        warmup=0.0,
        decays={"*": 1.0},
        augment=InTurn(Affine(), Flips(), Window(window)),
    )


PORT_TINY_WIDTHS = (8, 16, 32, 64, 64)  # the coarsest of five levels sees the whole of a drawn scene
PORT_TINY_PLAN = replace(QUICK, epochs=4, lr=4e-3)
PORT_TRAINING = Training(
    lr=2e-4,
    weight_decay=0.0,
    batch=1,
    crop=(224, 224),
    epochs=100,
    weights=(1.0,),
    where="LeeJunHyun/Image_Segmentation",
)
TINY_COUNTS = (TINY_TRAIN, TINY_TEST)
TINY_PLAN = Plan(epochs=10, batch_size=4, lr=1e-2, weight_decay=1e-6, optimizer="adam", augment=Flips((0, 1, 2)))
