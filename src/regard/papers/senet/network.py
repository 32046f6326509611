"""Squeeze-and-excitation networks: the authors' ResNets, ResNeXts and SENet-154, and the ResNets of a common port.

Squeeze-and-Excitation Networks. Hu, Shen, Albanie, Sun, Wu. CVPR 2018, arXiv:1709.01507.
Official code: hujie-frank/SENet (Caffe). Port: moskomule/senet.pytorch.

Deviations: official are se_resnet50, 101 and 152, se_resnext50 and 101, and senet154. The port's are se_resnet18, 34,
    20, 32 and 56 and se_resnet*_port, whose gates have no biases. The official SE-ResNets have their stride in the
    first 1 × 1 convolution of a bottleneck, all others in the 3 × 3, as released.
"""

from __future__ import annotations

from collections.abc import Mapping

from regard.networks.design import Network, family, of
from regard.networks.residual import BLOCKS, ResNet
from regard.networks.trunks import CAFFE, RESNET, RESNEXT
from regard.papers.senet.mechanism import SqueezeExcite

SENET = ResNet(blocks=BLOCKS[152], stem="deep", inner=4, reduced=2, groups=64, projection=3, dropout=0.2)
SMALL = {
    depth: ResNet(blocks=(depth // 6,) * 3, bottleneck=False, stem="cifar", widths=(16, 32, 64))
    for depth in (20, 32, 56)
}

NETWORKS: Mapping[str, Network] = {
    **family(
        "se_resnet{}",
        CAFFE,
        of(SqueezeExcite),
        {50: (28_088_024, 22.37), 101: (49_326_872, 21.75), 152: (66_821_848, 21.34)},
    ),
    **family("se_resnext{}", RESNEXT, of(SqueezeExcite), {50: (27_559_896, 20.97), 101: (48_955_416, 19.81)}),
    "senet154": Network(backbone=SENET, attention=of(SqueezeExcite), parameters=115_088_984, error=18.68),
    **family("se_resnet{}", RESNET, of(SqueezeExcite, bias=False), {18: 11_776_552, 34: 21_954_856}),
    **family("se_resnet{}_port", RESNET, of(SqueezeExcite, bias=False), {50: 28_071_976, 101: 49_292_328}),
    **family("se_resnet{}", SMALL, of(SqueezeExcite, bias=False), {20: 274_490, 32: 470_266, 56: 861_818}, classes=10),
}
