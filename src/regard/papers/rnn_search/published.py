"""Checkpoint mappings for additive attention."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from regard.published.reference import Reference, State


def _bastings(hidden_size, key_size=None, query_size=None):
    arguments = {
        "channels": 2 * hidden_size if key_size is None else key_size,
        "state_channels": hidden_size if query_size is None else query_size,
        "hidden": hidden_size,
        "return_weights": True,
    }
    return arguments, {"state": "query_layer", "annotation": "key_layer", "score": "energy_layer"}


def _bastings_state(state: State, args: Mapping[str, Any]) -> State:
    """The attention's own state, also out of a decoder's, where it is the child `attention`."""
    return {key.removeprefix("attention."): value for key, value in state.items()}


class _Bastings(nn.Module):
    """Our attention, called with projected annotations and masks `B T` or `B 1 T`; its outputs have a time axis."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(
        self, query: Tensor, value: Tensor, mask: Tensor | None = None, proj_key: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        if mask is not None:
            mask = mask if mask.dtype is torch.bool else mask != 0
            mask = mask.squeeze(1) if mask.ndim == 3 else mask
        query = query.squeeze(1) if query.ndim == 3 else query
        context, alphas = self.module(query, value, mask, proj_key)
        return context.unsqueeze(1), alphas.unsqueeze(1)


REFERENCES = (
    Reference(
        "bahdanau_attention/bastings.annotated_encoder_decoder/BahdanauAttention",
        "bahdanau",
        _bastings,
        state=_bastings_state,
        adapt=lambda module, args: _Bastings(module),
    ),
)
