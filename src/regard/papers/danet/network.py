"""DANet: both attention modules in parallel on a dilated ResNet-101 with a multi-grid.

Dual Attention Network for Scene Segmentation. Fu, Liu, Tian, Li, Bao, Fang, Lu. CVPR 2019, arXiv:1809.02983.
Official code: junfu1115/DANet (PyTorch).

Deviations: none of the network, whose count was compared with the released code's. Its script passes `--aux`, which the
    network ignores: it has no auxiliary head beside the outputs of its two branches. The stem is one 7 × 7 convolution,
    as counted; later versions of the code also build one of three (`deep_stem`, resnet101s here).
Errata: the multi-grid (4, 8, 16) gives the dilations themselves; multiplied by the stage's 4 they are another network.
"""

from __future__ import annotations

from collections.abc import Mapping

from regard.networks.segmenter import Design

SEGMENTERS: Mapping[str, Design] = {
    "danet_resnet101": Design(head="danet", multi_grid=(4, 8, 16), align_corners=True, parameters=66_454_779),
}
