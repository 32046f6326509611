"""Frequency channel attention as others publish it."""

from __future__ import annotations

from regard.published.reference import Reference


def _fca(channel, dct_h, dct_w, reduction=16, freq_sel_method="top16"):
    arguments = {
        "channels": channel,
        "frequencies": freq_sel_method,
        "size": (dct_h, dct_w),
        "reduction": reduction,
    }
    return arguments, {"": "dct_layer", "reduce": "fc.0", "expand": "fc.2"}


def _renamed(state, args):
    return {"dct_layer.filters" if key == "dct_layer.weight" else key: value for key, value in state.items()}


REFERENCES = (
    Reference(
        "fca/cfzd.FcaNet/MultiSpectralAttentionLayer",
        "fca",
        _fca,
        state=_renamed,
        maps={"channel_gate": "channel"},
    ),
)
