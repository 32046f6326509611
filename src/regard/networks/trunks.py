"""The trunks in which the papers' networks are released, by depth or name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from regard.networks.inverted import MobileNetV2
from regard.networks.residual import BLOCKS, ResNet
from regard.networks.sites import Backbone
from regard.networks.video import VideoResNet

RESNET = {depth: ResNet(blocks=blocks, bottleneck=depth > 34) for depth, blocks in BLOCKS.items()}
CAFFE = {depth: replace(backbone, stem="caffe", stride_first=True) for depth, backbone in RESNET.items()}
RESNEXT = {depth: replace(backbone, stem="caffe", inner=2, reduced=2, groups=32) for depth, backbone in RESNET.items()}
CIFAR = {depth: replace(backbone, stem="cifar") for depth, backbone in RESNET.items()}
PREACT = {depth: replace(backbone, preactivation=True) for depth, backbone in CIFAR.items()}
SMALL = {
    depth: ResNet(blocks=(depth // 6,) * 3, bottleneck=False, stem="cifar", widths=(16, 32, 64))
    for depth in (20, 32, 56)
}
LIGHT: Mapping[str, Backbone] = {
    "resnext29": ResNet(blocks=(3, 3, 3), stem="pixel", widths=(64, 128, 256), inner=2, reduced=2, groups=2),
    "mobilenetv2": MobileNetV2(cifar=True),
}
VIDEO = {
    f"{kind}_resnet{depth}{frames}": VideoResNet(
        blocks=BLOCKS[depth], inflated=kind == "i3d", stride=1 if frames else 2
    )
    for kind in ("c2d", "i3d")
    for depth in (50, 101)
    for frames in ("", "_8f")
}
