"""Recipe: SPA-Net's CPSPPSE-ResNet-50 on CIFAR."""

from functools import partial

from regard.training import classification

cifar = partial(classification.named, network="cpsppse_resnet50")
