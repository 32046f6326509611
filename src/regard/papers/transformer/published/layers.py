"""Checkpoint mappings for the transformer's encoder and decoder layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regard.papers.transformer.published.multi_head import nonzero, torch_heads, torch_mask
from regard.published.reference import Build, Reference, State, unsupported


def activation_name(given: Any) -> str:
    """An activation's name in torch, from the name, the function or the module."""
    if isinstance(given, str) and given in ("relu", "gelu"):
        return given
    if given in (F.relu, torch.relu) or isinstance(given, nn.ReLU):
        return "relu"
    if given is F.gelu:
        return "gelu"
    if isinstance(given, nn.GELU):
        return "gelu" if given.approximate == "none" else "gelu_tanh"
    raise unsupported("activation", given, "relu or gelu is accepted")


def _torch(sublayers: int) -> Build:
    def build(
        d_model,
        nhead,
        dim_feedforward=2048,
        dropout=0.1,
        activation="relu",
        layer_norm_eps=1e-5,
        batch_first=False,
        norm_first=False,
        bias=True,
        device=None,
        dtype=None,
    ):
        arguments = {
            "channels": d_model,
            "heads": nhead,
            "hidden": dim_feedforward,
            "activation": activation_name(activation),
            "norm_first": norm_first,
            "eps": layer_norm_eps,
            "bias": bias,
            "causal": False,
            "dropout": dropout,
            "attention_dropout": dropout,
            "hidden_dropout": dropout,
        }
        names = {"heads": "heads", "cross": "cross"} if sublayers == 3 else {"heads": "heads"}
        names |= {"feed.widen": "linear1", "feed.narrow": "linear2"}
        order = ("first", "middle", "last") if sublayers == 3 else ("first", "last")
        return arguments, {**names, **{f"{name}.norm": f"norm{i}" for i, name in enumerate(order, 1)}}

    return build


def _torch_state(state: State, args: Mapping[str, Any]) -> State:
    return torch_heads(torch_heads(state, "self_attn.", "heads."), "multihead_attn.", "cross.")


class _TorchEncoder(nn.Module):
    def __init__(self, module: nn.Module, args: Mapping[str, Any]) -> None:
        super().__init__()
        self.module = module
        self.heads = args["nhead"]
        self.batch_first = args.get("batch_first", False)

    def forward(
        self,
        src: Tensor,
        src_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
        key_padding_mask: Tensor | None = None,
    ) -> Tensor:
        padding = key_padding_mask if src_key_padding_mask is None else src_key_padding_mask
        visible = _torch_mask(src, src_mask, padding, is_causal, self.heads)
        return _put_back(self.module(_brought(src, self.batch_first), visible), src, self.batch_first)


class _TorchDecoder(nn.Module):
    def __init__(self, module: nn.Module, args: Mapping[str, Any]) -> None:
        super().__init__()
        self.module = module
        self.heads = args["nhead"]
        self.batch_first = args.get("batch_first", False)

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Tensor:
        visible = _torch_mask(tgt, tgt_mask, tgt_key_padding_mask, tgt_is_causal, self.heads)
        outside = _torch_mask(memory, memory_mask, memory_key_padding_mask, memory_is_causal, self.heads)
        x, memory = _brought(tgt, self.batch_first), _brought(memory, self.batch_first)
        return _put_back(self.module(x, memory, visible, outside), tgt, self.batch_first)


def _torch_mask(x: Tensor, hidden: Tensor | None, padding: Tensor | None, causal: bool, heads: int) -> Tensor | None:
    if causal and hidden is None:
        raise ValueError("is_causal=True: the mask is needed as well, for torch takes this as a hint")
    return torch_mask(hidden, padding[None] if x.ndim == 2 and padding is not None else padding, heads)


def _brought(x: Tensor, batch_first: bool) -> Tensor:
    return x[None] if x.ndim == 2 else x if batch_first else x.transpose(0, 1)


def _put_back(y: Tensor, x: Tensor, batch_first: bool) -> Tensor:
    return y[0] if x.ndim == 2 else y if batch_first else y.transpose(0, 1)


