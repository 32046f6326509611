"""Multi-head attention, from a sequence to itself; the authors' own code is TensorFlow."""

from typing import Any

import torch
from torch import Tensor, nn

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
)
