"""Checkpoint mappings for SCA-CNN, whose matrices lie as in Theano: y = x W."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from regard.papers.sca_cnn.mechanism import SpatialChannel
from regard.published.reference import Reference, State, unsupported

_ORDERS = {"cs": "channel-spatial", "sc": "spatial-channel", "c": "channel", "s": "spatial"}
_PARTS = {"channel": 1, "spatial": 2}


def _step(
    C=None, dim=None, k=512, order="cs", scale=True, c1=None, c2=None, nin=None, selector=False
):  # one layer of attention (C), or a whole step of the decoder with two (c1, c2)
    channels = c1 if C is None else C
    if channels is None:
        raise unsupported("C", C, "the channels of the attended map are accepted")
    if order not in _ORDERS:
        raise unsupported("order", order, f"{', '.join(_ORDERS)} are accepted")
    order = _ORDERS[order]
    arguments: dict[str, Any] = {
        "channels": channels,
        "hidden": k,
        "state_channels": dim or None,
        "order": order,
        "scale": scale,
    }
    parts = [part for part in _PARTS if part in order]
    if C is None:
        arguments |= {
            ".second": SpatialChannel(c2, hidden=k, state_channels=dim, order=order, scale=scale),
            ".conv": nn.Conv2d(c1, c2, 1, bias=False),
            ".norm": nn.BatchNorm2d(c2),
            ".of_input": nn.Linear(nin, 4 * dim),
            ".of_state": nn.Linear(dim, 4 * dim, bias=False),
            ".of_context": nn.Linear(c2, 4 * dim, bias=False),
        }
        parts += ["second", "conv", "norm", "of_input", "of_state", "of_context"]
        if selector:
            arguments[".select"] = nn.Linear(dim, 1)
            parts.append("select")
    return arguments, {part: part for part in parts}


def _layer(state: State, prefix: str, to: str) -> State:
    """The state of one attention layer under our names."""
    found = {}
    for part, number in _PARTS.items():
        for ours, theirs in (
            ("embed.weight", "Wc"),
            ("embed.bias", "b"),
            ("state.weight", "Wd"),
            ("score.weight", "U"),
            ("score.bias", "c"),
        ):
            tensor = state.get(f"{prefix}{theirs}_{number}")
            if tensor is not None:
                found[f"{to}{part}.{ours}"] = tensor.mT if tensor.ndim == 2 else tensor
    return found


def _state(state: State, args: Mapping[str, Any]) -> State:
    if args.get("c1") is None:
        return _layer(state, "", "")
    found = {**_layer(state, "a1.", ""), **_layer(state, "a2.", "second.")}
    # As released: the last c₂ is added to u_s, so that it counts once for each of the k, times the tangent.
    found["second.spatial.score.weight"] = found["second.spatial.score.weight"] + state["a2.c_2"]
    found |= {key.replace("branch2c", "conv"): value for key, value in state.items() if key.startswith("branch2c.")}
    found |= {key.replace("bn2c", "norm"): value for key, value in state.items() if key.startswith("bn2c.")}
    found |= {"of_input.weight": state["W"].mT, "of_input.bias": state["b"]}
    found |= {"of_state.weight": state["U"].mT, "of_context.weight": state["Wc"].mT}
    if "W_sel" in state:
        found |= {"select.weight": state["W_sel"].mT, "select.bias": state["b_sel"].reshape(1)}
    return found


class _DecoderStep(nn.Module):
    """A step of the released decoder: attended maps of two layers, their average as context, and an LSTM."""

    def __init__(self, module: Any) -> None:
        super().__init__()
        self.module = module

    def forward(
        self, first: Tensor, shortcut: Tensor, word: Tensor, state: Tensor, memory: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        part = self.module
        x = (part.norm(part.conv(part(first, state))) + shortcut).relu()
        context = part.second(x, state).mean((2, 3))
        context = context / (torch.linalg.vector_norm(context, dim=1, keepdim=True) + 1e-8)
        if hasattr(part, "select"):
            context = part.select(state).sigmoid() * context
        gates = part.of_input(word) + part.of_state(state) + part.of_context(context)
        i, f, o, g = gates.chunk(4, -1)
        memory = f.sigmoid() * memory + i.sigmoid() * g.tanh()
        return o.sigmoid() * torch.tanh(memory), memory, context


def _adapt(module: nn.Module, args: Mapping[str, Any]) -> nn.Module:
    return module if args.get("c1") is None else _DecoderStep(module)


REFERENCES = (
    Reference(
        "sca_cnn/zjuchenlong.sca-cnn.cvpr17/lstm_cond_layer._step",
        "sca",
        _step,
        recording="the attention inside a function of Theano",
        state=_state,
        adapt=_adapt,
        maps={
            "channel_attention": "channel",
            "spatial_attention": "spatial",
            "alpha1_channel": "module/channel",
            "alpha2_spatial": "module/spatial",
            "beta1_channel": "second/channel",
            "beta2_spatial": "second/spatial",
        },
    ),
)
