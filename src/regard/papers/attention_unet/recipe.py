"""Recipe for Attention U-Net on volumes with label maps, in the layout of the Medical Segmentation Decathlon.

Attention U-Net: Learning Where to Look for the Pancreas. Oktay et al. MIDL 2018, arXiv:1804.03999, Section 3.

Settings of the paper and of the released configuration for CT: Adam at 1e-4, halved after every 250 of 1000 epochs, L2
1e-6 on all parameters, batches of 2 volumes of 160 × 160 × 96 voxels, rotated by up to 15°, scaled by 0.7 to 1.3 and
flipped within slices; the soft Dice loss. The released configuration names no optimizer, and its code then takes SGD;
the paper says Adam. Volumes are tested through windows of the size of the training.

The tiny variant trains on drawn volumes, whose target lies among bodies that differ from it only by their place.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from regard.data import volumes as files
from regard.data.augmenting import InTurn
from regard.data.drawn_volumes import CLASSES, DrawnVolumes
from regard.data.volume_augmenting import Affine, Flips, Window
from regard.papers.attention_unet.network import WIDTHS, AttentionUnet
from regard.tasks.volumes import SegmentVolumes
from regard.training.plan import Plan
from regard.training.recipe import Phase, Recipe
from regard.training.schedules import Steps

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
    window = tuple(window)
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


TINY_COUNTS = (TINY_TRAIN, TINY_TEST)
TINY_PLAN = Plan(epochs=10, batch_size=4, lr=1e-2, weight_decay=1e-6, optimizer="adam", augment=Flips((0, 1, 2)))
