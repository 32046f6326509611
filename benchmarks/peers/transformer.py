"""Attention in heads, positions, and the layers of the Transformer."""

from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.peers.floor import Floor
from benchmarks.peers.peer import Called, Peer, Shape, load
from regard import published

_JADORE = "jadore801120/attention-is-all-you-need-pytorch:transformer/Modules.py+transformer/SubLayers.py"


_TOKENS = (8, 16, 32)  # 512 positions


def _tokens(shape: Shape) -> list[Tensor]:
    return [torch.randn(shape.batch, shape.height * shape.width, shape.channels)]


def _heads(shape: Shape) -> int:
    return max(shape.channels // 32, 1)


def _jadore(shape: Shape) -> dict[str, Any]:
    width = shape.channels // _heads(shape)
    return {"n_head": _heads(shape), "d_model": shape.channels, "d_k": width, "d_v": width}


def _output_alone(theirs: nn.Module, shape: Shape) -> nn.Module:
    """The weights, which theirs returns too, have to be asked for here."""
    reference = "transformer_mha/jadore801120.attention-is-all-you-need-pytorch/MultiHeadAttention"
    module = published.rebuild(reference, _jadore(shape), theirs.state_dict())
    for part in module.modules():
        if hasattr(part, "return_weights"):
            part.return_weights = False
    return Called(module, lambda module, x: module(x, x, x))


def _monai(theirs: nn.Module, shape: Shape) -> nn.Module:
    state = theirs.state_dict()
    weights = dict(zip(("query", "key", "value"), state["qkv.weight"].chunk(3), strict=True))
    weights = {f"heads.{part}.weight": value for part, value in weights.items()}
    weights |= {f"heads.out.{kind}": state[f"out_proj.{kind}"] for kind in ("weight", "bias")}
    return load("mha", {"channels": shape.channels, "heads": _heads(shape), "bias": True}, weights)


_HARVARD = "harvardnlp/annotated-transformer:the_annotated_transformer.py"


_JADORE_LAYERS = (
    "jadore801120/attention-is-all-you-need-pytorch:"
    "transformer/Modules.py+transformer/SubLayers.py+transformer/Layers.py"
)


_PARTS = (
    "clones",
    "attention",
    "LayerNorm",
    "SublayerConnection",
    "MultiHeadedAttention",
    "PositionwiseFeedForward",
    "EncoderLayer",
    "DecoderLayer",
)


def _tokens_and_memory(shape: Shape) -> list[Tensor]:
    return [*_tokens(shape), torch.randn(shape.batch, shape.height * shape.width // 2, shape.channels)]


def _torch_layer(shape: Shape) -> dict[str, Any]:
    return {
        "d_model": shape.channels,
        "nhead": _heads(shape),
        "dim_feedforward": 4 * shape.channels,
        "batch_first": True,
    }


def _jadore_layer(shape: Shape) -> dict[str, Any]:
    width = shape.channels // _heads(shape)
    return {
        "d_model": shape.channels,
        "d_inner": 4 * shape.channels,
        "n_head": _heads(shape),
        "d_k": width,
        "d_v": width,
    }


def _annotated(shape: Shape) -> dict[str, Any]:
    return {"d_model": shape.channels, "d_ff": 4 * shape.channels, "h": _heads(shape)}


def _annotated_layer(layer: str, attentions: int):
    def make(code: Any, arguments: dict[str, Any]) -> nn.Module:
        width, heads = arguments["d_model"], arguments["h"]
        own = [code.MultiHeadedAttention(heads, width) for _ in range(attentions)]
        feed = code.PositionwiseFeedForward(width, arguments["d_ff"])
        built: nn.Module = getattr(code, layer)(width, *own, feed, 0.1)
        return built

    return make


def _layer_output_alone(layer: str):
    """The weights, which theirs returns too, have to be asked for here."""
    kind = {"EncoderLayer": "encoder", "DecoderLayer": "decoder"}[layer]
    reference = f"transformer_{kind}_layer/jadore801120.attention-is-all-you-need-pytorch/{layer}"

    def twin(theirs: nn.Module, shape: Shape) -> nn.Module:
        module = published.rebuild(reference, _jadore_layer(shape), theirs.state_dict())
        for part in module.modules():
            if hasattr(part, "return_weights"):
                part.return_weights = False
        return module

    return twin


PEERS = (
    Peer(
        entry="mha",
        place="torch.nn",
        attribute="MultiheadAttention",
        arguments=lambda shape: {"embed_dim": shape.channels, "num_heads": _heads(shape), "batch_first": True},
        reference="transformer_mha/torch/MultiheadAttention",
        inputs=_tokens,
        call=lambda module, x: module(x, x, x, need_weights=False)[0],
        largest=_TOKENS,
    ),
    Peer(
        entry="mha",
        place="monai.networks.blocks.selfattention",
        attribute="SABlock",
        arguments=lambda shape: {"hidden_size": shape.channels, "num_heads": _heads(shape)},
        twin=_monai,
        inputs=_tokens,
        largest=_TOKENS,
    ),
    Peer(
        entry="mha",
        place="harvardnlp/annotated-transformer:the_annotated_transformer.py",
        attribute="MultiHeadedAttention",
        arguments=lambda shape: {"h": _heads(shape), "d_model": shape.channels},
        reference="transformer_mha/harvardnlp.annotated-transformer/MultiHeadedAttention",
        inputs=_tokens,
        call=lambda module, x: module(x, x, x),
        pick=("clones", "attention", "MultiHeadedAttention"),
        largest=_TOKENS,
    ),
    Peer(
        entry="mha",
        place=_JADORE,
        attribute="MultiHeadAttention",
        arguments=_jadore,
        twin=_output_alone,
        inputs=_tokens,
        call=lambda module, x: module(x, x, x)[0],
        largest=_TOKENS,
    ),
    Peer(
        entry="sinusoidal",
        place="harvardnlp/annotated-transformer:the_annotated_transformer.py",
        attribute="PositionalEncoding",
        arguments=lambda shape: {"d_model": shape.channels, "dropout": 0.1},
        reference="transformer_posenc/harvardnlp.annotated-transformer/PositionalEncoding",
        inputs=_tokens,
        pick=("PositionalEncoding",),
        # the released table is rounded to float32, which a comparison in float64 would see
        edits={
            "torch.arange(0, max_len)": "torch.arange(0, max_len, dtype=torch.float64)",
            "torch.arange(0, d_model, 2)": "torch.arange(0, d_model, 2, dtype=torch.float64)",
            "torch.zeros(max_len, d_model)": "torch.zeros(max_len, d_model, dtype=torch.float64)",
        },
    ),
    Peer(
        entry="encoder_layer",
        place="torch.nn",
        attribute="TransformerEncoderLayer",
        arguments=_torch_layer,
        reference="transformer_encoder_layer/torch/TransformerEncoderLayer",
        inputs=_tokens,
        largest=_TOKENS,
    ),
    Peer(
        entry="encoder_layer",
        place=_HARVARD,
        attribute="EncoderLayer",
        arguments=_annotated,
        make=_annotated_layer("EncoderLayer", 1),
        reference="transformer_encoder_layer/harvardnlp.annotated-transformer/EncoderLayer",
        inputs=_tokens,
        call=lambda module, x: module(x, None),
        pick=_PARTS,
        largest=_TOKENS,
    ),
    Peer(
        entry="encoder_layer",
        place=_JADORE_LAYERS,
        attribute="EncoderLayer",
        arguments=_jadore_layer,
        twin=_layer_output_alone("EncoderLayer"),
        inputs=_tokens,
        call=lambda module, x: module(x)[0],
        largest=_TOKENS,
    ),
    Peer(
        entry="decoder_layer",
        place="torch.nn",
        attribute="TransformerDecoderLayer",
        arguments=_torch_layer,
        reference="transformer_decoder_layer/torch/TransformerDecoderLayer",
        inputs=_tokens_and_memory,
        largest=_TOKENS,
    ),
    Peer(
        entry="decoder_layer",
        place=_HARVARD,
        attribute="DecoderLayer",
        arguments=_annotated,
        make=_annotated_layer("DecoderLayer", 2),
        reference="transformer_decoder_layer/harvardnlp.annotated-transformer/DecoderLayer",
        inputs=_tokens_and_memory,
        call=lambda module, x, memory: module(x, memory, None, None),
        pick=_PARTS,
        largest=_TOKENS,
    ),
    Peer(
        entry="decoder_layer",
        place=_JADORE_LAYERS,
        attribute="DecoderLayer",
        arguments=_jadore_layer,
        twin=_layer_output_alone("DecoderLayer"),
        inputs=_tokens_and_memory,
        call=lambda module, x, memory: module(x, memory)[0],
        largest=_TOKENS,
    ),
)

FLOORS = (Floor("sinusoidal", 1, inputs=_tokens),)
