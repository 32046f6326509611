"""Checkpoint mappings for double attention (A²-Nets)."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from regard.published.reference import Given, Reference, State


def _paper(in_channels, c_m, c_n, residual=True):
    names = {"project": "convA", "gather": "convB", "distribute": "convV", "expand": "expand"}
    return {"channels": in_channels, "hidden": c_m, "descriptors": c_n, "residual": residual}, names


def _port(in_channels, c_m, c_n, reconstruct=False):
    arguments, names = _paper(in_channels, c_m, c_n, residual=False)
    last = {"expand": "conv_reconstruct"} if reconstruct else {}
    kept = {ours: theirs for ours, theirs in names.items() if ours != "expand"}
    return {**arguments, "expand": reconstruct}, {**kept, **last}


def _port_with_proj(in_channels, c_m, c_n):
    arguments, names = _paper(in_channels, c_m, c_n, residual=False)
    return arguments, {**names, "expand": "proj"}


def _survey(in_c):
    arguments, names = _paper(in_c, in_c, in_c, residual=False)
    return {**arguments, "expand": False}, {ours: names[ours] for ours in ("project", "gather")}


def _gathering(state: State, args: Given) -> State:
    """The state without the layer that the listing never comes to."""
    return {key: value for key, value in state.items() if not key.startswith("convV.")}


class _Gathered(nn.Module):
    """The descriptors, with which the survey's listing ends, each divided by the number of positions once more."""

    def __init__(self, module: Any, args: Given) -> None:
        super().__init__()
        self.project, self.gather = module.project, module.gather

    def forward(self, x: Tensor) -> Tensor:
        n = x.flatten(2)
        gathered: Tensor = self.gather(n).softmax(2) @ self.project(n).mT / n.shape[2]  # [B, G, m]
        return gathered


_MAPS = {"gather_maps": "gather", "distribute_vectors": "distribute"}

REFERENCES = (
    Reference("a2net/paper", "a2", _paper, maps=_MAPS, recording="equations of the paper"),
    Reference(
        "a2net/survey",
        "a2",
        _survey,
        state=_gathering,
        host=_Gathered,
        recording="a survey's listing, which ends halfway",
    ),
    Reference("a2net/nguyenvo09.Double-Attention-Network/DoubleAttentionLayer", "a2", _port, maps=_MAPS),
    Reference("a2net/changzy00.pytorch-attention/DoubleAttention", "a2", _port_with_proj, maps=_MAPS),
)
