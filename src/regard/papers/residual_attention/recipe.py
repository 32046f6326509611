"""Recipes: Attention-92, -236 and -452 on CIFAR, and Attention-56 on a folder of images."""

from functools import partial

from regard.papers.residual_attention.network import ResidualAttentionNetwork
from regard.training import classification

_network = partial(ResidualAttentionNetwork, stem="cifar", width=16)
_small = partial(ResidualAttentionNetwork, stem="cifar", width=4, modules=(0, 0, 1))

cifar_92 = partial(classification.cifar, make=partial(_network, depth=92), small=_small)
cifar_236 = partial(classification.cifar, make=partial(_network, depth=236), small=_small)
cifar = partial(classification.cifar, make=partial(_network, depth=452), small=_small)
imagenet = partial(classification.imagenet, make=partial(ResidualAttentionNetwork, depth=56), small=_small)
