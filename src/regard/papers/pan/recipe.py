"""Recipe for pyramid attention networks: any folder of images with label maps.

Pyramid Attention Network for Semantic Segmentation. Li, Xiong, An, Wang. BMVC 2018, arXiv:1805.10180. As JaveyWang
(JaveyWang/Pyramid-Attention-Networks-pytorch, train.py): 100 epochs in batches of 4 windows of 256 pixels, a rate of
0.004 that falls as (1 − u)^0.9, weight decay 1e-4, and a binary cross-entropy of the classes in the image beside the
cross-entropy of the pixels. With `upsample="bilinear"`, the network of segmentation-models-pytorch, which comes without
a training, it is trained in the same way, without the classes.

Deviations: JaveyWang has no momentum, resizes whole images to 256 × 256, turns them by up to 15 degrees, and lets the
    rate fall after each epoch; here momentum is 0.9, windows are cropped from resized images, which are flipped but not
    turned, and the rate falls with each step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from regard.checks import choice
from regard.papers.pan.network import UPSAMPLES, PyramidAttentionNetwork
from regard.papers.pan.task import SegmentAndName
from regard.training.recipe import Recipe
from regard.training.segmentation import Training, recipe

TRAINING = Training(lr=4e-3, weight_decay=1e-4, batch=4, crop=(256, 256), epochs=100, where="train.py of JaveyWang")
SMALL: dict[str, Any] = {"backbone": "test_resnet"}


def segment(
    data: Path | None = None,
    *,
    tiny: bool = False,
    upsample: str = "deconvolution",
    presence: bool | None = None,
    backbone: str | None = None,
    image_size: int | None = None,
    window: int | None = None,
    scales: Sequence[float] | None = None,
    mirror: bool = False,
    ohem: bool = False,
) -> Recipe:
    """A pyramid attention network, in one of its two forms.

    Args:
        data: the folder; see `data.label_maps`.
        tiny: make the tiny variant, which trains on drawn scenes.
        upsample: "deconvolution", as JaveyWang, or "bilinear", as segmentation-models-pytorch.
        presence: learn which classes are in the image as well; None: with deconvolutions.
        backbone: a network of timm's in place of ResNet-50.
        image_size, window, scales, mirror, ohem: as for `training.segmentation.recipe`.

    Raises: ValueError for an option out of range; the errors of reading the folder.
    """
    named = choice("upsample", upsample, UPSAMPLES) == "deconvolution" if presence is None else presence
    if tiny and backbone is not None:
        raise ValueError(f"backbone={backbone!r}: None is needed for the tiny variant, which has a tiny trunk")
    options: dict[str, Any] = {"upsample": upsample, "presence": named}
    trunk: dict[str, Any] = {} if backbone is None else {"backbone": backbone}
    made = recipe(
        data,
        tiny=tiny,
        make=partial(PyramidAttentionNetwork, **options, **trunk),
        small=partial(PyramidAttentionNetwork, **options, **SMALL),
        training=TRAINING,
        image_size=image_size,
        window=window,
        scales=scales,
        mirror=mirror,
        ohem=ohem,
    )
    if not named:
        return made
    (phase,) = made.phases
    return replace(made, phases=(replace(phase, task=SegmentAndName(phase.task)),))  # type: ignore[arg-type]
