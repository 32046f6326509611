"""Sinusoidal positions; the authors' own code is TensorFlow."""

import torch
from torch import Tensor

from benchmarks.peers.floor import Floor
from benchmarks.peers.peer import Peer, Shape


def _tokens(shape: Shape) -> list[Tensor]:
    return [torch.randn(shape.batch, shape.height * shape.width, shape.channels)]


PEERS = (
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
)

FLOORS = (Floor("sinusoidal", 1, inputs=_tokens),)
