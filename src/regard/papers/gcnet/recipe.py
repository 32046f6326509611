"""Recipe for a ResNet-101 with global context blocks and a plain head: any folder of images with label maps.

GCNet: Non-local Networks Meet Squeeze-Excitation Networks and Beyond. Cao, Xu, Lin, Wei, Hu. ICCV Workshops 2019,
arXiv:1904.11492.

Deviations: the paper detects objects and does not segment. The settings are those that mmsegmentation uses for its
    segmenting GCNet on Cityscapes, from memory: 80,000 steps of 8 windows of 512 × 1024 pixels, a rate of 0.01, weight
    decay 5e-4, the auxiliary loss at weight 0.4. There one block stands in the head; here blocks stand in stages 3 to
    5. The trunk starts from timm's weights for ImageNet, the blocks as the identity.
"""

from __future__ import annotations

from functools import partial

from regard.training.segmentation import Training, named

TRAININGS = {
    "gcnet_resnet101": Training(
        lr=0.01,
        weight_decay=5e-4,
        batch=8,
        crop=(512, 1024),
        steps=80_000,
        where="mmsegmentation, from memory",
    )
}
SMALLER = {
    "gcnet_resnet101": {
        "backbone": "test_resnet",
        "output_stride": 4,
        "attention": "gc(reduction=8)@layer2+layer3+layer4",
        "width": 24,
    }
}

segment = partial(named, trainings=TRAININGS, smaller=SMALLER)
