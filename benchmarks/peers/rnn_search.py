"""Additive attention; the authors' own code is Theano."""

import torch
from torch import Tensor

from benchmarks.peers.peer import Peer, Shape


def _step(shape: Shape) -> list[Tensor]:
    """One step of a decoder: its state, and of each encoder state itself, the mask and the projection."""
    batch, steps = shape.batch, shape.height * shape.width
    return [
        torch.randn(batch, 1, shape.channels),
        torch.randn(batch, steps, 2 * shape.channels),
        torch.arange(steps) < torch.randint(steps // 2 + 1, steps + 1, (batch, 1, 1)),
        torch.randn(batch, steps, shape.channels),
    ]


PEERS = (
    Peer(
        entry="bahdanau",
        place="bastings/annotated_encoder_decoder:annotated_encoder_decoder.ipynb",
        attribute="BahdanauAttention",
        arguments=lambda shape: {"hidden_size": shape.channels},
        reference="bahdanau_attention/bastings.annotated_encoder_decoder/BahdanauAttention",
        inputs=_step,
        call=lambda module, state, value, mask, key: module(query=state, value=value, mask=mask, proj_key=key),
        pick=("BahdanauAttention",),
        # autograd does not see the change in place, so that masked positions would have gradients
        edits={"scores.data.masked_fill_(": "scores = scores.masked_fill("},
        largest=(32, 8, 8),
    ),
)
