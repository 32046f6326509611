"""Frequency channel attention networks."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from regard.networks.design import Network, family
from regard.networks.sites import Site
from regard.networks.trunks import RESNET
from regard.papers.fcanet.mechanism import FrequencyChannel


def _fca(site: Site) -> nn.Module:
    """Frequency channel attention, for maps of an image of 224 × 224."""
    return FrequencyChannel(site.channels, size=56 // 2**site.stage)


NETWORKS: Mapping[str, Network] = {
    **family(
        "fcanet{}",
        RESNET,
        _fca,
        {34: (21_954_856, 24.93), 50: (28_071_976, 21.48), 101: (49_292_328, 20.36), 152: (66_770_984, 19.92)},
    ),
}
