"""ResNets with global context blocks."""

from __future__ import annotations

from collections.abc import Mapping

from regard.networks.design import Network, family, from_stage_2, of
from regard.networks.trunks import RESNET
from regard.papers.gcnet.mechanism import GlobalContext

NETWORKS: Mapping[str, Network] = {
    **family("gc_resnet{}_r4", RESNET, of(GlobalContext, reduction=4), {50: None, 101: None}, where=from_stage_2),
    **family("gc_resnet{}_r16", RESNET, of(GlobalContext, reduction=16), {50: None, 101: None}, where=from_stage_2),
}
