"""CCNet: recurrent criss-cross attention on a dilated ResNet-101 with a stem of three convolutions.

CCNet: Criss-Cross Attention for Semantic Segmentation. Huang, Wang, Huang, Huang, Wei, Liu. ICCV 2019,
    arXiv:1811.11721.
Official code: speedinghzl/CCNet.

Deviations: the stem has 64, 64 and 128 channels, its pool rounds up, and every block of a dilated stage has the stage's
    dilation, as released; the norms of trunk, head and auxiliary head are batch norms in place of InPlaceABN.
"""

from __future__ import annotations

from collections.abc import Mapping

from regard.networks.segmenter import Auxiliary, Design

SEGMENTERS: Mapping[str, Design] = {
    "ccnet_resnet101": Design(
        backbone="resnet101s",
        contracted=False,
        round_up=True,
        head="ccnet",
        auxiliary=Auxiliary(bias=True, slope=0.01, reduction=2),
        align_corners=True,
        parameters=71_287_911,
    ),
}
