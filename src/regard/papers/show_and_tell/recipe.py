"""Recipe for NIC: captions of photographs by an LSTM that sees the image once.

Show and Tell: A Neural Image Caption Generator. Vinyals, Toshev, Bengio, Erhan. CVPR 2015, arXiv:1411.4555, Section
4.3: 512 units, stochastic gradient descent without momentum at a fixed rate, dropout, words that occur 5 times, a beam
of 20. The rate, 2 with batches of 32 that falls by half every 8 epochs, is that of the released code, and so are the
norm at which gradients are clipped, 5, and the rate of the trunk, 0.0005 after a million steps. The trunk is timm's
inception_v3, the released code's; the paper has GoogLeNet, and an ensemble.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from regard.catalog.recipes import Claim
from regard.papers.show_and_tell.network import ShowAndTell
from regard.training.captioning import Training, recipe
from regard.training.recipe import Recipe

BACKBONE = "inception_v3"
TRAINING = Training(
    lr=2.0,
    epochs=60,
    batch=32,
    optimizer="sgd",
    options={"momentum": 0.0, "nesterov": False},
    clip=5.0,
    falls=(8, 0.5),
    trunk_lr=0.0005,
    trunk_from=56,
    beam=20,
    claim=Claim(
        measure="cider",
        value=0.855,
        data="COCO captions",
        where="Table 1, from memory",
        unlike="an ensemble, and other images for testing",
    ),
    where="Section 4.3 and tensorflow/models, from memory",
)


def show_and_tell(
    data: Path | None = None,
    *,
    tiny: bool = False,
    backbone: str = BACKBONE,
    beam: int | None = None,
    least: int | None = None,
) -> Recipe:
    """NIC on COCO's captions, Karpathy's splits, Flickr8k or Flickr30k; the tiny variant on drawn scenes."""
    small = partial(ShowAndTell, backbone="convolutions", embed=48, hidden=96, dropout=0.0)
    make = partial(ShowAndTell, backbone=backbone)
    return recipe(data, tiny=tiny, make=make, small=small, training=TRAINING, beam=beam, least=least)
