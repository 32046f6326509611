"""Recipe for OCR on HRNetV2-W48 or a dilated ResNet-101: Cityscapes, or any folder of images with label maps.

Object-Contextual Representations for Semantic Segmentation. Yuan, Chen, Wang. ECCV 2020, arXiv:1909.11065.
HRNet as released (HRNet/HRNet-Semantic-Segmentation, branch HRNet-OCR, experiments/cityscapes): 484 epochs, batches of
12 windows of 512 × 1024 pixels, images resized by 0.5 to 2.1, a rate of 0.01, weight decay 5e-4, and the loss of the
soft regions at weight 0.4. ResNet-101: 40,000 steps of 8 windows of 769 pixels at the same rate and decay, from memory.

Deviations: released, the losses of Cityscapes' 19 classes are weighted | not here. Steps are whole epochs here. The
    trunk starts from timm's weights for ImageNet.
"""

from __future__ import annotations

from functools import partial

from regard.catalog.recipes import Claim
from regard.training.segmentation import Training, named

TRAININGS = {
    "ocrnet_resnet101": Training(
        lr=0.01,
        weight_decay=5e-4,
        batch=8,
        crop=(769, 769),
        steps=40_000,
        where="from memory",
    ),
    "ocrnet_hrnet_w48": Training(
        lr=0.01,
        weight_decay=5e-4,
        batch=12,
        crop=(512, 1024),
        resize=(0.5, 2.1),
        epochs=484,
        claim=Claim(measure="miou", value=0.816, data="Cityscapes", where="README, HRNetV2-W48; untested"),
        where="seg_hrnet_ocr_w48_train_512x1024_sgd_lr1e-2_wd5e-4_bs_12_epoch484.yaml",
    ),
}
SMALLER = {
    "ocrnet_resnet101": {"backbone": "test_resnet", "output_stride": 4, "width": 24},
    "ocrnet_hrnet_w48": {"backbone": "hrnet_w18_small", "width": 24},
}

segment = partial(named, trainings=TRAININGS, smaller=SMALLER)
