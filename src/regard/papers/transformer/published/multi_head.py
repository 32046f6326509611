"""Checkpoint mappings for multi-head attention."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from regard.papers.transformer.mechanism.multi_head import MultiHead
from regard.published.reference import Reference, State


def torch_heads(state: State, theirs: str, ours: str) -> State:
    """The state with torch's fused projections divided: below `theirs` before, below `ours` afterwards."""
    kept = {key: value for key, value in state.items() if not key.startswith(f"{theirs}in_proj_")}
    for kind in ("weight", "bias"):
        if f"{theirs}in_proj_{kind}" in state:
            for part, value in zip(("query", "key", "value"), state[f"{theirs}in_proj_{kind}"].chunk(3), strict=True):
                kept[f"{ours}{part}.{kind}"] = value
    for letter, part in (("q", "query"), ("k", "key"), ("v", "value")):
        if f"{theirs}{letter}_proj_weight" in kept:
            kept[f"{ours}{part}.weight"] = kept.pop(f"{theirs}{letter}_proj_weight")
    for kind in ("weight", "bias"):
        if f"{theirs}out_proj.{kind}" in kept:
            kept[f"{ours}out.{kind}"] = kept.pop(f"{theirs}out_proj.{kind}")
    return kept


def torch_mask(hidden: Tensor | None, padding: Tensor | None, heads: int) -> Tensor | None:
    """Our mask from torch's masks, where True hides and numbers are added."""
    if hidden is not None:
        hidden = hidden[None, None] if hidden.ndim == 2 else hidden.unflatten(0, (-1, heads))
    if padding is not None:
        padding = padding[:, None, None]
    masks = [mask for mask in (hidden, padding) if mask is not None]
    if not masks:
        return None
    if all(mask.dtype is torch.bool for mask in masks):
        return torch.stack([~mask for mask in torch.broadcast_tensors(*masks)]).all(0)
    wide = next(mask.dtype for mask in masks if mask.dtype is not torch.bool)
    added = [
        torch.zeros_like(mask, dtype=wide).masked_fill(mask, -torch.inf) if mask.dtype is torch.bool else mask
        for mask in masks
    ]
    return sum(added[1:], added[0])


def nonzero(mask: Tensor | None) -> Tensor | None:
    """A mask of zeros and ones as booleans."""
    return None if mask is None else mask != 0


class _Torch(nn.Module):
    """Our attention, with torch's inputs and outputs: the weights of every head, without their average."""

    def __init__(self, module: MultiHead, batch_first: bool) -> None:
        super().__init__()
        self.module = module
        self.batch_first = batch_first

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = False,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        if is_causal and attn_mask is None:
            raise ValueError("is_causal=True: attn_mask= is needed as well, for torch takes this as a hint")
        single = query.ndim == 2
        q, k, v = (x[None] if single else x if self.batch_first else x.transpose(0, 1) for x in (query, key, value))
        padding = key_padding_mask[None] if single and key_padding_mask is not None else key_padding_mask
        visible = torch_mask(attn_mask, padding, self.module.heads.heads)
        y, weights = self.module.attend(q, k, v, visible, weights=need_weights)
        weights = weights if need_weights else None
        if weights is not None and average_attn_weights:
            weights = weights.mean(1)
        if single:
            return y[0], None if weights is None else weights[0]
        return y if self.batch_first else y.transpose(0, 1), weights


def _torch(
    embed_dim,
    num_heads,
    dropout=0.0,
    bias=True,
    add_bias_kv=False,
    add_zero_attn=False,
    kdim=None,
    vdim=None,
    batch_first=False,
    device=None,
    dtype=None,
):
    arguments = {
        "channels": embed_dim,
        "heads": num_heads,
        "key_channels": kdim,
        "value_channels": vdim,
        "bias": bias,
        "extra_key": add_bias_kv,
        "zero_key": add_zero_attn,
        "attention_dropout": dropout,
    }
    return arguments, {"": "ours"}


def _torch_state(state: State, args: Mapping[str, Any]) -> State:
    state = {f"ours.{key}": value for key, value in torch_heads(state, "", "heads.").items()}
    for i, kind in enumerate("kv"):
        if f"ours.bias_{kind}" in state:
            state[f"ours.extra.{i}"] = state.pop(f"ours.bias_{kind}")
    return state


class _Masked(nn.Module):
    """Our attention, called with masks of zeros and ones, `B Q K` or with 1 for Q."""

    def __init__(self, module: MultiHead) -> None:
        super().__init__()
        self.module = module

    def forward(
        self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, mask_keep: Tensor | None = None
    ) -> Any:
        return self.module(q, k, v, nonzero(mask_keep if mask is None else mask))


def _jadore(n_head, d_model, d_k, d_v, dropout=0.1, causal=False):
    arguments = {
        "channels": d_model,
        "heads": n_head,
        "head_channels": d_k,
        "value_head_channels": d_v,
        "causal": causal,
        "sublayer": True,
        "dropout": dropout,
        "attention_dropout": 0.1,
        "return_weights": True,
    }
    names = {"heads.query": "w_qs", "heads.key": "w_ks", "heads.value": "w_vs", "heads.out": "fc"}
    return arguments, {**names, "norm": "layer_norm"}


def _annotated(h, d_model, dropout=0.1, causal=False):
    parts = {f"heads.{part}": f"linears.{i}" for i, part in enumerate(("query", "key", "value", "out"))}
    return {"channels": d_model, "heads": h, "bias": True, "causal": causal, "attention_dropout": dropout}, parts


REFERENCES = (
    Reference(
        "transformer_mha/torch/MultiheadAttention",
        "mha",
        _torch,
        state=_torch_state,
        adapt=lambda module, args: _Torch(module, args.get("batch_first", False)),
    ),
    Reference(
        "transformer_mha/jadore801120.attention-is-all-you-need-pytorch/MultiHeadAttention",
        "mha",
        _jadore,
        adapt=lambda module, args: _Masked(module),
    ),
    Reference(
        "transformer_mha/harvardnlp.annotated-transformer/MultiHeadedAttention",
        "mha",
        _annotated,
        adapt=lambda module, args: _Masked(module),
        maps={"attn": "module/affinity"},
    ),
)
