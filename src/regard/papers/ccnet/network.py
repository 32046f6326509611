"""CCNet: recurrent criss-cross attention on a dilated ResNet-101 with a stem of three convolutions.

CCNet: Criss-Cross Attention for Semantic Segmentation. Huang, Wang, Huang, Huang, Wei, Liu. ICCV 2019,
    arXiv:1811.11721.
Official code: speedinghzl/CCNet.

Deviations: official code has InPlaceABN, which applies |w| + ε | batch norms, for which a checkpoint's weights are read
    as |w| + ε. The layers are as released, and their count was compared: a stem of 64, 64 and 128 channels whose pool
    rounds up, and the stage's dilation in every block of it.
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
        auxiliary=Auxiliary(bias=True, slope=0.01, reduction=2, by_channel=True),
        align_corners=True,
        parameters=71_287_911,
    ),
}
