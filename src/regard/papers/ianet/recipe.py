"""Recipe for IANet: persons as its authors trained on them.

Interaction-and-Aggregation Network for Person Re-identification. Hou, Ma, Chang, Gu, Shan, Chen. CVPR 2019,
arXiv:1907.08435.
Of IANet the network is released, without a training of its own; the script beside it (blue-blue272/ImgReID-IAnet,
train.py) is IAUnet's, and its terms without masks are taken here: 60 epochs of 16 persons with 4 images each, Adam at
3.5e-4 with weight decay 5e-4, a tenth of the rate after 20 and 40; images flipped, and half of them with a rectangle
erased; smoothed cross-entropy and hard triplets of the features behind the batch norm, by minus their cosine, with
margin 0.3.

Deviations: images are resized with bicubic filters | bilinear here. An epoch of the released order has each image once,
    in groups of 4 of a person | here as many batches, with all persons equally often.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from regard.checks import flag
from regard.networks.person import SIZE
from regard.papers.ianet.network import InteractionAggregationNetwork
from regard.training.persons import ERASED, Training
from regard.training.persons import recipe as of_persons
from regard.training.recipe import Recipe
from regard.training.schedules import Steps

TRAINING = Training(
    lr=3.5e-4,
    schedule=Steps(at=(20, 40), by=0.1, every="epoch"),
    epochs=60,
    augment=ERASED,
    task={"label_smoothing": 0.1, "margin": 0.3, "place": "behind", "distance": "cosine"},
    where="released script of IAUnet, without masks",
)


def reidentify(
    data: Path | None = None,
    *,
    tiny: bool = False,
    attention: bool = True,
    size: tuple[int, int] = SIZE,
    boxes: str = "labeled",
    mirror: bool = False,
    rerank: bool = False,
    precision: str = "hits",
) -> Recipe:
    """IANet on persons.

    Args:
        data, tiny, size, boxes, mirror, rerank, precision: as for `training.persons.recipe`.
        attention: False for the baseline with the same plan.

    Raises: ValueError as `training.persons.recipe`.
    """
    made = partial(InteractionAggregationNetwork, attention=flag("attention", attention))
    return of_persons(
        data,
        tiny=tiny,
        make=made,
        small=partial(made, widths=(5.0, 2.5), width=8, blocks=(1, 1, 1, 1)),
        training=TRAINING,
        size=size,
        boxes=boxes,
        mirror=mirror,
        rerank=rerank,
        precision=precision,
    )
