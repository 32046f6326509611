"""DANet: both attention modules in parallel on a dilated ResNet-101 with a multi-grid.

Dual Attention Network for Scene Segmentation. Fu, Liu, Tian, Li, Bao, Fang, Lu. CVPR 2019, arXiv:1809.02983.
Official code: junfu1115/DANet (PyTorch).

Deviations: none of the network. Its script passes `--aux`, which this network ignores: it has no auxiliary head beside
    the outputs of its two branches. The width of the trunk's stem is that of torchvision's ResNet.
"""

from __future__ import annotations

from collections.abc import Mapping

from regard.networks.segmenter import Design

SEGMENTERS: Mapping[str, Design] = {
    "danet_resnet101": Design(head="danet", multi_grid=(4, 8, 16), align_corners=True, parameters=66_454_779),
}
