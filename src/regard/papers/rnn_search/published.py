"""Checkpoint mappings for additive attention and RNNsearch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from regard.published.reference import Reference, State, unsupported


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


def _groundhog(Kx, Ky, m=620, n=1000, n2=1000, l=500, variant="paper"):  # noqa: E741
    biased = _biased(variant)
    arguments = {
        "source_vocabulary": Kx,
        "vocabulary": Ky,
        "embedding": m,
        "hidden": n,
        "attention": n2,
        "maxout": l,
        "lag": not biased,
        "bias": biased,
    }
    names = {"first": "Ws", "align.state": "Wa", "align.annotation": "Ua", "align.score": "va", "output": "Wo"}
    names |= {"read_state": "Uo", "read_word": "Vo", "read_context": "Co", "source": "E", "target": "Et"}
    for cell, before in (("ahead", "f"), ("back", "b"), ("decoder", "")):
        for gate, behind in (("candidate", ""), ("update", "z"), ("reset", "r")):
            names |= {f"{cell}.input.{gate}": f"{before}W{behind}", f"{cell}.recurrent.{gate}": f"{before}U{behind}"}
            names |= {f"from_context.{gate}": f"C{behind}"} if cell == "decoder" else {}
    return arguments, {**names, **({"biases.0": "b_emb", "biases.1": "b_embt"} if biased else {})}


def _biased(variant: str) -> bool:
    if variant not in ("paper", "groundhog"):
        raise unsupported("variant", variant, "'paper' or 'groundhog' is accepted")
    return variant == "groundhog"


_BIASES = {
    "b_f": "fW", "b_b": "bW", "b_dec": "W", "b_init": "Ws", "b_read": "Uo", "b_out": "Wo",
}  # fmt: skip


def _groundhog_state(state: State, args: Mapping[str, Any]) -> State:
    """The state with `weight` behind each matrix, and each bias behind the matrix that it belongs to."""
    renamed: State = {}
    for key, value in state.items():
        embedding = key in ("b_emb", "b_embt")
        renamed[key if embedding else f"{_BIASES[key]}.bias" if key in _BIASES else f"{key}.weight"] = value
    return renamed


class _GroundHog(nn.Module):
    """RNNsearch with the time first, target words without a start, masks of numbers and logits."""

    def __init__(self, module: Any) -> None:
        super().__init__()
        self.module = module

    def forward(self, source: Tensor, source_mask: Tensor, target: Tensor, target_mask: Tensor | None = None) -> Tensor:
        memory = self.module.start(source.T, source_mask.T != 0)
        e = self.module.embedded(target.T, begins=False)[:, :-1]
        e = torch.cat([torch.zeros_like(memory.annotations[:, :1, : e.shape[2]]), e], 1)
        fresh = torch.ones_like(target.T, dtype=torch.bool) if target_mask is None else target_mask.T != 0
        fresh = torch.cat([torch.zeros_like(fresh[:, :1]), fresh[:, :-1]], 1)
        logits: Tensor = self.module.unrolled(memory, e, fresh)[0]
        return logits.transpose(0, 1)


def _teaching(src_vocab, tgt_vocab, emb_size=256, hidden_size=512, num_layers=1, dropout=0.1, src_lengths=None):
    arguments = {
        "source_vocabulary": src_vocab,
        "vocabulary": tgt_vocab,
        "embedding": emb_size,
        "hidden": hidden_size,
        "layers": num_layers,
        "dropout": dropout,
    }
    names = {"source": "src_embed", "target": "trg_embed", "output": "generator.proj", "first": "decoder.bridge"}
    names |= {"encoder": "encoder.rnn", "decoder": "decoder.rnn", "read": "decoder.pre_output_layer"}
    parts = {"state": "query_layer", "annotation": "key_layer", "score": "energy_layer"}
    return arguments, {**names, **{f"align.{ours}": f"decoder.attention.{theirs}" for ours, theirs in parts.items()}}


class _Teaching(nn.Module):
    """RNNsearch on torch's GRU, given the lengths of the source; log-probabilities, and the states."""

    def __init__(self, module: Any, lengths: Sequence[int] | None) -> None:
        super().__init__()
        self.module = module
        self.lengths = lengths

    def forward(
        self,
        src: Tensor,
        trg: Tensor,
        src_mask: Tensor | None = None,
        trg_mask: Tensor | None = None,
        src_lengths: Tensor | Sequence[int] | None = None,
        trg_lengths: Tensor | Sequence[int] | None = None,
    ) -> tuple[Tensor, Tensor]:
        lengths = self.lengths if src_lengths is None else src_lengths
        visible = None
        if lengths is not None:
            ends = torch.as_tensor(lengths, device=src.device)
            visible = torch.arange(src.shape[1], device=src.device) < ends[:, None]
        log_probabilities, states, _, _ = self.module.unrolled(self.module.start(src, visible), trg)
        return log_probabilities, states


REFERENCES = (
    Reference(
        "bahdanau_attention/bastings.annotated_encoder_decoder/BahdanauAttention",
        "bahdanau",
        _bastings,
        state=_bastings_state,
        adapt=lambda module, args: _Bastings(module),
    ),
    Reference(
        "rnnsearch/lisa-groundhog.GroundHog/experiments-nmt-encdec.py",
        "rnnsearch",
        _groundhog,
        state=_groundhog_state,
        adapt=lambda module, args: _GroundHog(module),
    ),
    Reference(
        "rnnsearch/bastings.annotated_encoder_decoder/make_model",
        "rnnsearch_gru",
        _teaching,
        adapt=lambda module, args: _Teaching(module, args.get("src_lengths")),
    ),
)
