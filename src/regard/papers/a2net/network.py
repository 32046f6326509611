"""A²-Nets: ResNet-50 for images and ResNet-26 for clips with double attention behind blocks of stages 2 and 3.

A²-Nets: Double Attention Networks. Chen, Kalantidis, Li, Yan, Feng. NIPS 2018, arXiv:1810.11579.
Official code: none public.

Deviations: no released definition fixes the widths m and n in ResNet-50. C / 2, as here, gives 32,907,304 parameters,
    and 32,960,424 with the norms' statistics, beside the 33.0 million that later papers print for it, and 45 percent
    less than ResNet-152, where the abstract has "over 40 percent"; C / 4, the mechanism's default, gives 29.2 million.
    The two blocks of stage 2 and the three of stage 3 stand behind every second residual block, as in Non-local. In
    ResNet-26 the four blocks of stages 2 and 3 have one each, and C / 4; its trunk halves time once, in stage 2, which
    no source settles either.
"""

from __future__ import annotations

from collections.abc import Mapping

from regard.networks.design import Network, of
from regard.networks.sites import Site
from regard.networks.trunks import RESNET
from regard.networks.volumes import VolumeResNet
from regard.papers.a2net.mechanism import DoubleAttention

CLIPS = VolumeResNet(blocks=(2, 2, 2, 2))


def stages_2_and_3(site: Site) -> bool:
    """Whether the block is in stage 2 or 3: four blocks of ResNet-26."""
    return site.stage in (1, 2)


def every_second(site: Site) -> bool:
    """Whether it is every second block of stages 2 and 3: five blocks of ResNet-50."""
    return stages_2_and_3(site) and site.block % 2 == 1


NETWORKS: Mapping[str, Network] = {
    "a2_resnet50": Network(
        backbone=RESNET[50], attention=of(DoubleAttention, reduction=2), place="behind", where=every_second, error=23.0
    ),
    "a2_resnet26": Network(
        backbone=CLIPS, attention=of(DoubleAttention), place="behind", where=stages_2_and_3, classes=400
    ),
    "resnet26_clips": Network(backbone=CLIPS, classes=400),
}