def _jadore(decoder: bool) -> Build:
    def build(d_model, d_inner, n_head, d_k, d_v, dropout=0.1, causal=False):
        arguments = {
            "channels": d_model,
            "heads": n_head,
            "head_channels": d_k,
            "value_head_channels": d_v,
            "hidden": d_inner,
            "causal": causal,
            "dropout": dropout,
            "attention_dropout": 0.1,
            "return_weights": True,
        }
        attentions = [("heads", "first", "slf_attn")] + [("cross", "middle", "enc_attn")] * decoder
        names = {"feed.widen": "pos_ffn.w_1", "feed.narrow": "pos_ffn.w_2", "last.norm": "pos_ffn.layer_norm"}
        for heads, sublayer, theirs in attentions:
            parts = {"query": "w_qs", "key": "w_ks", "value": "w_vs", "out": "fc"}
            names |= {f"{heads}.{part}": f"{theirs}.{name}" for part, name in parts.items()}
            names[f"{sublayer}.norm"] = f"{theirs}.layer_norm"
        return arguments, names

    return build


def _annotated(decoder: bool) -> Build:
    def build(d_model=512, d_ff=2048, h=8, dropout=0.1, causal=False):
        arguments = {
            "channels": d_model,
            "heads": h,
            "hidden": d_ff,
            "norm_first": True,
            "unbiased": True,
            "bias": True,
            "causal": causal,
            "dropout": dropout,
            "attention_dropout": dropout,
            "hidden_dropout": dropout,
        }
        names = {"feed.widen": "feed_forward.w_1", "feed.narrow": "feed_forward.w_2"}
        for heads, theirs in [("heads", "self_attn")] + [("cross", "src_attn")] * decoder:
            parts = enumerate(("query", "key", "value", "out"))
            names |= {f"{heads}.{part}": f"{theirs}.linears.{i}" for i, part in parts}
        order = ("first", "middle", "last") if decoder else ("first", "last")
        return arguments, {**names, **{f"{name}.norm": f"sublayer.{i}.norm" for i, name in enumerate(order)}}

    return build


def _annotated_state(state: State, args: Mapping[str, Any]) -> State:
    return {key.replace(".a_2", ".weight").replace(".b_2", ".bias"): value for key, value in state.items()}


class _Encoder(nn.Module):
    """Our layer, called with masks of zeros and ones."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        slf_attn_mask: Tensor | None = None,
        mask_keep: Tensor | None = None,
    ) -> Any:
        given = next((m for m in (mask, slf_attn_mask, mask_keep) if m is not None), None)
        return self.module(x, nonzero(given))


class _Decoder(nn.Module):
    """Our layer, called with masks of zeros and ones, the target's first or, as in the annotated transformer, last."""

    def __init__(self, module: nn.Module, source_first: bool) -> None:
        super().__init__()
        self.module = module
        self.source_first = source_first

    def forward(
        self,
        x: Tensor,
        memory: Tensor,
        first: Tensor | None = None,
        second: Tensor | None = None,
        *,
        src_mask: Tensor | None = None,
        tgt_mask: Tensor | None = None,
        slf_attn_mask: Tensor | None = None,
        dec_enc_attn_mask: Tensor | None = None,
        mask_keep: Tensor | None = None,
    ) -> Any:
        own, across = (second, first) if self.source_first else (first, second)
        own = next((m for m in (own, tgt_mask, slf_attn_mask, mask_keep) if m is not None), None)
        across = next((m for m in (across, src_mask, dec_enc_attn_mask) if m is not None), None)
        return self.module(x, memory, nonzero(own), nonzero(across))


_JADORE = "jadore801120.attention-is-all-you-need-pytorch"
_HARVARD = "harvardnlp.annotated-transformer"

REFERENCES = (
    Reference(
        "transformer_encoder_layer/torch/TransformerEncoderLayer",
        "encoder_layer",
        _torch(2),
        state=_torch_state,
        adapt=_TorchEncoder,
    ),
    Reference(
        "transformer_decoder_layer/torch/TransformerDecoderLayer",
        "decoder_layer",
        _torch(3),
        state=_torch_state,
        adapt=_TorchDecoder,
    ),
    Reference(
        f"transformer_encoder_layer/{_JADORE}/EncoderLayer",
        "encoder_layer",
        _jadore(decoder=False),
        adapt=lambda module, args: _Encoder(module),
    ),
    Reference(
        f"transformer_decoder_layer/{_JADORE}/DecoderLayer",
        "decoder_layer",
        _jadore(decoder=True),
        adapt=lambda module, args: _Decoder(module, source_first=False),
    ),
    Reference(
        f"transformer_encoder_layer/{_HARVARD}/EncoderLayer",
        "encoder_layer",
        _annotated(decoder=False),
        state=_annotated_state,
        adapt=lambda module, args: _Encoder(module),
    ),
    Reference(
        f"transformer_decoder_layer/{_HARVARD}/DecoderLayer",
        "decoder_layer",
        _annotated(decoder=True),
        state=_annotated_state,
        adapt=lambda module, args: _Decoder(module, source_first=True),
    ),
)
