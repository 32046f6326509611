"""FcaNets: ResNets with frequency channel attention in every block.

FcaNet: Frequency Channel Attention Networks. Qin, Zhang, Wu, Li. ICCV 2021, arXiv:2012.11879.
Official code: cfzd/FcaNet (PyTorch).
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from regard.networks.design import Network, family, narrow
from regard.networks.sites import Site
from regard.networks.trunks import RESNET
from regard.papers.fcanet.mechanism import FrequencyChannel


def frequency(site: Site) -> nn.Module:
    """Frequency channel attention, for the map's size in an image of 224 × 224 pixels."""
    return FrequencyChannel(site.channels, size=56 // 2**site.stage, **narrow(FrequencyChannel, site.channels))


NETWORKS: Mapping[str, Network] = family(
    "fcanet{}",
    RESNET,
    frequency,
    {34: (21_954_856, 24.93), 50: (28_071_976, 21.48), 101: (49_292_328, 20.36), 152: (66_770_984, 19.92)},
)
