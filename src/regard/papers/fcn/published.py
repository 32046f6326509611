"""Checkpoint mappings for plain segmentation networks, as torchvision has them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from regard.published.reference import Build, Reference

_HEAD = {"conv1": "0", "norm1": "1", "classify": "4"}


def _fcn(depth: int) -> Build:
    def build(num_classes=21, aux_loss=True):
        names = {"trunk.network": "backbone"}
        for ours, theirs in (("head", "classifier"), *((("auxiliary", "aux_classifier"),) if aux_loss else ())):
            names |= {f"{ours}.{part}": f"{theirs}.{layer}" for part, layer in _HEAD.items()}
        return {"name": f"fcn_resnet{depth}", "classes": num_classes, "auxiliary": aux_loss}, names

    return build


class _Named(nn.Module):
    """Our network, whose logits go by the names that torchvision gives them."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> OrderedDict[str, Tensor]:
        found = self.module(x)
        logits = (found,) if isinstance(found, Tensor) else found
        return OrderedDict(zip(("out", "aux"), logits, strict=False))


def _named(module: nn.Module, args: Mapping[str, Any]) -> nn.Module:
    return _Named(module)


REFERENCES = tuple(
    Reference(f"fcn/torchvision/fcn_resnet{depth}", "segmenter", _fcn(depth), adapt=_named) for depth in (50, 101)
)
