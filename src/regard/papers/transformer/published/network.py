"""Checkpoint mappings for the whole Transformer and for its two stacks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regard.papers.transformer.published.layers import activation_name
from regard.papers.transformer.published.multi_head import torch_heads, torch_mask
from regard.published.reference import Names, Reference, State, unsupported

ROWS = 5000  # of the annotated transformer's table of positions


def _parts(names: Names, ours: str, theirs: str, parts: Mapping[str, str]) -> None:
    names |= {f"{ours}.{own}": f"{theirs}.{other}" for own, other in parts.items()}


def _layers(names: Names, ours: str, theirs: str, count: int, parts: Mapping[str, str]) -> None:
    for i in range(count):
        _parts(names, f"{ours}.{i}", f"{theirs}.{i}", parts)


def _torch(
    d_model=512,
    nhead=8,
    num_encoder_layers=6,
    num_decoder_layers=6,
    dim_feedforward=2048,
    dropout=0.1,
    activation="relu",
    custom_encoder=None,
    custom_decoder=None,
    layer_norm_eps=1e-5,
    batch_first=False,
    norm_first=False,
    bias=True,
    device=None,
    dtype=None,
):
    for name, given in (("custom_encoder", custom_encoder), ("custom_decoder", custom_decoder)):
        if given is not None:
            raise unsupported(name, given, "None is accepted")
    arguments = {
        "channels": d_model,
        "layers": num_encoder_layers,
        "decoder_layers": num_decoder_layers,
        "heads": nhead,
        "hidden": dim_feedforward,
        "activation": activation_name(activation),
        "norm_first": norm_first,
        "final_norm": True,
        "eps": layer_norm_eps,
        "bias": bias,
        "causal": False,
        "dropout": dropout,
        "attention_dropout": dropout,
        "hidden_dropout": dropout,
    }
    names: Names = {"norms.0": "encoder.norm", "norms.1": "decoder.norm"}
    parts = {"heads": "heads", "feed.widen": "linear1", "feed.narrow": "linear2", "first.norm": "norm1"}
    encoder = {**parts, "last.norm": "norm2"}
    decoder = {**parts, "cross": "cross", "middle.norm": "norm2", "last.norm": "norm3"}
    _layers(names, "encoder", "encoder.layers", num_encoder_layers, encoder)
    _layers(names, "decoder", "decoder.layers", num_decoder_layers, decoder)
    return arguments, names


def _torch_state(state: State, args: Mapping[str, Any]) -> State:
    """The state with torch's fused projections divided; also out of a module whose child `t` it is."""
    state = {key.removeprefix("t."): value for key, value in state.items()}
    for stack, count in (("encoder", "num_encoder_layers"), ("decoder", "num_decoder_layers")):
        for i in range(args.get(count, 6)):
            layer = f"{stack}.layers.{i}"
            state = torch_heads(state, f"{layer}.self_attn.", f"{layer}.heads.")
            state = torch_heads(state, f"{layer}.multihead_attn.", f"{layer}.cross.")
    return state


