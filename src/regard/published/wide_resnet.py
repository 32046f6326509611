"""Wide residual networks as others publish them."""

from __future__ import annotations

from regard.published.reference import Reference


def _wide(depth, width, num_classes):
    names = {"stem.weight": "conv0", "norm": "bn", "classify": "fc"}
    for group in range(3):
        for block in range((depth - 4) // 6):
            ours, theirs = f"groups.{group}.{block}", f"group{group}.block{block}"
            names |= {f"{ours}.norm1": f"{theirs}.bn0", f"{ours}.norm2": f"{theirs}.bn1"}
            # their convolutions are bare tensors
            names |= {f"{ours}.conv1.weight": f"{theirs}.conv0", f"{ours}.conv2.weight": f"{theirs}.conv1"}
            names[f"{ours}.project.weight"] = f"{theirs}.convdim"
    return {"classes": num_classes, "depth": depth, "width": width}, names


REFERENCES = (
    Reference(
        "attention_transfer/szagoruyko.attention-transfer/resnet", "wide_resnet", _wide, maps={"group2": "activation"}
    ),
)
