"""OCR: object-contextual representations on a dilated ResNet-101, and on HRNetV2-W48.

Object-Contextual Representations for Semantic Segmentation. Yuan, Chen, Wang. ECCV 2020, arXiv:1909.11065.
Official code: openseg-group/openseg.pytorch; HRNet/HRNet-Semantic-Segmentation, branch HRNet-OCR.

    HRNet: x = [z₁; up(z₂); up(z₃); up(z₄)], the branches behind stage 4, 15 W channels at a quarter of the image    (1)

Deviations: layers and their order are read in the released code; the counts of the whole networks were not compared.
    The branches of timm's HRNet exchange maps by the nearest pixel | those of the released networks bilinearly, corners
    on corners | bilinearly.
Errata: timm's features of an hrnet lie behind further layers, of 128 to 1024 channels, and are not these branches.
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
