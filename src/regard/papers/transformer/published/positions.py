"""Checkpoint mappings for sinusoidal positions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from regard.ops import positions
from regard.published.reference import Reference, State


def _jadore(d_hid=None, n_position=200, d_model=None, length=200):
    return {"channels": d_model if d_hid is None else d_hid}, {}


def _annotated(d_model, dropout=0.1, max_len=5000, length=5000):
    return {"channels": d_model, "dropout": dropout}, {}


def _without_table(state: State, args: Mapping[str, Any]) -> State:
    """The state without the table, which ours computes."""
    return {key: value for key, value in state.items() if key not in ("pe", "pos_table")}


class _Positions(nn.Module):
    """Our positions, added to `B T C`, or without an input their table `length C`."""

    def __init__(self, module: nn.Module, args: Mapping[str, Any]) -> None:
        super().__init__()
        self.module = module
        self.channels = int(module.channels)  # type: ignore[arg-type]
        known = {"length": 5000, **args}
        self.length = known.get("n_position", known.get("max_len", known["length"]))

    def forward(self, x: Tensor | None = None) -> Tensor:
        if x is None:
            return positions.sequence(torch.empty(0, dtype=torch.float64), self.length, self.channels)
        added: Tensor = self.module(x)
        return added


REFERENCES = tuple(
    Reference(
        f"transformer_posenc/{owner}/PositionalEncoding",
        "sinusoidal",
        build,
        state=_without_table,
        adapt=_Positions,
    )
    for owner, build in (
        ("jadore801120.attention-is-all-you-need-pytorch", _jadore),
        ("harvardnlp.annotated-transformer", _annotated),
    )
)
