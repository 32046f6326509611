"""Recipe: SPA-Net's CPSPPSE-ResNet-50 on CIFAR."""

from functools import partial

from regard.training import classification

cifar = partial(classification.cifar, **classification.named("cpsppse_resnet50"))
