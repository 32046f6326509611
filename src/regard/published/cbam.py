"""CBAM as others publish them."""

from __future__ import annotations

from regard.published.reference import Reference


def _cbam(gate_channels, reduction_ratio=16, pool_types=("avg", "max"), no_spatial=False):
    names = {"reduce": "ChannelGate.mlp.1", "expand": "ChannelGate.mlp.3"}
    if not no_spatial:
        names |= {"conv": "SpatialGate.spatial.conv", "norm": "SpatialGate.spatial.bn"}
    arguments = {"channels": gate_channels, "reduction": reduction_ratio, "pools": tuple(pool_types)}
    return {**arguments, "spatial": not no_spatial}, names


def _cbam_channel(gate_channels, reduction_ratio=16, pool_types=("avg", "max")):
    arguments, _ = _cbam(gate_channels, reduction_ratio, pool_types, no_spatial=True)
    return arguments, {"reduce": "mlp.1", "expand": "mlp.3"}


_MAPS = {"channel_gate": "channel", "spatial_gate": "spatial"}

REFERENCES = (
    Reference("cbam/Jongchan.attention-module/CBAM", "cbam", _cbam, maps=_MAPS),
    Reference("cbam/Jongchan.attention-module/ChannelGate", "cbam", _cbam_channel, maps=_MAPS),
)
