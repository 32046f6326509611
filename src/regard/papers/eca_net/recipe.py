"""Recipe: ECA-Net50 on a folder of images."""

from functools import partial

from regard.training import classification

imagenet = partial(classification.named, network="eca_resnet50")
