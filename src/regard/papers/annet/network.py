"""ANN: fusion and pyramid attention on the last two stages of a dilated ResNet-101.

Asymmetric Non-local Neural Networks for Semantic Segmentation. Zhu, Xu, Bai, Huang, Bai. ICCV 2019, arXiv:1908.07678.
Official code: MendelXu/ANN (PyTorch).
"""

from __future__ import annotations

from collections.abc import Mapping

from regard.networks.segmenter import Design

SEGMENTERS: Mapping[str, Design] = {
    "annet_resnet101": Design(backbone="resnet101s", round_up=True, head="annet", align_corners=True),
}
