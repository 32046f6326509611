"""Recipe for CCNet: Cityscapes as its authors trained on it, or any folder of images with label maps.

CCNet: Criss-Cross Attention for Semantic Segmentation. Huang, Wang, Huang, Huang, Wei, Liu. ICCV 2019,
arXiv:1811.11721.
As released (speedinghzl/CCNet, README): 60,000 steps of 8 windows of 769 pixels, images resized by 0.7 to 2.1, a rate
of 0.01, weight decay 1e-4, one rate for all parameters, and the auxiliary head's loss at weight 0.4. Its option OHEM
(`ohem`) mines hard pixels for the prediction alone, and scores 80.00 in place of 79.74.

Deviations: OHEM as released finds its threshold on probabilities shrunk to an eighth | here on all pixels. The released
    factor of resizing is one of 15 | here it is uniform. Released steps are counted; here they are whole epochs, 161 on
    Cityscapes. The trunk starts from timm's weights for ImageNet.
"""

from __future__ import annotations

from functools import partial

from regard.papers.ccnet.label import CLAIM
from regard.training.segmentation import Training, named

TRAININGS = {
    "ccnet_resnet101": Training(
        lr=0.01,
        weight_decay=1e-4,
        batch=8,
        crop=(769, 769),
        resize=(0.7, 2.1),
        steps=60_000,
        claim=CLAIM,
        where="README",
    )
}
SMALLER = {"ccnet_resnet101": {"backbone": "test_resnet", "output_stride": 4, "width": 24}}

segment = partial(named, trainings=TRAININGS, smaller=SMALLER)
