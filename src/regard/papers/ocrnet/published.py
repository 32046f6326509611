"""Checkpoint mappings for object-contextual representations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from regard.core import Grid
from regard.papers.ocrnet.mechanism.context import ObjectAttention
from regard.published.naming import trunk_names
from regard.published.reference import Reference, unsupported

_ATTENTION = {
    "pixel.0.conv": "f_pixel.0",
    "pixel.0.norm": "f_pixel.1.0",
    "pixel.1.conv": "f_pixel.2",
    "pixel.1.norm": "f_pixel.3.0",
    "object.0.conv": "f_object.0",
    "object.0.norm": "f_object.1.0",
    "object.1.conv": "f_object.2",
    "object.1.norm": "f_object.3.0",
    "down.conv": "f_down.0",
    "down.norm": "f_down.1.0",
    "up.conv": "f_up.0",
    "up.norm": "f_up.1.0",
}
_WITHOUT_TRUNK = "the network without its trunk, on given maps"
_CONTEXT = {
    **{f"attention.{ours}": f"object_context_block.{theirs}" for ours, theirs in _ATTENTION.items()},
    "merge.conv": "conv_bn_dropout.0",
    "merge.norm": "conv_bn_dropout.1.0",
}


def _gather(cls_num=0, scale=1, use_gt=False):
    return {"scale": scale}, {}


def _gather_hrnet(cls_num=0, scale=1):
    return {"scale": scale}, {}


def _attention_hrnet(in_channels, key_channels, scale=1, bn_type=None):
    return {"channels": in_channels, "hidden": key_channels, "scale": scale}, _ATTENTION


def _attention(in_channels, key_channels, scale=1, use_gt=False, use_bg=False, fetch_attention=False, bn_type=None):
    if use_bg:
        raise unsupported(
            "use_bg", use_bg, "False is accepted; the context of the background, from true labels, is an analysis"
        )
    arguments, names = _attention_hrnet(in_channels, key_channels, scale)
    return {**arguments, "bias": True}, names


def _context_hrnet(in_channels, key_channels, out_channels, scale=1, dropout=0.1, bn_type=None):
    arguments, _ = _attention_hrnet(in_channels, key_channels, scale)
    return {**arguments, "out": out_channels, "dropout": dropout}, _CONTEXT


def _context(
    in_channels,
    key_channels,
    out_channels,
    scale=1,
    dropout=0.1,
    use_gt=False,
    use_bg=False,
    use_oc=True,
    fetch_attention=False,
    bn_type=None,
):
    arguments, _ = _attention(in_channels, key_channels, scale, use_gt, use_bg)
    return {**arguments, "out": out_channels, "dropout": dropout}, _CONTEXT


def _head_names(first: str, context: str, classify: str, coarse: dict[str, str]) -> dict[str, str]:
    return {
        **{f"context.{ours}": f"{context}.{theirs}" for ours, theirs in _CONTEXT.items()},
        **{f"coarse.{ours}": theirs for ours, theirs in coarse.items()},
        "reduce.conv": f"{first}.0",
        "reduce.norm": f"{first}.1",
        "classify": classify,
    }


def _head_hrnet(in_ch=720, mid=512, key=256, ncls=19):
    coarse = {"0.conv": "aux_head.0", "0.norm": "aux_head.1", "1": "aux_head.3"}
    names = _head_names("conv3x3_ocr", "ocr_distri_head", "cls_head", coarse)
    return {"channels": in_ch, "hidden": mid, "key": key, "classes": ncls}, names


def _head_openseg(c3=1024, c4=2048, mid=512, key=256, ncls=19, image_size=None):
    coarse = {"0.conv": "dsn_head.0", "0.norm": "dsn_head.1.0", "2": "dsn_head.3"}
    names = _head_names("conv_3x3", "spatial_ocr_head", "head", coarse)
    names["reduce.norm"] = "conv_3x3.1.0"
    arguments = {"channels": c4, "aux_channels": c3, "hidden": mid, "key": key, "classes": ncls}
    return {**arguments, "bias": True}, names


def _network_hrnet(num_classes=19, width=48):
    if width not in (18, 30, 32, 40, 44, 48, 64):
        raise unsupported("width", width, "18, 30, 32, 40, 44, 48 or 64 is accepted")
    _, head = _head_hrnet(15 * width, ncls=num_classes)
    names = {"trunk.network": "", **{f"head.{ours}": theirs for ours, theirs in head.items()}}
    return {"name": "ocrnet_hrnet_w48", "classes": num_classes, "backbone": f"hrnet_w{width}"}, names


def _network_openseg(num_classes=19, backbone="deepbase_resnet101_dilated8"):
    depth = backbone.removeprefix("deepbase_resnet").removesuffix("_dilated8")
    if depth not in ("50", "101", "152"):
        raise unsupported("backbone", backbone, "deepbase_resnet50_dilated8, …101… or …152… is accepted")
    _, head = _head_openseg(ncls=num_classes)
    names = trunk_names("backbone.resinit.", "backbone.") | {f"head.{ours}": theirs for ours, theirs in head.items()}
    return {"name": "ocrnet_resnet101", "classes": num_classes, "backbone": f"resnet{depth}s"}, names


class _Fetching(nn.Module):
    """Our attention, which also returns the relation of pixels and regions."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor, regions: Tensor) -> tuple[Tensor, Tensor]:
        (part,) = (part for part in self.module.modules() if isinstance(part, ObjectAttention))
        seen: list[Tensor] = []

        def see(name: str, map: Tensor, **grids: Grid) -> Tensor:
            seen.append(map)
            return ObjectAttention.see(part, name, map, **grids)

        part.see = see  # type: ignore[method-assign]
        try:
            return self.module(x, regions), seen[-1]
        finally:
            del part.see


