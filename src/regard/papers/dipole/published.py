"""Checkpoint mappings for Dipole and its attention, from PyHealth, and for the paper's equations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from regard.published.reference import Reference, State, unsupported


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


_PORT = {
    "location_based": ("location", 1e-9),
    "general": ("general", 1e-10),
    "concatenation_based": ("concatenation", 1e-10),
}


def _port(
    input_size,
    embed_size=16,
    hidden_size=8,
    output_size=10,
    bias=True,
    dropout=0.5,
    batch_first=True,
    label_size=1,
    attention_type="location_based",
    attention_dim=8,
    device=None,
):
    for name, value in (("bias", bias), ("batch_first", batch_first)):
        if value is not True:
            raise unsupported(name, value, "True is accepted")
    if attention_type not in _PORT:
        raise unsupported("attention_type", attention_type, f"{' or '.join(map(repr, _PORT))} is accepted")
    score, epsilon = _PORT[attention_type]
    arguments = {
        "codes": input_size,
        "categories": label_size,
        "embedding": embed_size,
        "hidden": hidden_size,
        "width": output_size,
        "score": score,
        "attention": attention_dim,
        "dropout": 0.0,  # the port's is between the layers of a GRU that has one
        "causal": False,
        "rectified": False,
        "bias": True,
        "epsilon": epsilon,
    }
    return arguments, _own("embed", "ahead", "back", "attend", "mix", "output")


def _own(*parts: str) -> dict[str, str]:
    """The names of a state that has our names already."""
    return {part: part for part in parts}


def _port_state(state: State, args: Mapping[str, Any]) -> State:
    """The state under our names, with the context first in the matrix over [h_t; c_t]."""
    kind = args.get("attention_type", "location_based")
    prefix = "attention_func."
    attention = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    if kind == "concatenation_based":
        attention = _halves(attention, args)
    ours = {"attention_value_ori_func": "value", "correlated_value_ori_func": "late" if kind == "general" else "value"}
    found = {f"attend.{_renamed(key, ours)}": value for key, value in attention.items()}
    found |= _directions(state, "rnn_model")
    parts = {"embed_func": "embed", "output_func": "mix", "predict_func": "output"}
    found |= {_renamed(key, parts): value for key, value in state.items() if key.partition(".")[0] in parts}
    return {**found, "mix.weight": torch.cat(found["mix.weight"].chunk(2, 1)[::-1], 1)}


def _renamed(key: str, names: Mapping[str, str]) -> str:
    first, _, rest = key.partition(".")
    return f"{names.get(first, first)}.{rest}"


def _directions(state: State, prefix: str) -> State:
    """The parameters of a bidirectional GRU as those of two cells."""
    found: State = {}
    for key, value in state.items():
        if key.startswith(f"{prefix}."):
            name, _, direction = key.removeprefix(f"{prefix}.").partition("_l0")
            found[f"{'back' if direction else 'ahead'}.{name}"] = value
    return found


class _Port(nn.Module):
    """Dipole that passes once over all visits, padding included; the scores at each visit, and at the current one."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, visits: Tensor, mask: Tensor, current: Tensor) -> tuple[Tensor, Tensor]:
        every = self.module(visits) * mask[..., None]
        return every, (every * current[..., None]).sum(1)


def _paper(C, m, p, q, kind, r, K, variant="paper"):
    kinds = {"location": "location", "general": "general", "concat": "concatenation"}
    if kind not in kinds:
        raise unsupported("kind", kind, f"{' or '.join(map(repr, kinds))} is accepted")
    if variant != "paper":
        raise unsupported("variant", variant, "'paper' is accepted")
    arguments = {"codes": C, "categories": K, "embedding": m, "hidden": p, "width": r, "score": kinds[kind]}
    arguments |= {"attention": q} if kind == "concat" else {}
    return {**arguments, "dropout": 0.0}, _own("embed", "ahead", "back", "attend", "mix", "output")


def _paper_state(state: State, args: Mapping[str, Any]) -> State:
    """The state under our names; the bias of location-based scores, which changes no weight, is left out."""
    weight = state["Wa.weight"]
    if args["kind"] == "location":
        attention = {"value.weight": weight}
    elif args["kind"] == "general":
        attention = {"late.weight": weight.T}  # a_ti = h_tᵀ W h_i
    else:
        late, early = weight.chunk(2, 1)
        attention = {"late.weight": late, "early.weight": early, "value.weight": state["va.weight"]}
    found = {f"attend.{key}": value for key, value in attention.items()} | _directions(state, "rnn")
    parts = {"embed": "embed", "Wc": "mix", "out": "output"}
    return found | {_renamed(key, parts): value for key, value in state.items() if key.partition(".")[0] in parts}


class _Last(nn.Module):
    """The probabilities of the categories of the visit after the last, and the weights of the visits before it."""

    def __init__(self, module: Any) -> None:
        super().__init__()
        self.module = module

    def forward(self, visits: Tensor) -> tuple[Tensor, Tensor]:
        here = torch.ones_like(visits[..., 0], dtype=torch.bool)
        alpha = self.module.weights(self.module.states(visits, here), here)
        return self.module(visits)[:, -1].softmax(1), alpha[:, -1, :-1]


REFERENCES = (
    Reference("dipole_attention/sunlabuiuc.PyHealth/LocationAttention", "dipole", _location),
    Reference("dipole_attention/sunlabuiuc.PyHealth/GeneralAttention", "dipole", _general),
    Reference("dipole_attention/sunlabuiuc.PyHealth/ConcatenationAttention", "dipole", _concatenation, state=_halves),
    Reference(
        "dipole/sunlabuiuc.PyHealth/callPredictor",
        "dipole_network",
        _port,
        state=_port_state,
        adapt=lambda module, args: _Port(module),
    ),
    Reference(
        "dipole/paper",
        "dipole_network",
        _paper,
        state=_paper_state,
        adapt=lambda module, args: _Last(module),
        recording="the equations of the paper, on torch's GRU",
    ),
)
