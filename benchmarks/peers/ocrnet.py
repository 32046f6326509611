"""Object-contextual representations: the authors' first release and the one for HRNet."""

import torch
from torch import Tensor, nn

from benchmarks.peers.peer import Peer, Shape
from benchmarks.peers.stand_ins import ModuleHelper

_FIRST = "openseg-group/openseg.pytorch:lib/models/modules/spatial_ocr_block.py"
_HRNET = "HRNet/HRNet-Semantic-Segmentation@HRNet-OCR:lib/models/seg_hrnet_ocr.py"
_CLASSES = 19
_PARTS = ("_ObjectAttentionBlock", "ObjectAttentionBlock2D", "SpatialOCR_Module")


def _map_and_regions(shape: Shape) -> list[Tensor]:
    return [torch.randn(shape), torch.randn(shape.batch, shape.channels, _CLASSES, 1)]


PEERS = (
    Peer(
        entry="ocr_gather",
        place=_FIRST,
        attribute="SpatialGather_Module",
        arguments=lambda shape: {"cls_num": _CLASSES},
        reference="ocrnet_spatial_gather/openseg-group.openseg.pytorch/SpatialGather_Module",
        inputs=lambda shape: [torch.randn(shape), torch.randn(shape.batch, _CLASSES, *shape.grid)],
        pick=("SpatialGather_Module",),
        names={"label_to_onehot": None},
    ),
    Peer(
        entry="object_attention",
        place=_FIRST,
        attribute="ObjectAttentionBlock2D",
        arguments=lambda shape: {"in_channels": shape.channels, "key_channels": shape.channels // 2},
        reference="ocrnet_object_attention/openseg-group.openseg.pytorch/ObjectAttentionBlock2D",
        inputs=_map_and_regions,
        pick=_PARTS[:2],
        names={"ModuleHelper": ModuleHelper},
    ),
    Peer(
        entry="ocr",
        place=_FIRST,
        attribute="SpatialOCR_Module",
        arguments=lambda shape: {
            "in_channels": shape.channels,
            "key_channels": shape.channels // 2,
            "out_channels": shape.channels,
        },
        reference="ocrnet_spatial_ocr/openseg-group.openseg.pytorch/SpatialOCR_Module",
        inputs=_map_and_regions,
        pick=_PARTS,
        names={"ModuleHelper": ModuleHelper},
    ),
    Peer(
        entry="ocr",
        place=_HRNET,
        attribute="SpatialOCR_Module",
        arguments=lambda shape: {
            "in_channels": shape.channels,
            "key_channels": shape.channels // 2,
            "out_channels": shape.channels,
        },
        reference="ocrnet_spatial_ocr/HRNet.HRNet-Semantic-Segmentation/SpatialOCR_Module",
        inputs=_map_and_regions,
        pick=(*_PARTS, "ALIGN_CORNERS", "ModuleHelper"),
        names={"BatchNorm2d": nn.BatchNorm2d},
    ),
)
