"""CCNet: recurrent criss-cross attention on a dilated ResNet-101 with a stem of three convolutions.

CCNet: Criss-Cross Attention for Semantic Segmentation. Huang, Wang, Huang, Huang, Wei, Liu. ICCV 2019,
    arXiv:1811.11721.
Official code: speedinghzl/CCNet.

Deviations: none of the layers, whose count was compared with the released code's: a stem of 64, 64 and 128 channels whose
    pool rounds up, and the stage's dilation in every block of it. InPlaceABN's norms are batch norms here, by
    the |w| + ε that it applies. It stops the gradient of no layer; its ReLUs are leaky in the two heads only.
Errata: timm, torchvision and mmsegmentation leave the first block of a dilated stage at the dilation before.
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
