"""Checkpoint mappings for global context blocks."""

from __future__ import annotations

from regard.published.reference import Reference


def _gc(inplanes, ratio, pooling_type="att", fusion_types=("channel_add",)):
    names = {"mask": "conv_mask"} if pooling_type == "att" else {}
    for way in ("mul", "add"):
        if f"channel_{way}" in fusion_types:
            names[way] = f"channel_{way}_conv"
    return {
        "channels": inplanes,
        "hidden": int(inplanes * ratio),
        "pool": {"att": "attention", "avg": "average"}.get(pooling_type, pooling_type),
        "fusion": tuple(way.removeprefix("channel_") for way in fusion_types),
    }, names


REFERENCES = (
    Reference("gcnet_context_block/xvjiarui.GCNet/ContextBlock", "gc", _gc, maps={"mask": "spatial"}),
    Reference("gcnet_context_block/open-mmlab.mmcv/ContextBlock", "gc", _gc, maps={"mask": "spatial"}),
)