def _fetching(module: nn.Module, args: Mapping[str, Any]) -> nn.Module:
    return _Fetching(module) if args.get("fetch_attention") else module


class _Resized(nn.Module):
    """Our head, called with stage 3 first; it resizes both logits to the image."""

    def __init__(self, module: nn.Module, size: tuple[int, int] | None) -> None:
        super().__init__()
        self.module = module
        self.size = size

    def forward(self, earlier: Tensor, x: Tensor) -> tuple[Tensor, ...]:
        outputs = self.module(x, earlier)
        if self.size is None:
            return outputs
        return tuple(F.interpolate(y, self.size, mode="bilinear", align_corners=True) for y in outputs)


def _resized(module: nn.Module, args: Mapping[str, Any]) -> nn.Module:
    return _Resized(module, tuple(args["image_size"]) if args.get("image_size") else None)


_HRNET = "HRNet.HRNet-Semantic-Segmentation"
_OPENSEG = "openseg-group.openseg.pytorch"
_REGION = {"weights": "region"}
_RELATION = {"pixel_region_relation": "affinity"}
_OF_CONTEXT = {"pixel_region_relation": "attention/affinity"}
_OF_HEAD = {"pixel_region_relation": "context.attention/affinity", "weights": "gather/region"}

REFERENCES = (
    Reference(f"ocrnet_spatial_gather/{_HRNET}/SpatialGather_Module", "ocr_gather", _gather_hrnet, maps=_REGION),
    Reference(f"ocrnet_spatial_gather/{_OPENSEG}/SpatialGather_Module", "ocr_gather", _gather, maps=_REGION),
    Reference(
        f"ocrnet_object_attention/{_HRNET}/ObjectAttentionBlock2D", "object_attention", _attention_hrnet, maps=_RELATION
    ),
    Reference(
        f"ocrnet_object_attention/{_OPENSEG}/ObjectAttentionBlock2D",
        "object_attention",
        _attention,
        adapt=_fetching,
        maps=_RELATION,
    ),
    Reference(f"ocrnet_spatial_ocr/{_HRNET}/SpatialOCR_Module", "ocr", _context_hrnet, maps=_OF_CONTEXT),
    Reference(f"ocrnet_spatial_ocr/{_OPENSEG}/SpatialOCR_Module", "ocr", _context, adapt=_fetching, maps=_OF_CONTEXT),
    Reference(
        f"ocrnet_head/{_HRNET}/HighResolutionNet", "ocrnet", _head_hrnet, maps=_OF_HEAD, recording=_WITHOUT_TRUNK
    ),
    Reference(
        f"ocrnet_head/{_OPENSEG}/SpatialOCRNet",
        "ocrnet",
        _head_openseg,
        adapt=_resized,
        maps=_OF_HEAD,
        recording=_WITHOUT_TRUNK,
    ),
    Reference(f"ocrnet/{_HRNET}/HighResolutionNet", "segmenter", _network_hrnet),
    Reference(f"ocrnet/{_OPENSEG}/SpatialOCRNet", "segmenter", _network_openseg),
)
