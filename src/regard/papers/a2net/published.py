"""Checkpoint mappings for double attention (A²-Nets)."""

from __future__ import annotations

from regard.published.reference import Reference


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


_MAPS = {"gather_maps": "gather", "distribute_vectors": "distribute"}

REFERENCES = (
    Reference("a2net/paper", "a2", _paper, maps=_MAPS, recording="equations of the paper"),
    Reference("a2net/nguyenvo09.Double-Attention-Network/DoubleAttentionLayer", "a2", _port, maps=_MAPS),
    Reference("a2net/changzy00.pytorch-attention/DoubleAttention", "a2", _port_with_proj, maps=_MAPS),
)
