"""ResNets with global context blocks from stage 2 on.

GCNet: Non-local Networks Meet Squeeze-Excitation Networks and Beyond. Cao, Xu, Lin, Wei, Hu. ICCV Workshops 2019,
    arXiv:1904.11492.
Official code: xvjiarui/GCNet (PyTorch).

Deviations: published for detection, without a count of parameters or an error on ImageNet. The segmentation network has
    the context blocks where the detectors have them, in every block of stages 3 to 5 behind the last norm, a plain head
    and an auxiliary one; mmsegmentation has a single block, in the head: `segmenter(head="gc")`.
"""

from __future__ import annotations

from collections.abc import Mapping

from regard.networks.design import Network, family, of
from regard.networks.segmenter import Auxiliary, Design
from regard.networks.sites import Site
from regard.networks.trunks import RESNET
from regard.papers.gcnet.mechanism import GlobalContext


def from_stage_2(site: Site) -> bool:
    """Whether the block stands behind the first stage."""
    return site.stage > 0


NETWORKS: Mapping[str, Network] = {
    **family("gc_resnet{}_r4", RESNET, of(GlobalContext, reduction=4), {50: None, 101: None}, where=from_stage_2),
    **family("gc_resnet{}_r16", RESNET, of(GlobalContext, reduction=16), {50: None, 101: None}, where=from_stage_2),
}

SEGMENTERS: Mapping[str, Design] = {
    "gcnet_resnet101": Design(
        attention="gc(reduction=16)@layer2+layer3+layer4", options={"convolutions": 1}, auxiliary=Auxiliary()
    ),
}
