"""Recipe: ECA-Net50 on a folder of images."""

from functools import partial

from regard.training import classification

imagenet = partial(classification.imagenet, **classification.named("eca_resnet50"))
