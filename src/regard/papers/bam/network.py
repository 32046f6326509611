"""ResNets with BAM behind stages 1, 2 and 3, for ImageNet and for CIFAR.

BAM: Bottleneck Attention Module. Park, Woo, Lee, Kweon. BMVC 2018, arXiv:1807.06514.
Official code: Jongchan/attention-module (PyTorch).
"""

from __future__ import annotations

from collections.abc import Mapping

from regard.networks.design import Network, ends_stage_1_to_3, family, of
from regard.networks.trunks import CIFAR, RESNET
from regard.papers.bam.mechanism import BottleneckAttention

NETWORKS: Mapping[str, Network] = {
    **family(
        "bam_resnet{}",
        RESNET,
        of(BottleneckAttention),
        {18: 11_712_503, 34: 21_820_663, 50: (25_915_099, 23.14), 101: 44_907_227},
        place="behind",
        where=ends_stage_1_to_3,
    ),
    **family(
        "bam_resnet{}_cifar",
        CIFAR,
        of(BottleneckAttention),
        {18: 11_243_123, 34: 21_351_283, 50: 24_063_319, 101: 43_055_447},
        classes=100,
        place="behind",
        where=ends_stage_1_to_3,
    ),
}
