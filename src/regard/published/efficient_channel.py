"""Efficient channel attention as others publish them."""

from __future__ import annotations

from regard.published.reference import Reference, in_residual_block


def _eca(channel, k_size=3):
    return {"channels": channel, "kernel_size": k_size}, {"conv": "conv"}


def _eca_ns(channel, k_size=3):
    return {"channels": channel, "kernel_size": k_size}, {"": "conv"}


def _block(name, *, basic):
    build, host = in_residual_block(_eca, "eca", basic=basic)
    maps = {"channel_gate": "attention/channel"}
    return Reference(f"eca/BangguWu.ECANet/{name}", "eca", build, host=host, maps=maps)


REFERENCES = (
    _block("ECABottleneck", basic=False),
    _block("ECABasicBlock", basic=True),
    Reference("eca/BangguWu.ECANet/eca_layer", "eca", _eca),
    Reference("eca/BangguWu.ECANet/eca_ns_layer", "eca_ns", _eca_ns),
)
