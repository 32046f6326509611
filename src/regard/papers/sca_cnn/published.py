"""Checkpoint mappings for SCA-CNN, whose matrices lie as in Theano: y = x W."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regard.core import Attention
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


# The whole decoder


class _Halved(nn.Module):
    """Dropout of one half as in Theano: zeros in training, a factor of one half in evaluation."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.empty_like(x).bernoulli_(0.5) if self.training else x * 0.5


class _Misplaced(nn.Linear):
    """The last scores as released: c₂ is added to u_s, and not to the product."""

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight + self.bias)


class _FromZeros(nn.Embedding):
    """Words, and zeros before the first one, which is called -1."""

    def forward(self, words: Tensor) -> Tensor:
        return super().forward(words.clamp_min(0)) * (words >= 0)[:, None]


def _decoder(
    n_words=10000, dim_word=100, dim=1000, C1=512, C2=2048, ctx_dim_512=512, ctx_dim_2048=2048, S=7, T=1, B=1,
    lens=None, attn_type="SCA", network="resnet152", n_layers_out=1, n_layers_lstm=1, prev2out=True, ctx2out=False,
    selector=False, use_dropout=True, use_dropout_lstm=False, decay_c=0.0, alpha_1_c=0.0, alpha_2_c=0.0, beta_1_c=0.0,
    beta_2_c=0.0,
):  # fmt: skip
    if attn_type != "SCA":
        raise unsupported("attn_type", attn_type, "'SCA' is accepted")
    if n_layers_lstm != 1:
        raise unsupported("n_layers_lstm", n_layers_lstm, "1 is accepted, for which alone the code is whole")
    arguments: dict[str, Any] = {
        "channels": C2,
        "inner": C1,
        "vocabulary": max(n_words, 5),
        "embedding": dim_word,
        "hidden": dim,
        "scores": C1,
        "selector": selector,
        "word_to_output": prev2out,
        "context_to_output": ctx2out,
        "output_layers": n_layers_out,
        "dropout": 0.0,
        ".embed": _FromZeros(n_words, dim_word),
        ".predict": nn.Linear(dim_word, n_words),
        "last.spatial.score": _Misplaced(C1, 1),
    }
    if use_dropout:
        arguments[".dropout"] = _Halved()
    if use_dropout_lstm:
        arguments[".gate_dropout"] = _Halved()
    parts = ["embed", "start_hidden", "start_memory", "of_word", "of_state", "of_context", "show_state", "predict"]
    parts += ["first", "last", "conv", "norm"]
    parts += ["select"] * selector + ["show_context"] * ctx2out + ["deep"] * (n_layers_out > 1)
    return arguments, {part: part for part in parts}


def _decoder_state(state: State, args: Mapping[str, Any]) -> State:
    found = {
        "embed.weight": state["Wemb"],
        "of_word.weight": state["decoder_W"].mT,
        "of_word.bias": state["decoder_b"],
        "of_state.weight": state["decoder_U"].mT,
        "of_context.weight": state["decoder_Wc"].mT,
        "conv.weight": state["res5c_branch2c_0"],
    }
    layers = {"start_hidden": "state", "start_memory": "memory", "show_state": "logit_lstm", "predict": "logit"}
    layers |= {"show_context": "logit_ctx"} if args.get("ctx2out") else {}
    layers |= {f"deep.{i - 1}": f"logit_h{i}" for i in range(1, args.get("n_layers_out", 1))}
    for ours, theirs in layers.items():
        found |= {f"{ours}.weight": state[f"ff_{theirs}_W"].mT, f"{ours}.bias": state[f"ff_{theirs}_b"]}
    if args.get("selector"):
        found |= {"select.weight": state["decoder_W_sel"].mT, "select.bias": state["decoder_b_sel"].reshape(1)}
    for layer, to in (("res5c_branch2b", "first."), ("res5c", "last.")):
        own = {key.replace(f"_att_{layer}_", "_"): value for key, value in state.items() if f"_att_{layer}_" in key}
        own = {key: value for key, value in own.items() if key[-1] in "12" and "branch2b" not in key}
        found |= _layer(own, "decoder_", to)
    for ours, theirs in (
        ("weight", "scale5c_branch2c_0"),
        ("bias", "scale5c_branch2c_1"),
        ("running_mean", "bn5c_branch2c_0"),
        ("running_var", "bn5c_branch2c_1"),
    ):
        if theirs in state:
            found[f"norm.{ours}"] = state[theirs]
    return found


class _Training(Attention):
    """The cost of captions `T B` with their mask, and of each of them; a step that is masked changes no state.

    Maps have the words first, as in Theano.
    """

    maps: ClassVar[Mapping[str, str]] = {
        "inner_channel": "L B C", "inner_spatial": "L B H W", "channel": "L B C", "spatial": "L B H W",
    }  # fmt: skip
    COSTS: ClassVar[Mapping[str, str]] = {
        "inner_channel": "alpha_1_c", "inner_spatial": "alpha_2_c", "channel": "beta_1_c", "spatial": "beta_2_c",
    }  # fmt: skip

    def __init__(self, module: Any, args: Mapping[str, Any]) -> None:
        super().__init__()
        self.module, self.args = module, args

    def forward(self, words: Tensor, mask: Tensor, features: Tensor, inner: Tensor) -> tuple[Tensor, Tensor]:
        state = self.module.start(features, inner)
        before = torch.cat([torch.full_like(words[:1], -1), words[:-1]])
        costs, shown = [], []
        for word, truth, kept in zip(before, words, mask[:, :, None], strict=True):
            step = self.module.step(word, state)
            shown.append(step.maps)
            hidden, memory = (
                kept * new + (1 - kept) * old
                for new, old in ((step.state.hidden, state.hidden), (step.state.memory, state.memory))
            )
            state = state._replace(hidden=hidden, memory=memory)
            chance = step.log_probabilities.gather(1, truth[:, None])[:, 0].exp()
            costs.append(-(chance + 1e-8).log() * kept[:, 0])
        each = torch.stack(costs).sum(0)
        cost = each.mean()
        for name, argument in self.COSTS.items():
            looks = self.see(name, torch.stack([maps[name] for maps in shown]))
            cost = cost + self.args.get(argument, 0.0) * (1 - looks.sum(0)).square().mean()
        return cost.reshape(1), each


REFERENCES = (
    Reference(
        "sca_cnn_decoder/zjuchenlong.sca-cnn.cvpr17/build_model",
        "sca_captioner",
        _decoder,
        recording="the cost of captions, of a function of Theano",
        state=_decoder_state,
        adapt=_Training,
        maps={
            "channel_att_branch2b": "inner_channel",
            "spatial_att_branch2b": "inner_spatial",
            "channel_att_res5c": "channel",
            "spatial_att_res5c": "spatial",
        },
    ),
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
