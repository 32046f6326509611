"""Checkpoint mappings for distillation, whose loss has no parameters."""

from __future__ import annotations

from regard.published.reference import Reference


def _distillation(T=4.0, alpha=0.9):
    return {"temperature": T, "alpha": alpha}, {}


REFERENCES = (
    Reference("attention_transfer/szagoruyko.attention-transfer/distillation", "distillation", _distillation),
)
