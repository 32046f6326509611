"""Layers of a transformer; the authors' own code is TensorFlow."""

from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.peers.peer import Peer, Shape
from regard import published

_HARVARD = "harvardnlp/annotated-transformer:the_annotated_transformer.py"
_JADORE = (
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
_TOKENS = (8, 16, 32)  # 512 positions


def _tokens(shape: Shape) -> list[Tensor]:
    return [torch.randn(shape.batch, shape.height * shape.width, shape.channels)]


def _tokens_and_memory(shape: Shape) -> list[Tensor]:
    return [*_tokens(shape), torch.randn(shape.batch, shape.height * shape.width // 2, shape.channels)]


def _heads(shape: Shape) -> int:
    return max(shape.channels // 32, 1)


def _torch(shape: Shape) -> dict[str, Any]:
    return {
        "d_model": shape.channels,
        "nhead": _heads(shape),
        "dim_feedforward": 4 * shape.channels,
        "batch_first": True,
    }


def _jadore(shape: Shape) -> dict[str, Any]:
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


def _output_alone(layer: str):
    """The weights, which theirs returns too, have to be asked for here."""
    kind = {"EncoderLayer": "encoder", "DecoderLayer": "decoder"}[layer]
    reference = f"transformer_{kind}_layer/jadore801120.attention-is-all-you-need-pytorch/{layer}"

    def twin(theirs: nn.Module, shape: Shape) -> nn.Module:
        module = published.rebuild(reference, _jadore(shape), theirs.state_dict())
        for part in module.modules():
            if hasattr(part, "return_weights"):
                part.return_weights = False
        return module

    return twin


PEERS = (
    Peer(
        entry="encoder_layer",
        place="torch.nn",
        attribute="TransformerEncoderLayer",
        arguments=_torch,
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
        place=_JADORE,
        attribute="EncoderLayer",
        arguments=_jadore,
        twin=_output_alone("EncoderLayer"),
        inputs=_tokens,
        call=lambda module, x: module(x)[0],
        largest=_TOKENS,
    ),
    Peer(
        entry="decoder_layer",
        place="torch.nn",
        attribute="TransformerDecoderLayer",
        arguments=_torch,
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
        place=_JADORE,
        attribute="DecoderLayer",
        arguments=_jadore,
        twin=_output_alone("DecoderLayer"),
        inputs=_tokens_and_memory,
        call=lambda module, x, memory: module(x, memory)[0],
        largest=_TOKENS,
    ),
)
