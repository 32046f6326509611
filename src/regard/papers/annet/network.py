"""ANN: fusion and pyramid attention on the last two stages of a dilated ResNet-101.

Asymmetric Non-local Neural Networks for Semantic Segmentation. Zhu, Xu, Bai, Huang, Bai. ICCV 2019, arXiv:1908.07678.
Official code: MendelXu/ANN (PyTorch).

Deviations: the head is as released. The trunk (a stem of three convolutions whose pool rounds up, no multi-grid) and
    the names of its layers are read from a sister repository, openseg-group/openseg.pytorch, and from memory; its count
    could not be compared with the released network's.
"""

from __future__ import annotations

from collections.abc import Mapping

from regard.networks.segmenter import Design

SEGMENTERS: Mapping[str, Design] = {
    "annet_resnet101": Design(backbone="resnet101s", round_up=True, head="annet", align_corners=True),
}
