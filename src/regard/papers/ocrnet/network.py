"""OCR: object-contextual representations on a dilated ResNet-101, and on HRNetV2-W48.

Object-Contextual Representations for Semantic Segmentation. Yuan, Chen, Wang. ECCV 2020, arXiv:1909.11065.
Official code: openseg-group/openseg.pytorch; HRNet/HRNet-Semantic-Segmentation, branch HRNet-OCR.
"""

from __future__ import annotations

from collections.abc import Mapping

from regard.networks.segmenter import Design

SEGMENTERS: Mapping[str, Design] = {
    "ocrnet_resnet101": Design(
        backbone="resnet101s", round_up=True, head="ocrnet", options={"bias": True}, align_corners=True
    ),
    "ocrnet_hrnet_w48": Design(backbone="hrnet_w48", output_stride=4, head="ocrnet", align_corners=True),
}
