"""Recipe for adaptive attention: captions by a network that knows when to look.

Knowing When to Look. Lu, Xiong, Parikh, Socher. CVPR 2017, arXiv:1612.01887, Section 4: ResNet-152 without training for
20 epochs, then at 0.00001; Adam at 0.0004 with momenta 0.8 and 0.999; batches of 80, at most 50 epochs, a beam of 3.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from regard.catalog.recipes import Claim
from regard.checks import choice
from regard.papers.adaptive_attention.network import AdaAtt, AdaptiveAttention
from regard.training.captioning import Training, recipe
from regard.training.recipe import Recipe

TRAINING = Training(
    lr=4e-4,
    epochs=50,
    batch=80,
    options={"betas": (0.8, 0.999)},
    clip=0.1,
    trunk_lr=1e-5,
    trunk_from=20,
    beam=3,
    finished="expand",
    claim=Claim(measure="cider", value=1.085, data="COCO captions", where="Table 1, from memory"),
    where="Section 4 and jiasenlu/AdaptiveAttention",
)
SPATIAL = replace(
    TRAINING, claim=Claim(measure="cider", value=1.029, data="COCO captions", where="Table 1, spatial, from memory")
)
FORMS = ("paper", "released", "spatial")


def adaptive_attention(
    data: Path | None = None,
    *,
    tiny: bool = False,
    backbone: str = "resnet152",
    form: str = "paper",
    beam: int | None = None,
    least: int | None = None,
) -> Recipe:
    """Adaptive attention on COCO's captions, Karpathy's splits, Flickr8k or Flickr30k; tiny, on drawn scenes."""
    choice("form", form, FORMS)
    network: Any = AdaAtt if form == "released" else partial(AdaptiveAttention, sentinel=form == "paper")
    make = partial(network, backbone=backbone)
    small = partial(network, backbone="convolutions", embed=48, hidden=96, attention=48, dropout=0.0)
    training = SPATIAL if form == "spatial" else TRAINING
    return recipe(data, tiny=tiny, make=make, small=small, training=training, beam=beam, least=least)