class _Torch(nn.Module):
    """Our stacks, called as torch's are: where a mask is True it hides."""

    def __init__(self, module: nn.Module, args: Mapping[str, Any]) -> None:
        super().__init__()
        self.module = module
        self.heads = args.get("nhead", 8)
        self.batch_first = args.get("batch_first", False)

    def forward(
        self,
        src: Tensor,
        tgt: Tensor,
        src_mask: Tensor | None = None,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        src_is_causal: bool | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        for name, causal, mask in (("src", src_is_causal, src_mask), ("tgt", tgt_is_causal, tgt_mask)):
            if causal and mask is None:
                raise ValueError(
                    f"{name}_is_causal=True: {name}_mask= is needed as well, for torch takes this as a hint"
                )
        single = src.ndim == 2
        pairs = (
            (src_mask, src_key_padding_mask),
            (tgt_mask, tgt_key_padding_mask),
            (memory_mask, memory_key_padding_mask),
        )
        masks = [torch_mask(mask, None if hidden is None or not single else hidden[None], self.heads) if single
                 else torch_mask(mask, hidden, self.heads) for mask, hidden in pairs]  # fmt: skip
        x, y = (part[None] if single else part if self.batch_first else part.transpose(0, 1) for part in (src, tgt))
        z: Tensor = self.module.decode(y, self.module.encode(x, masks[0]), masks[1], masks[2])  # type: ignore[operator]
        return z[0] if single else z if self.batch_first else z.transpose(0, 1)


def _jadore(
    n_src_vocab,
    n_trg_vocab,
    src_pad_idx,
    trg_pad_idx,
    d_word_vec=512,
    d_model=512,
    d_inner=2048,
    n_layers=6,
    n_head=8,
    d_k=64,
    d_v=64,
    dropout=0.1,
    n_position=200,
    trg_emb_prj_weight_sharing=True,
    emb_src_trg_weight_sharing=True,
    scale_emb_or_prj="prj",
):
    if d_word_vec != d_model:
        raise unsupported("d_word_vec", d_word_vec, f"d_model={d_model} is accepted")
    if scale_emb_or_prj not in ("emb", "prj", "none"):
        raise unsupported("scale_emb_or_prj", scale_emb_or_prj, "'emb', 'prj' or 'none' is accepted")
    scales = {"emb": "embeddings", "prj": "logits", "none": "none"}
    shared = "all" if emb_src_trg_weight_sharing else "output"
    if not trg_emb_prj_weight_sharing:
        shared = "embeddings" if emb_src_trg_weight_sharing else "none"
    arguments = {
        "source_vocabulary": n_src_vocab,
        "vocabulary": n_trg_vocab,
        "channels": d_model,
        "layers": n_layers,
        "heads": n_head,
        "head_channels": d_k,
        "value_head_channels": d_v,
        "hidden": d_inner,
        "shared": shared,
        "scale": scales[scale_emb_or_prj] if trg_emb_prj_weight_sharing else "none",
        "embedding_norm": True,
        "positions": n_position,
        "dropout": dropout,
        "attention_dropout": 0.1,
        "target.padding_idx": trg_pad_idx,
    }
    names: Names = {"target": "decoder.trg_word_emb", "table": "table"}
    names |= {"norms.0": "encoder.layer_norm", "norms.1": "decoder.layer_norm"}
    if not emb_src_trg_weight_sharing:
        names["source"] = "encoder.src_word_emb"
        arguments["source.padding_idx"] = src_pad_idx
    if not trg_emb_prj_weight_sharing:
        names["output"] = "trg_word_prj"
    heads = {"query": "w_qs", "key": "w_ks", "value": "w_vs", "out": "fc"}
    feed = {"feed.widen": "pos_ffn.w_1", "feed.narrow": "pos_ffn.w_2", "last.norm": "pos_ffn.layer_norm"}
    own = {f"heads.{part}": f"slf_attn.{name}" for part, name in heads.items()} | {"first.norm": "slf_attn.layer_norm"}
    cross = {f"cross.{part}": f"enc_attn.{name}" for part, name in heads.items()}
    cross |= {"middle.norm": "enc_attn.layer_norm"}
    _layers(names, "stacks.encoder", "encoder.layer_stack", n_layers, {**own, **feed})
    _layers(names, "stacks.decoder", "decoder.layer_stack", n_layers, {**own, **cross, **feed})
    return arguments, names


def _jadore_state(state: State, args: Mapping[str, Any]) -> State:
    """The state with one of the tensors that are one parameter, the first, and with one table."""
    state = dict(state)
    tables = [state.pop(f"{side}.position_enc.pos_table") for side in ("encoder", "decoder")]
    state["table"] = tables[0].squeeze(0)
    if args.get("trg_emb_prj_weight_sharing", True):
        del state["trg_word_prj.weight"]
    if args.get("emb_src_trg_weight_sharing", True):
        state["decoder.trg_word_emb.weight"] = state.pop("encoder.src_word_emb.weight")
    return state


class _Jadore(nn.Module):
    """Our Transformer, called with words in which padding has a number; logits `B·L V`."""

    def __init__(self, module: nn.Module, args: Mapping[str, Any]) -> None:
        super().__init__()
        self.module = module
        self.pads = (args["src_pad_idx"], args["trg_pad_idx"])

    def forward(self, src_seq: Tensor, trg_seq: Tensor) -> Tensor:
        visible = src_seq != self.pads[0], trg_seq != self.pads[1]
        logits: Tensor = self.module.logits(src_seq, visible[0], trg_seq, visible[1])  # type: ignore[operator]
        return logits.flatten(0, 1)


def _annotated(src_vocab, tgt_vocab, N=6, d_model=512, d_ff=2048, h=8, dropout=0.1):
    arguments = {
        "source_vocabulary": src_vocab,
        "vocabulary": tgt_vocab,
        "channels": d_model,
        "layers": N,
        "heads": h,
        "hidden": d_ff,
        "shared": "none",
        "output_bias": True,
        "positions": ROWS,
        "norm_first": True,
        "unbiased": True,
        "bias": True,
        "dropout": dropout,
        "attention_dropout": 0.1,
        "hidden_dropout": dropout,
    }
    names: Names = {"source": "src_embed.0.lut", "target": "tgt_embed.0.lut", "output": "generator.proj"}
    names |= {"output_bias": "generator.proj.bias", "table": "table"}
    names |= {"stacks.norms.0": "encoder.norm", "stacks.norms.1": "decoder.norm"}
    heads = ("query", "key", "value", "out")
    own = {f"heads.{part}": f"self_attn.linears.{i}" for i, part in enumerate(heads)}
    cross = {f"cross.{part}": f"src_attn.linears.{i}" for i, part in enumerate(heads)}
    feed = {"feed.widen": "feed_forward.w_1", "feed.narrow": "feed_forward.w_2", "first.norm": "sublayer.0.norm"}
    _layers(names, "stacks.encoder", "encoder.layers", N, {**own, **feed, "last.norm": "sublayer.1.norm"})
    norms = {"middle.norm": "sublayer.1.norm", "last.norm": "sublayer.2.norm"}
    _layers(names, "stacks.decoder", "decoder.layers", N, {**own, **cross, **feed, **norms})
    return arguments, names


def _annotated_state(state: State, args: Mapping[str, Any]) -> State:
    """The state with our names of the norms, and one table; a shorter one gets rows of zeros, which it cannot reach."""
    state = {key.replace(".a_2", ".weight").replace(".b_2", ".bias"): value for key, value in state.items()}
    table, _ = (state.pop(f"{side}_embed.1.pe").squeeze(0) for side in ("src", "tgt"))
    return {**state, "table": F.pad(table, (0, 0, 0, ROWS - len(table)))}


class _Annotated(nn.Module):
    """Our Transformer, called with masks of zeros and ones; without them padding has the number 0."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(
        self, src: Tensor, tgt: Tensor, src_mask: Tensor | None = None, tgt_mask: Tensor | None = None
    ) -> Tensor:
        visible = src != 0 if src_mask is None else (src_mask != 0).flatten(1)
        own = tgt != 0 if tgt_mask is None else tgt_mask != 0
        logits: Tensor = self.module.logits(src, visible, tgt, own)  # type: ignore[operator]
        return torch.log_softmax(logits, -1)


REFERENCES = (
    Reference(
        "transformer_model/torch/Transformer",
        "encoder_decoder",
        _torch,
        state=_torch_state,
        adapt=_Torch,
    ),
    Reference(
        "transformer_model/jadore801120.attention-is-all-you-need-pytorch/Transformer",
        "transformer_model",
        _jadore,
        state=_jadore_state,
        adapt=_Jadore,
    ),
    Reference(
        "transformer_model/harvardnlp.annotated-transformer/make_model",
        "transformer_model",
        _annotated,
        state=_annotated_state,
        adapt=lambda module, args: _Annotated(module),
    ),
)
