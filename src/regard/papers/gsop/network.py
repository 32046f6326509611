"""GSoP-Net1 and GSoP-Net2: ResNet-50 with second-order gates at the ends of its stages.

Global Second-order Pooling Convolutional Networks. Gao, Xie, Wang, Li. CVPR 2019, arXiv:1811.12006.
Official code: ZilinGao/Global-Second-order-Pooling-Convolutional-Networks (PyTorch).

GSoP-Net2 has no gate behind the last stage; the square root of the map's covariance takes the place of the average.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from torch import nn

from regard.networks.design import Network, ends_stage, ends_stage_1_to_3
from regard.networks.sites import Site
from regard.networks.trunks import RESNET
from regard.papers.gsop.mechanism import SecondOrderPooling

TRUNK = replace(RESNET[50], last_stride=1)


def second_order(site: Site) -> nn.Module:
    """Second-order gate of channels, at half the resolution in the first stage."""
    return SecondOrderPooling(site.channels, hidden=site.narrowed(128), stride=1 if site.stage else 2)


NETWORKS: Mapping[str, Network] = {
    "gsop_net1": Network(backbone=TRUNK, attention=second_order, where=ends_stage, parameters=28_285_224, error=22.02),
    "gsop_net2": Network(
        backbone=TRUNK,
        attention=second_order,
        where=ends_stage_1_to_3,
        head="covariance",
        parameters=58_278_568,
        error=21.19,
    ),
}
