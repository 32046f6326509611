"""Checkpoint mappings for spatial transformers: the transformer, and the tutorial's classifier around one."""

from __future__ import annotations

from torch import nn

from regard.published.reference import Given, Reference

_LOCALISATION = {
    "localise.0": "localization.0",
    "localise.3": "localization.3",
    "localise.7": "fc_loc.0",
    "regress": "fc_loc.2",
}
_MAPS = {"grid": "grid", "theta": "theta"}


def _torch(out_size=None, align_corners=False, padding_mode="zeros", mode="bilinear"):
    """`affine_grid` and `grid_sample` by a given θ; they work with any number of channels."""
    return {
        "channels": 1,
        "localisation": "given",
        "size": out_size,
        "align_corners": bool(align_corners),
        "padding": padding_mode,
        "interpolation": mode,
    }, {}


def _attention(out_size=None, align_corners=True, params="input.1=(s,tx,ty)", padding_mode="zeros"):
    arguments, names = _torch(out_size, align_corners, padding_mode)
    return {**arguments, "transform": "attention"}, names


def _tutorial(in_channels=1, size=28, align_corners=False):
    grid = (size, size) if isinstance(size, int) else tuple(size)
    arguments = {"channels": in_channels, "localisation": "flat", "grid": grid, "align_corners": align_corners}
    return arguments, _LOCALISATION


def _tutorial_classifier(align_corners=False):
    names = {f"transform.{ours}": theirs for ours, theirs in _LOCALISATION.items()}
    names |= {"convolutions.0": "conv1", "convolutions.1": "conv2", "hidden.0": "fc1", "classify": "fc2"}
    return {"align_corners": align_corners}, names


def _log_probabilities(module: nn.Module, args: Given) -> nn.Module:
    """Our network with the log-softmax in which the tutorial's ends."""
    return nn.Sequential(module, nn.LogSoftmax(1))


REFERENCES = (
    Reference("stn/torch/affine_grid-grid_sample", "stn", _torch, maps=_MAPS, recording="two functions of torch"),
    Reference("stn/paper", "stn", _attention, maps=_MAPS, recording="equations of the paper"),
    Reference("stn/pytorch.tutorials/Net.stn", "stn", _tutorial, maps=_MAPS),
    Reference(
        "stn/pytorch.tutorials/Net",
        "stn_classifier",
        _tutorial_classifier,
        adapt=_log_probabilities,
        maps={"grid": "0.transform/grid", "theta": "0.transform/theta"},
    ),
)
