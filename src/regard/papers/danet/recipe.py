"""Recipe for DANet: Cityscapes as its authors trained on it, or any folder of images with label maps.

Dual Attention Network for Scene Segmentation. Fu, Liu, Tian, Li, Bao, Fang, Lu. CVPR 2019, arXiv:1809.02983.
As released (junfu1115/DANet, experiments/segmentation/train.py): 240 epochs, a rate of 0.004 for 16 images, so 0.002
for 8, ten times as high for the head, weight decay 1e-4, and a cross-entropy of weight 1 for each of the three outputs;
its README scores windows of 768 pixels at one scale. Batches of 8 and training windows of 768 pixels are from memory.

Deviations: the released factor of resizing is drawn over the longer side, in whole pixels; here it is uniform. The
    trunk starts from timm's weights for ImageNet.
"""

from __future__ import annotations

from functools import partial

from regard.papers.danet.label import CLAIM
from regard.tasks.inference import Inference
from regard.training.segmentation import Training, named

TRAININGS = {
    "danet_resnet101": Training(
        lr=0.002,
        weight_decay=1e-4,
        batch=8,
        crop=(768, 768),
        epochs=240,
        rates={"head.*": 10.0},
        weights=(1.0, 1.0, 1.0),
        inference=Inference(window=768),
        claim=CLAIM,
        where="train.py and README; batch and window of the training from memory",
    )
}
SMALLER = {"danet_resnet101": {"backbone": "test_resnet", "output_stride": 8, "multi_grid": (), "width": 24}}

segment = partial(named, trainings=TRAININGS, smaller=SMALLER)
