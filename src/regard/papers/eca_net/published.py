"""Checkpoint mappings for efficient channel attention: layers, residual blocks and networks."""

from __future__ import annotations

from regard.networks.residual import BLOCKS
from regard.published.naming import MOBILE_LAST, mobile_blocks, network, torch_names
from regard.published.reference import Build, Reference, in_residual_block, unsupported

_OFFICIAL = "eca/BangguWu.ECANet"
_SIZES = {18: (3, 5, 7, 7), 34: (3, 3, 5, 7), 50: (3, 5, 5, 7), 101: (3, 3, 5, 7), 152: (3, 3, 5, 7)}  # by depth


def _eca(channel, k_size=3):
    return {"channels": channel, "kernel_size": k_size}, {"conv": "conv"}


def _eca_ns(channel, k_size=3):
    return {"channels": channel, "kernel_size": k_size}, {"": "conv"}


def _block(name, *, basic):
    build, host = in_residual_block(_eca, "eca", basic=basic)
    maps = {"channel_gate": "attention/channel"}
    return Reference(f"{_OFFICIAL}/{name}", "eca", build, host=host, maps=maps)


def _eca_resnet(depth: int) -> Build:
    def build(k_size=(3, 3, 3, 3), num_classes=1000, pretrained=False):
        if tuple(k_size) != _SIZES[depth]:
            raise unsupported("k_size", k_size, f"{_SIZES[depth]} is accepted, as released")
        names = torch_names(BLOCKS[depth], {"conv": "conv"}, "eca.", bottleneck=depth > 34)
        return {"name": f"eca_resnet{depth}", "classes": num_classes}, names

    return build


def _eca_mobile(num_classes=1000, width_mult=1.0):
    if width_mult != 1:
        raise unsupported("width_mult", width_mult, "1 is accepted, as released")
    names = {"stem": "features.0", "classify": "classifier.1"}
    for number, ours, stage in mobile_blocks():
        layers = 3 if stage else 2  # the first block has no convolution that widens
        names |= {f"{ours}.layers.{i}": f"features.{number}.conv.{i}" for i in range(layers - 1)}
        last = {f"{ours}.layers.{layers - 1}.{i}": f"features.{number}.conv.{layers - 1 + i}" for i in (0, 1)}
        names |= {**last, f"{ours}.attention.conv": f"features.{number}.conv.{layers + 1}.conv"}
    return {"name": "eca_mobilenetv2", "classes": num_classes}, {**names, MOBILE_LAST: "features.18"}


REFERENCES = (
    _block("ECABottleneck", basic=False),
    _block("ECABasicBlock", basic=True),
    Reference(f"{_OFFICIAL}/eca_layer", "eca", _eca),
    Reference(f"{_OFFICIAL}/eca_ns_layer", "eca_ns", _eca_ns),
    *(network(f"{_OFFICIAL}/eca_resnet{depth}", _eca_resnet(depth)) for depth in BLOCKS),
    network(f"{_OFFICIAL}/eca_mobilenet_v2", _eca_mobile),
)
