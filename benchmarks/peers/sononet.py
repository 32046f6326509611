"""Sononet's attention gates."""

from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.peers.peer import Peer, Shape
from benchmarks.peers.stand_ins import initialise

_GATES = "models/layers/grid_attention_layer.py"
_NETWORK = "models/networks/sononet_grid_attention.py"


def _map_and_coarser(shape: Shape) -> list[Tensor]:
    return [torch.randn(shape), torch.randn(shape.batch, shape.channels, shape.height // 2, shape.width // 2)]


def _torr(mode: str) -> Peer:
    return Peer(
        entry="sononet_gate",
        place=f"ozan-oktay/Attention-Gated-Networks:{_GATES}",
        attribute="GridAttentionBlock2D_TORR",
        arguments=lambda shape: {
            "in_channels": shape.channels,
            "gating_channels": shape.channels,
            "inter_channels": shape.channels // 2,
            "mode": f"concatenation_{mode}",
            "use_W": False,
        },
        reference="attention_gate/ozan-oktay.Attention-Gated-Networks/GridAttentionBlock2D_TORR",
        inputs=_map_and_coarser,
        names={"init_weights": initialise},
        setting=mode,
    )


class _Head(nn.Module):
    """The published network without its trunk: what it does with the three maps, in its own words' order."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.compatibility_score1 = network.compatibility_score1
        self.compatibility_score2 = network.compatibility_score2
        self.classifier = network.classifier

    def forward(self, x1: Tensor, x2: Tensor, g: Tensor) -> Tensor:
        gated = self.compatibility_score1(x1, g)[0], self.compatibility_score2(x2, g)[0]
        sums = [y.view(*y.shape[:2], -1).sum(-1) for y in gated]
        pooled = nn.functional.adaptive_avg_pool2d(g, (1, 1)).flatten(1)
        return self.classifier(torch.cat([*sums, pooled], 1))


def _head(code: ModuleType, arguments: dict[str, Any]) -> nn.Module:
    return _Head(code.sononet_grid_attention(**arguments))


def _three_maps(shape: Shape) -> list[Tensor]:
    return [
        torch.randn(shape.batch, shape.channels // 2, *shape.grid),
        torch.randn(shape.batch, shape.channels, shape.height // 2, shape.width // 2),
        torch.randn(shape.batch, shape.channels, shape.height // 4, shape.width // 4),
    ]


PEERS = (
    _torr("mean_flow"),
    _torr("softmax"),
    Peer(
        entry="sononet_aggregation",
        place=f"ozan-oktay/Attention-Gated-Networks:{_GATES}+{_NETWORK}",
        attribute="sononet_grid_attention",
        arguments=lambda shape: {
            "feature_scale": 512 / shape.channels,
            "n_classes": 14,
            "nonlocal_mode": "concatenation_mean_flow",
        },
        make=_head,
        reference="attention_gate/ozan-oktay.Attention-Gated-Networks/sononet_grid_attention.aggregate",
        inputs=_three_maps,
        pick=("_GridAttentionBlockND_TORR", "GridAttentionBlock2D_TORR", "sononet_grid_attention"),
        names={"init_weights": initialise, "unetConv2": lambda *widths, **options: nn.Identity()},
        # the class by the name under which it is imported; a misspelt method
        edits={"AttentionBlock2D(": "GridAttentionBlock2D_TORR(", "aggreagation": "aggregation"},
    ),
)
