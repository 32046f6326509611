"""Checkpoint mappings for RGA."""

from __future__ import annotations

from regard.published.reference import Reference


def _rga(in_channel, in_spatial, use_spatial=True, use_channel=True, cha_ratio=8, spa_ratio=8, down_ratio=8):
    names: dict[str, str] = {}
    for ours, used in (("spatial", use_spatial), ("channel", use_channel)):
        embeddings = {"theta": "theta", "phi": "phi", "own": "gx"} if used else {}
        for part, theirs in embeddings.items():
            names |= {f"{ours}.{part}.project": f"{theirs}_{ours}.0", f"{ours}.{part}.norm": f"{theirs}_{ours}.1"}
        layers = {"relate": "gg_{}.0", "relate_norm": "gg_{}.1", "reduce": "W_{}.0", "reduce_norm": "W_{}.1"}
        layers |= {"expand": "W_{}.3", "expand_norm": "W_{}.4"}
        if used:
            names |= {f"{ours}.{part}": theirs.format(ours) for part, theirs in layers.items()}
    return {
        "channels": in_channel,
        "grid": in_spatial,
        "spatial": use_spatial,
        "channel": use_channel,
        "channel_reduction": cha_ratio,
        "spatial_reduction": spa_ratio,
        "gate_reduction": down_ratio,
    }, names


REFERENCES = (
    Reference(
        "rga/microsoft.Relation-Aware-Global-Attention-Networks/RGA_Module",
        "rga",
        _rga,
        maps={
            "spatial_gate": "spatial",
            "channel_gate": "channel",
            "spatial_affinity": "spatial_affinity",
            "channel_affinity": "channel_affinity",
        },
    ),
)
