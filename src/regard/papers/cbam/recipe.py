"""Recipe: ResNet-50 with CBAM on a folder of images."""

from functools import partial

from regard.training import classification

imagenet = partial(classification.named, network="cbam_resnet50")
