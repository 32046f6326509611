"""Recipe for attention to scale: any folder of images with label maps.

Attention to Scale: Scale-Aware Semantic Image Segmentation. Chen, Yang, Wang, Xu, Yuille. CVPR 2016, arXiv:1511.03339,
Section 4, from memory: batches of 30 windows of 321 pixels, a rate of 0.001 and ten times as high for the classifier,
momentum 0.9, weight decay 5e-4, and a cross-entropy of weight 1 for the merged scores and for those of each scale.

Deviations: the paper multiplies the rate by 0.1 after 2,000 steps; here it falls with each step, and the 6,000 steps
    are DeepLab's. VGG-16 starts from timm's weights for ImageNet.

The tiny variant sees drawn shapes of three sizes at two scales, through a tiny network of timm's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from regard.checks import flag
from regard.data.sized_shapes import SizedShapes
from regard.papers.attention_to_scale.network import AttentionToScale
from regard.tasks.segment import Segment
from regard.training.plan import Plan
from regard.training.recipe import Phase, Recipe
from regard.training.schedules import Poly
from regard.training.segmentation import Training, recipe

TRAINING = Training(
    lr=1e-3,
    weight_decay=5e-4,
    batch=30,
    crop=(321, 321),
    steps=6000,
    rates={"classify.*": 10.0},
    where="Section 4, from memory",
)
SMALL = {
    "backbone": "test_resnet",
    "output_stride": 4,
    "scales": (1.0, 0.5),
    "hidden": 16,
    "features": 32,
    "dilation": 2,
    "dropout": 0.0,
}
QUICK = Plan(epochs=12, batch_size=16, lr=3e-3, weight_decay=1e-3, schedule=Poly(0.9), clip=1.0)
TRAIN, TEST = 320, 64


def segment(
    data: Path | None = None,
    *,
    tiny: bool = False,
    merge: str = "attention",
    extra: bool = True,
    at: Sequence[float] = (1.0, 0.75, 0.5),
    backbone: str | None = None,
    image_size: int | None = None,
    window: int | None = None,
    scales: Sequence[float] | None = None,
    mirror: bool = False,
) -> Recipe:
    """A network that sees an image at several scales.

    Args:
        data: the folder; see `data.label_maps`.
        tiny: make the tiny variant.
        merge: "attention", "average" or "max".
        extra: train the scores of every scale as well.
        at: the scales of the network, whatever the image is resized to for evaluation.
        backbone: a network of timm's in place of VGG-16.
        image_size, window, scales, mirror: as for `training.segmentation.recipe`.

    Raises: ValueError for an option out of range; the errors of reading the folder.
    """
    options: dict[str, Any] = {"merge": merge, "extra": flag("extra", extra)}
    if tiny:
        for name, value in (("backbone", backbone), ("image_size", image_size), ("window", window), ("scales", scales)):
            if value is not None:
                raise ValueError(f"{name}={value!r}: None is needed for the tiny variant, whose scenes are drawn")
        return _tiny({**SMALL, **options})
    options |= {"scales": tuple(at), "backbone": backbone}
    return recipe(
        data,
        make=partial(AttentionToScale, **options),
        small=partial(AttentionToScale, **options),
        training=replace(TRAINING, weights=(1.0,) * (1 + len(options["scales"]))),
        image_size=image_size,
        window=window,
        scales=scales,
        mirror=mirror,
    )


def _tiny(options: dict[str, Any]) -> Recipe:
    train, test = SizedShapes(TRAIN, seed=1), SizedShapes(TEST, seed=0)
    classes = len(train.classes)
    task = Segment(classes, weights=(1.0,) * (1 + len(options["scales"])), names=train.classes)
    return Recipe(
        build=partial(AttentionToScale, 3, classes=classes, **options),
        train=train,
        test=test,
        phases=(Phase(name="segment", task=task, plan=QUICK),),
        facts={"data": "sized-shapes", "classes": classes, "training": "tiny"},
        class_names=train.classes,
    )
