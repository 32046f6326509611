"""Checkpoint mappings for spatial and channel squeeze-and-excitation."""

from __future__ import annotations

from regard.published.reference import Reference


def _cse(num_channels, reduction_ratio=2):
    names = {"channel_gate.reduce": "fc1", "channel_gate.expand": "fc2"}
    return {"channels": num_channels, "reduction": reduction_ratio}, names


def _sse(num_channels):
    return {"channels": num_channels}, {"spatial_gate.project": "conv"}


def _scse(num_channels, reduction_ratio=2):
    return {"channels": num_channels, "reduction": reduction_ratio, "merge": "max"}, {
        "channel_gate.reduce": "cSE.fc1",
        "channel_gate.expand": "cSE.fc2",
        "spatial_gate.project": "sSE.conv",
    }


def _scse_smp(in_channels, reduction=16):
    return {"channels": in_channels, "reduction": reduction, "merge": "add"}, {
        "channel_gate.reduce": "cSE.1",
        "channel_gate.expand": "cSE.3",
        "spatial_gate.project": "sSE.0",
    }


_MAPS = {"channel_gate": "channel", "spatial_gate": "spatial"}

REFERENCES = (
    Reference("scse/ai-med.squeeze_and_excitation/ChannelSELayer", "cse", _cse, maps=_MAPS),
    Reference("scse/ai-med.squeeze_and_excitation/SpatialSELayer", "sse", _sse, maps=_MAPS),
    Reference("scse/ai-med.squeeze_and_excitation/ChannelSpatialSELayer", "scse", _scse, maps=_MAPS),
    Reference("scse/qubvel-org.segmentation_models.pytorch/SCSEModule", "scse", _scse_smp, maps=_MAPS),
)
