"""Recipe for ANN: Cityscapes as its authors trained on it, or any folder of images with label maps.

Asymmetric Non-local Neural Networks for Semantic Segmentation. Zhu, Xu, Bai, Huang, Bai. ICCV 2019, arXiv:1908.07678.
As released (MendelXu/ANN, hypes/seg/cityscapes and its script): 60,000 steps of 8 windows of 769 pixels, a rate of
0.01, weight decay 5e-4, the auxiliary head's loss at weight 0.4, and OHEM (`ohem`) with 0.7 and 100,000 pixels.

Deviations: released, the losses of the 19 classes are weighted, images are also stretched by 0.9 to 1.1 and made darker
    or brighter | none of these here, and OHEM is off unless it is asked for. Released steps are counted; here they are
    whole epochs. The trunk starts from timm's weights for ImageNet.
"""

from __future__ import annotations

from functools import partial

from regard.papers.annet.label import CLAIM
from regard.training.segmentation import Training, named

TRAININGS = {
    "annet_resnet101": Training(
        lr=0.01,
        weight_decay=5e-4,
        batch=8,
        crop=(769, 769),
        steps=60_000,
        claim=CLAIM,
        where="fs_annn_cityscapes_seg.json and its script",
    )
}
SMALLER = {"annet_resnet101": {"backbone": "test_resnet", "output_stride": 8, "width": 24}}

segment = partial(named, trainings=TRAININGS, smaller=SMALLER)
