"""The ResNets into which several papers put their mechanisms, by depth."""

from __future__ import annotations

from dataclasses import replace

from regard.networks.residual import BLOCKS, ResNet

RESNET = {depth: ResNet(blocks=blocks, bottleneck=depth > 34) for depth, blocks in BLOCKS.items()}
CAFFE = {depth: replace(trunk, stem="caffe", stride_first=True) for depth, trunk in RESNET.items()}
RESNEXT = {depth: replace(trunk, stem="caffe", inner=2, reduced=2, groups=32) for depth, trunk in RESNET.items()}
CIFAR = {depth: replace(trunk, stem="cifar") for depth, trunk in RESNET.items()}
