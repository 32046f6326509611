"""Spatial transformers; where the transformation is given, what remains is torch's own sampling."""

from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.peers.peer import Function, Peer


def _sampling(functional: ModuleType, arguments: dict[str, Any]) -> nn.Module:
    def sample(x: Tensor, theta: Tensor) -> Tensor:
        grid = functional.affine_grid(theta, list(x.shape), **arguments)
        return functional.grid_sample(x, grid, **arguments)

    return Function(sample, {})


PEERS = (
    Peer(
        entry="stn",
        place="torch.nn.functional",
        attribute="grid_sample",
        arguments=lambda shape: {"align_corners": False},
        make=_sampling,
        reference="stn/torch/affine_grid-grid_sample",
        inputs=lambda shape: [torch.randn(shape), torch.eye(2, 3) + 0.1 * torch.randn(shape.batch, 2, 3)],
        setting="after affine_grid",
    ),
)
