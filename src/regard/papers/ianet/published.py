"""Checkpoint mappings for interaction and aggregation."""

from __future__ import annotations

from torch import Tensor, nn

from regard.networks.person import TRUNK
from regard.published.naming import torch_names
from regard.published.reference import Given, Reference, unsupported


def _block(in_channels, height, width, alpha_x, alpha_y):
    return {"channels": in_channels, "widths": (alpha_y, alpha_x)}, {"spatial_norm": "W1", "channel_norm": "W2"}


def _network(last_s1, num_classes, width_divisor=1, layers=TRUNK.blocks):
    if last_s1 is not True:
        raise unsupported("last_s1", last_s1, "True is accepted: the last stage has stride 1")
    names = torch_names(layers, {}, "", bottleneck=True, head="classifier") | {"neck": "bn"}
    for stage in (1, 2):  # the released blocks stand in the sequence of the stage's blocks
        theirs = f"layer{stage + 1}.{layers[stage]}"
        names |= {f"attention.{stage}.{ours}": f"{theirs}.{part}" for ours, part in _block(1, 1, 1, 1, 1)[1].items()}
    return {"classes": num_classes, "width": 64 // width_divisor, "blocks": tuple(layers)}, names


class _Released(nn.Module):
    """Our network, with the outputs of the released one: logits and features in training, else features."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        behind, _, logits = self.module(x)
        return (logits, behind) if self.training else behind


def _released(module: nn.Module, args: Given) -> nn.Module:
    return _Released(module)


REFERENCES = (
    Reference("iaunet/blue-blue272.ImgReID-IAnet/IABlock2D", "ia", _block, maps={"spatial_affinity": "spatial"}),
    Reference("iaunet/blue-blue272.ImgReID-IAnet/IAResNet50_location", "ianet", _network, adapt=_released),
)
