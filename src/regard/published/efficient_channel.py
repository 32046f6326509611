"""Efficient channel attention as others publish them."""

from __future__ import annotations

from regard.published.reference import Reference


def _eca(channel, k_size=3):
    return {"channels": channel, "kernel_size": k_size}, {"conv": "conv"}


def _eca_ns(channel, k_size=3):
    return {"channels": channel, "kernel_size": k_size}, {"": "conv"}


REFERENCES = (
    Reference("eca/BangguWu.ECANet/eca_layer", "eca", _eca),
    Reference("eca/BangguWu.ECANet/eca_ns_layer", "eca_ns", _eca_ns),
)
