"""Recipe: ResNet-50 with BAM on a folder of images."""

from functools import partial

from regard.training import classification

imagenet = partial(classification.named, network="bam_resnet50")
