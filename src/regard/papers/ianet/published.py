"""Checkpoint mappings for interaction and aggregation."""

from __future__ import annotations

from regard.published.reference import Reference


def _block(in_channels, height, width, alpha_x, alpha_y):
    return {"channels": in_channels, "widths": (alpha_y, alpha_x)}, {"spatial_norm": "W1", "channel_norm": "W2"}


REFERENCES = (
    Reference("iaunet/blue-blue272.ImgReID-IAnet/IABlock2D", "ia", _block, maps={"spatial_affinity": "spatial"}),
)
