"""Distillation."""

import torch

from benchmarks.peers.peer import Peer

PEERS = (
    Peer(
        entry="distillation",
        place="szagoruyko/attention-transfer:utils.py",
        attribute="distillation",
        arguments=lambda shape: {"T": 4.0, "alpha": 0.9},
        reference="attention_transfer/szagoruyko.attention-transfer/distillation",
        inputs=lambda shape: [
            torch.randn(16 * shape.batch, 1000),
            torch.randn(16 * shape.batch, 1000),
            torch.randint(1000, (16 * shape.batch,)),
        ],
        pick=("distillation",),
        edits={"size_average=False": 'reduction="sum"'},
    ),
)
