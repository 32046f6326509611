"""Recipe: SE-ResNet-50 on a folder of images."""

from functools import partial

from regard.training import classification

imagenet = partial(classification.named, network="se_resnet50")
