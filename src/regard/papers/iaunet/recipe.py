"""Recipes for IAUnet: images of persons as its authors trained on them, and tracklets.

IAUnet: Global Context-Aware Feature Learning for Person Re-Identification. Hou, Ma, Chang, Gu, Shan, Chen. TNNLS 2020,
arXiv:2009.01035.
As released (blue-blue272/ImgReID-IAnet, train.py): 60 epochs of 16 persons with 4 images each, Adam at 3.5e-4 with
weight decay 5e-4, a tenth of the rate after 20 and 40; images flipped, and half of them with a rectangle erased;
smoothed cross-entropy and hard triplets of the features behind the batch norm, by minus their cosine, margin 0.3; and
0.5 times the mean binary cross-entropy of the masks of four parts behind two stages.

Deviations: images are resized with bicubic filters | bilinear here. The masks keep what is erased of the image | here a
    part that is erased has no mask. An epoch of the released order has each image once, in groups of 4 of a person |
    here as many batches, with all persons equally often. For clips no training is released | that of images, with 4
    frames (from memory) and without masks where there are none.

The tiny variant's images are of 96 × 48 pixels: behind the third stage, whose map is 16 times smaller and is compared
with a few pixels of a part, those of 64 × 32 have nothing but the border of the image left. Parts cover a hundredth of
an image, so a mask has to fall far below the half that it starts with; in a few hundred steps it does so with ten
times the rate, and more weight than the paper's.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from regard.checks import flag
from regard.networks.person import SIZE
from regard.papers.iaunet.network import InteractionUpdateNetwork
from regard.training.persons import DRAWN_SIZE, ERASED, QUICK, Training, weighing_masks
from regard.training.persons import recipe as of_persons
from regard.training.recipe import Recipe
from regard.training.schedules import Steps

TRAINING = Training(
    lr=3.5e-4,
    schedule=Steps(at=(20, 40), by=0.1, every="epoch"),
    epochs=60,
    augment=ERASED,
    task={"label_smoothing": 0.1, "margin": 0.3, "place": "behind", "distance": "cosine", "mask_weight": 0.5},
    where="released script",
)
MASKED = replace(QUICK, epochs=24, rates={"*.spatial.mask*": 10.0})  # of the tiny variant
MASKED_SIZE, MASK_WEIGHT = (96, 48), 20.0


def reidentify(
    data: Path | None = None,
    *,
    tiny: bool = False,
    video: bool = False,
    attention: bool = True,
    masks: bool = True,
    size: tuple[int, int] = SIZE,
    boxes: str = "labeled",
    mirror: bool = False,
    rerank: bool = False,
    precision: str = "hits",
) -> Recipe:
    """IAUnet on images of persons, or on tracklets.

    Args:
        data, tiny, video, size, boxes, mirror, rerank, precision: as for `training.persons.recipe`.
        attention: False for the baseline with the same plan.
        masks: whether masks of parts are supervised, where there are any.

    Raises: ValueError as `training.persons.recipe`.
    """
    supervised = flag("masks", masks) and flag("attention", attention)
    images = tiny and not video  # clips are dear: their tiny variant has the smaller images, and the paper's weight
    weight = 0.0 if not supervised else MASK_WEIGHT if images else TRAINING.task["mask_weight"]
    made = partial(InteractionUpdateNetwork, attention=attention, video=video)
    return of_persons(
        data,
        tiny=tiny,
        make=made,
        small=partial(made, width=8, blocks=(1, 1, 1, 1)),
        training=weighing_masks(TRAINING, weight),
        quick=(MASKED if attention else replace(MASKED, rates={})) if images else QUICK,
        drawn_size=MASKED_SIZE if images else DRAWN_SIZE,
        video=video,
        size=size,
        boxes=boxes,
        mirror=mirror,
        rerank=rerank,
        precision=precision,
    )


video = partial(reidentify, video=True)
