"""Checkpoint mappings for Dipole's attention, from PyHealth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from regard.published.reference import Reference, State


def _location(hidden_size, device=None, attention_type="location_based", attention_dim=None):
    return {"channels": hidden_size, "bias": True, "epsilon": 1e-9}, {"value": "attention_value_ori_func"}


def _general(hidden_size, device=None, attention_type="general", attention_dim=None):
    arguments = {"channels": hidden_size, "score": "general", "bias": True, "epsilon": 1e-10}
    return arguments, {"late": "correlated_value_ori_func"}


def _concatenation(hidden_size, attention_dim=16, device=None, attention_type="concatenation_based"):
    arguments = {
        "channels": hidden_size,
        "score": "concatenation",
        "hidden": attention_dim,
        "bias": True,
        "epsilon": 1e-10,
    }
    return arguments, {"late": "late", "early": "early", "value": "correlated_value_ori_func"}


def _halves(state: State, args: Mapping[str, Any]) -> State:
    """The state with the matrix over [h_t; h_i] divided into one for each."""
    state = dict(state)
    weight = state.pop("attention_map_func.weight")
    late, early = weight.chunk(2, 1)
    bias = state.pop("attention_map_func.bias")
    return {**state, "late.weight": late, "late.bias": bias, "early.weight": early}


REFERENCES = (
    Reference("dipole_attention/sunlabuiuc.PyHealth/LocationAttention", "dipole", _location),
    Reference("dipole_attention/sunlabuiuc.PyHealth/GeneralAttention", "dipole", _general),
    Reference("dipole_attention/sunlabuiuc.PyHealth/ConcatenationAttention", "dipole", _concatenation, state=_halves),
)
