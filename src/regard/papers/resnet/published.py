"""Checkpoint mappings for ResNets without attention, as torchvision has them."""

from __future__ import annotations

from regard.networks.residual import BLOCKS
from regard.published.naming import network, torch_names
from regard.published.reference import Build


def _resnet(depth: int) -> Build:
    def build(num_classes=1000):
        names = torch_names(BLOCKS[depth], {}, "", bottleneck=depth > 34)
        return {"name": f"resnet{depth}", "classes": num_classes}, names

    return build


REFERENCES = tuple(network(f"resnet/torchvision/resnet{depth}", _resnet(depth)) for depth in BLOCKS)
