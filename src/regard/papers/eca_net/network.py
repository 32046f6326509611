"""ECA-Nets: ResNets and MobileNetV2 with efficient channel attention in every block.

ECA-Net: Efficient Channel Attention for Deep Convolutional Neural Networks. Wang, Wu, Zhu, Li, Zuo, Hu. CVPR 2020,
    arXiv:1910.03151.
Official code: BangguWu/ECANet (PyTorch).

Deviations: paper, the kernel size follows from the channels by a formula | chosen for each stage | as released.
"""

from __future__ import annotations

from collections.abc import Mapping

from regard.networks.design import Make, Network, family
from regard.networks.inverted import MobileNetV2
from regard.networks.trunks import RESNET
from regard.papers.eca_net.mechanism import EfficientChannel


def efficient(*sizes: int) -> Make:
    """Efficient channel attention with the kernel size in each stage."""
    return lambda site: EfficientChannel(site.channels, kernel_size=sizes[site.stage])


NETWORKS: Mapping[str, Network] = {
    **family("eca_resnet{}", RESNET, efficient(3, 5, 7, 7), {18: (11_689_556, 29.08)}),
    **family("eca_resnet{}", RESNET, efficient(3, 5, 5, 7), {50: (25_557_112, 22.58)}),
    **family(
        "eca_resnet{}",
        RESNET,
        efficient(3, 3, 5, 7),
        {34: (21_797_744, 25.79), 101: (44_549_317, 21.35), 152: (60_193_042, 21.08)},
    ),
    "eca_mobilenetv2": Network(
        backbone=MobileNetV2(dropout=0.25), attention=efficient(1, 1, 1, 1, 3, 3, 3), parameters=3_504_903, error=27.44
    ),
}
