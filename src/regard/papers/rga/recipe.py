"""Recipe for RGA: persons as its authors trained on them.

Relation-Aware Global Attention for Person Re-identification. Zhang, Lan, Zeng, Jin, Chen. CVPR 2020, arXiv:1904.02998.
As released (microsoft/Relation-Aware-Global-Attention-Networks, scripts/run_rgasc_cuhk03.sh): 600 epochs of 16 persons
with 4 images each, every person once an epoch; Adam, weight decay 5e-4, a rate from 8e-6 to 8e-4 in 20 epochs, halved
after 80, 120 … 360; half of the images shifted, flipped, and with a rectangle erased; smoothed cross-entropy of the
features behind the batch norm, and hard triplets of those before it by Euclidean distance, with margin 0.3.

Deviations: the released code drops the last batch of an epoch where it is not full | here it is filled up with other
    persons. It scores by the cosine of the features before and behind the batch norm | behind it here; `scored` of
    the task says which.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from regard.backbones import IMAGENET
from regard.checks import choice, each_axis
from regard.data.augmenting import InTurn, Mirror
from regard.data.person_augmenting import Erase, Shift
from regard.networks.person import SIZE
from regard.papers.rga.label import CLAIM
from regard.papers.rga.network import RelationAwareNetwork
from regard.training.persons import Training
from regard.training.persons import recipe as of_persons
from regard.training.recipe import Recipe
from regard.training.schedules import Rising

GATES = {"both": (True, True), "spatial": (True, False), "channel": (False, True), "none": (False, False)}
PUBLISHED = "RGA-SC at 256 × 128, without re-ranking, by the mean precision at the hits"
TRAINING = Training(
    lr=8e-4,
    schedule=Rising(over=20, start=0.01, at=(80, 120, 160, 200, 240, 280, 320, 360), by=0.5),
    epochs=600,
    once=True,
    augment=InTurn(Shift(), Mirror(), Erase(fill=IMAGENET[0])),  # erased after normalisation, to 0
    task={"label_smoothing": 0.1, "margin": 0.3, "place": "before", "distance": "euclidean"},
    where="released script for CUHK03",
)


def reidentify(
    data: Path | None = None,
    *,
    tiny: bool = False,
    gates: str = "both",
    size: tuple[int, int] = SIZE,
    boxes: str = "labeled",
    mirror: bool = False,
    rerank: bool = False,
    precision: str = "hits",
) -> Recipe:
    """RGA on persons.

    Args:
        data, tiny, boxes, mirror, rerank, precision: as for `training.persons.recipe`.
        gates: `both` (RGA-SC), `spatial` (RGA-S), `channel` (RGA-C) or `none`, the baseline with the same plan.
        size: height and width of the images, for which the network is built.

    Raises: ValueError for other gates, and as `training.persons.recipe`.
    """
    spatial, channel = GATES[choice("gates", gates, GATES)]
    height, width = each_axis("size", size, 2)
    made = partial(RelationAwareNetwork, spatial=spatial, channel=channel)
    found = of_persons(
        data,
        tiny=tiny,
        make=partial(made, image_size=(height, width)),
        small=partial(made, image_size=(64, 32), width=16, blocks=(1, 1)),
        training=TRAINING,
        size=(height, width),
        boxes=boxes,
        mirror=mirror,
        rerank=rerank,
        precision=precision,
    )
    same = (gates, (height, width), rerank, precision) == ("both", SIZE, False, "hits")
    return found if same else replace(found, claim=replace(CLAIM, unlike=PUBLISHED))
