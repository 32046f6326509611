"""Recipe: GSoP-Net2 on a folder of images."""

from functools import partial

from regard.training import classification

imagenet = partial(classification.named, network="gsop_net2")
