"""ResNets with CBAM, for ImageNet and for CIFAR."""

from __future__ import annotations

from collections.abc import Mapping

from regard.networks.design import Network, family, of
from regard.networks.trunks import CIFAR, RESNET
from regard.papers.cbam.mechanism import ConvBlockAttention

NETWORKS: Mapping[str, Network] = {
    **family(
        "cbam_resnet{}",
        RESNET,
        of(ConvBlockAttention),
        {18: 11_779_392, 34: 21_960_468, 50: (28_089_624, 22.378), 101: 49_330_172},
    ),
    **family(
        "cbam_resnet{}_cifar",
        CIFAR,
        of(ConvBlockAttention),
        {18: 11_310_012, 34: 21_491_088, 50: 26_237_844, 101: 47_478_392},
        classes=100,
    ),
}
