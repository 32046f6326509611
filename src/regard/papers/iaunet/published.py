"""Checkpoint mappings for interaction-aggregation-update units."""

from __future__ import annotations

from collections.abc import Mapping
from functools import wraps
from typing import Any

from torch import Tensor, nn

from regard.networks.person import TRUNK
from regard.published.naming import torch_names
from regard.published.reference import Build, Reference, State


def _unit(mask: str, inner: str) -> Build:
    def build(in_channels):
        names = {
            "channel.out": "W1.0",
            "channel.norm": "W1.1",
            "spatial.mask": f"{mask}.conv.conv",
            "spatial.mask_norm": f"{mask}.conv.bn",
            "spatial.reduce": "g",
            "spatial.relate": f"{inner}.module_w.relation.0",
            "spatial.relate_norm": f"{inner}.module_w.relation.1",
            "spatial.update": f"{inner}.module_l.fsm.0",
            "spatial.update_norm": f"{inner}.module_l.fsm.1",
            "spatial.out": "W2.0",
            "spatial.norm": "W2.1",
        }
        return {"channels": in_channels, "return_mask": True}, names

    return build


_image = _unit("sa", "SIAU")


def _video(in_channels, seq_len, t=None):
    arguments, names = _unit("SA", "STIAU")(in_channels)
    return {**arguments, "dims": 3}, names


def _alone(whole: Build, unit: str) -> Build:
    """The published block with one of its units alone."""

    @wraps(whole)  # for its signature
    def build(*args, **kwargs):
        arguments, names = whole(*args, **kwargs)
        if unit == "channel":
            del arguments["return_mask"]
        start = f"{unit}."
        return arguments, {ours.removeprefix(start): theirs for ours, theirs in names.items() if ours.startswith(start)}

    return build


def _channel_state(state: State, args: Mapping[str, Any]) -> State:
    return {key: value for key, value in state.items() if key.startswith("W1.")}


def _spatial_state(state: State, args: Mapping[str, Any]) -> State:
    return {key: value for key, value in state.items() if not key.startswith("W1.")}


class _FramesAsBatch(nn.Module):
    """Our unit, which returns the masks of all frames in one batch."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y, mask = self.module(x)
        return y, mask.flatten(0, 1)


def _frames_as_batch(module: nn.Module, args: Mapping[str, Any]) -> nn.Module:
    return _FramesAsBatch(module)


def _network(num_classes, width_divisor=1, layers=TRUNK.blocks):
    names = torch_names(layers, {}, "", bottleneck=True, head="classifier") | {"neck": "bn"}
    for stage in (1, 2):
        names |= {f"attention.{stage}.{ours}": f"IAU{stage + 1}.{theirs}" for ours, theirs in _image(1)[1].items()}
    return {"classes": num_classes, "width": 64 // width_divisor, "blocks": tuple(layers)}, names


class _PartByPart(nn.Module):
    """Our network, with the outputs of the released one: logits, features, and by part the masks of both stages."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        behind, _, logits, *masks = self.module(x)
        parts = range(masks[0].shape[1])
        return logits, behind, *(mask[:, part : part + 1] for part in parts for mask in masks)


def _part_by_part(module: nn.Module, args: Mapping[str, Any]) -> nn.Module:
    return _PartByPart(module)


_IANET = "iaunet/blue-blue272.ImgReID-IAnet"
_MAPS = {"channel_affinity": "channel/affinity", "part_masks": "spatial/mask"}
_CHANNEL = {"channel_affinity": "affinity"}
_SPATIAL = {"part_masks": "mask"}

REFERENCES = (
    Reference(f"{_IANET}/IAU", "iau", _image, maps=_MAPS),
    Reference(f"{_IANET}/IAUBlock3D", "iau", _video, adapt=_frames_as_batch, maps=_MAPS),
    Reference(f"{_IANET}/IAU.CIAU", "ciau", _alone(_image, "channel"), state=_channel_state, maps=_CHANNEL),
    Reference(f"{_IANET}/IAU.SIAU", "siau", _alone(_image, "spatial"), state=_spatial_state, maps=_SPATIAL),
    Reference(f"{_IANET}/IAUBlock3D.CIAU", "ciau", _alone(_video, "channel"), state=_channel_state, maps=_CHANNEL),
    Reference(
        f"{_IANET}/IAUBlock3D.STIAU",
        "siau",
        _alone(_video, "spatial"),
        state=_spatial_state,
        adapt=_frames_as_batch,
        maps={"part_masks": "module/mask"},
    ),
    Reference(f"{_IANET}/IAUnet", "iaunet", _network, adapt=_part_by_part),
)
