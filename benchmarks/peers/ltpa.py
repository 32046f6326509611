"""Learn to pay attention; no code of the authors is public."""

import torch
from torch import Tensor

from benchmarks.peers.peer import Peer, Shape


def _local_and_global(shape: Shape) -> list[Tensor]:
    return [torch.randn(shape), torch.randn(shape.batch, shape.channels, 1, 1)]


PEERS = (
    Peer(
        entry="ltpa",
        place="SaoYan/LearnToPayAttention:blocks.py",
        attribute="LinearAttentionBlock",
        arguments=lambda shape: {"in_features": shape.channels},
        reference="learn_to_pay_attention/SaoYan.LearnToPayAttention/LinearAttentionBlock",
        inputs=_local_and_global,
    ),
)
