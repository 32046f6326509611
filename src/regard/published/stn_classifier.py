"""The classifier with a spatial transformer as others publish it."""

from __future__ import annotations

from torch import nn

from regard.published.reference import Reference


def _tutorial(align_corners=False):
    names = {
        "transform.localise.0": "localization.0",
        "transform.localise.3": "localization.3",
        "transform.localise.7": "fc_loc.0",
        "transform.regress": "fc_loc.2",
        "first": "conv1",
        "second": "conv2",
        "embed": "fc1",
        "classify": "fc2",
    }
    return {"align_corners": align_corners}, names


def _log_probabilities(module, args):
    return nn.Sequential(module, nn.LogSoftmax(1))


REFERENCES = (
    Reference(
        "stn/pytorch.tutorials/Net",
        "stn_classifier",
        _tutorial,
        adapt=_log_probabilities,
        maps={"grid": "0.transform/grid", "theta": "0.transform/theta"},
    ),
)
