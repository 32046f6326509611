"""GSoP-Net1 and GSoP-Net2."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from torch import nn

from regard.networks.design import Network, ends_stage, ends_stage_1_to_3
from regard.networks.sites import Site
from regard.networks.trunks import RESNET
from regard.papers.gsop.mechanism import SecondOrderPooling

_GSOP = replace(RESNET[50], last_stride=1)


def _gsop(site: Site) -> nn.Module:
    """Second-order gate of channels, at half the resolution in the first stage."""
    return SecondOrderPooling(site.channels, hidden=site.narrowed(128), stride=1 if site.stage else 2)


NETWORKS: Mapping[str, Network] = {
    "gsop_net1": Network(backbone=_GSOP, attention=_gsop, where=ends_stage, parameters=28_285_224, error=22.02),
    "gsop_net2": Network(
        backbone=_GSOP,
        attention=_gsop,
        where=ends_stage_1_to_3,
        head="covariance",
        parameters=58_278_568,
        error=21.19,
    ),
}
