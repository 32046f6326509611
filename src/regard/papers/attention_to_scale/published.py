"""Checkpoint mappings for attention to scale: the paper's equations, as they were recorded."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from regard.published.reference import Reference

_MERGES = {"att": "attention", "avg": "average", "max": "max"}


def _head(channels, num_classes, hidden=512, num_scales=3):
    # of the classes there are no parameters
    return {"channels": channels, "scales": num_scales, "hidden": hidden}, {"hide": "att.0", "score": "att.2"}


def _network(c1, c, K, scales=(1, 0.75, 0.5), hidden=512, merge="att"):
    names = {"trunk.0": "trunk.conv1", "trunk.2": "trunk.conv2", "classify": "trunk.score"}
    if merge == "att":
        names |= {f"merge.{ours}": theirs for ours, theirs in _head(c, K)[1].items()}
    arguments = {"classes": K, "scales": tuple(scales), "merge": _MERGES[merge], "features": c, "width": 1}
    return {**arguments, "hidden": hidden or 1}, names  # 0 where there is no attention


class _Recorded(nn.Module):
    """Our network, called for the scores at their own sizes."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        scores: tuple[Tensor, ...] = self.module.scored(x)  # type: ignore[operator]
        return scores


class _WithWeights(nn.Module):
    """Our head, called for its weights as well."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *maps: Tensor) -> tuple[Tensor, Tensor]:
        weights: Tensor = self.module.weights(*maps[: len(maps) // 2])  # type: ignore[operator]
        return self.module(*maps), weights


def _on_two_convolutions(module: nn.Module, args: Mapping[str, Any]) -> nn.Module:
    """Puts the trunk of the recording in place of VGG-16."""
    layers: list[nn.Module] = []
    for before, after in pairwise((3, args["c1"], args["c"])):
        layers += [nn.Conv2d(before, after, 3, 2, 1), nn.ReLU()]
    module.trunk = nn.Sequential(*layers)
    return module


REFERENCES = (
    Reference(
        "attention_to_scale/paper",
        "attention_to_scale",
        _network,
        host=_on_two_convolutions,
        adapt=lambda module, args: _Recorded(module),
        maps={"scale_weights": "merge/scale"},
        recording="the paper's equations on a trunk of two convolutions; c1, c its channels, K the classes",
    ),
    Reference(
        "attention_to_scale_head/paper",
        "scale_attention",
        _head,
        adapt=lambda module, args: _WithWeights(module),
        recording="the paper's equations",
    ),
)
