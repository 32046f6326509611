"""Recipe for plain fully convolutional networks: any folder of images with label maps.

Fully Convolutional Networks for Semantic Segmentation. Long, Shelhamer, Darrell. CVPR 2015, arXiv:1411.4038. The
networks are dilated ResNets as in pytorch/vision, whose script, from memory, trains 30 epochs of COCO's images with the
labels of VOC: 32 windows of 480 pixels in a step, a rate of 0.02, weight decay 1e-4, and an auxiliary head with a loss
of weight 0.5 and ten times the rate.

Deviations: the paper trains a VGG-16 on whole images, one in a step, at rates of 1e-10 with a summed loss. The trunk
    starts from timm's weights for ImageNet.
"""

from __future__ import annotations

from functools import partial

from regard.training.segmentation import Training, named

TRAINING = Training(
    lr=0.02,
    weight_decay=1e-4,
    batch=32,
    crop=(480, 480),
    epochs=30,
    rates={"auxiliary.*": 10.0},
    weights=(1.0, 0.5),
    where="pytorch/vision, from memory",
)
TRAININGS = {"fcn_resnet50": TRAINING, "fcn_resnet101": TRAINING}
SMALLER = {name: {"backbone": "test_resnet", "output_stride": 4, "width": 24} for name in TRAININGS}

segment = partial(named, trainings=TRAININGS, smaller=SMALLER)
