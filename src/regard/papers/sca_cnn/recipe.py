"""Recipe for SCA-CNN: captions of photographs whose last maps are weighed anew before every word.

SCA-CNN: Spatial and Channel-wise Attention in Convolutional Networks for Image Captioning. Chen, Zhang, Xiao, Nie,
Shao, Liu, Chua. CVPR 2017, arXiv:1611.05594. The released training: ResNet-152, Adadelta with batches of 64, a weight
decay of 0.0001, dropout of one half, a beam of 5. It ends when the validation has not become better for long; the
number of epochs here is a guess.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from regard.catalog.recipes import Claim
from regard.checks import whole
from regard.papers.sca_cnn.network import SpatialChannelCaptioner
from regard.training.captioning import QUICK, Training, recipe
from regard.training.recipe import Recipe

BACKBONE = "resnet152"
INNER = 512  # channels of the block's middle
TRAINING = Training(
    lr=1.0,
    epochs=25,
    batch=64,
    optimizer="adadelta",
    options={"rho": 0.95, "eps": 1e-6},
    weight_decay=1e-4,
    beam=5,
    claim=Claim(
        measure="bleu_4",
        value=0.311,
        data="COCO captions",
        where="Table 2, two layers on ResNet, from memory",
    ),
    where="zjuchenlong/sca-cnn.cvpr17, sca_resnet_branch2b.py",
)
QUICKER = replace(QUICK, epochs=4)  # two attentions at every word take their time


def sca_cnn(
    data: Path | None = None,
    *,
    tiny: bool = False,
    backbone: str = BACKBONE,
    layers: int = 2,
    order: str = "channel-spatial",
    beam: int | None = None,
    least: int | None = None,
) -> Recipe:
    """SCA-CNN on COCO's captions, Karpathy's splits, Flickr8k or Flickr30k; the tiny variant on drawn scenes.

    Args:
        data: the folder of the dataset.
        tiny: make the tiny variant.
        backbone: the trunk.
        layers: 1 or 2 layers of attention.
        order: "channel-spatial" or "spatial-channel", or "channel" or "spatial" alone.
        beam, least: as for `training.captioning.recipe`.

    Raises: ValueError if an option is out of range; and as `training.captioning.recipe`.
    """
    two = whole("layers", layers, 1, 2) == 2
    make = partial(SpatialChannelCaptioner, backbone=backbone, inner=INNER if two else None, order=order)
    small = partial(
        SpatialChannelCaptioner,
        backbone="convolutions",
        inner=12 if two else None,
        order=order,
        embedding=48,
        hidden=64,
        scores=16,
        dropout=0.0,
        context_to_output=True,
    )
    return recipe(data, tiny=tiny, make=make, small=small, training=TRAINING, quick=QUICKER, beam=beam, least=least)
