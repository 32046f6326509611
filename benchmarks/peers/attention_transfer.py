"""Attention transfer."""

import torch

from benchmarks.peers.peer import Peer, Shape


def _student_and_teacher(shape: Shape) -> list[torch.Tensor]:
    return [torch.randn(shape), torch.randn(shape)]


PEERS = (
    Peer(
        entry="attention_transfer",
        place="szagoruyko/attention-transfer:utils.py",
        attribute="at_loss",
        reference="attention_transfer/szagoruyko.attention-transfer/at_loss",
        inputs=_student_and_teacher,
        pick=("at", "at_loss"),
    ),
)
