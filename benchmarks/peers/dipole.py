"""Dipole's attention over earlier visits."""

import torch

from benchmarks.peers.peer import Peer


def _dipole(attribute: str) -> Peer:
    return Peer(
        entry="dipole",
        place="sunlabuiuc/PyHealth@b7eb39ed18a335dc702bfdb0801fe7f2d9ca5366:pyhealth/models/sequence/dipole.py",
        attribute=attribute,
        arguments=lambda shape: {"hidden_size": shape.channels, "device": torch.device("cpu")},
        reference=f"dipole_attention/sunlabuiuc.PyHealth/{attribute}",
        # states of a recurrent layer: the released exponentials overflow beyond
        inputs=lambda shape: [torch.randn(shape.batch, shape.height * shape.width, shape.channels).tanh() * 0.1],
        pick=("LocationAttention", "GeneralAttention", "ConcatenationAttention"),
        # 64 visits: every pair of them is given its own copy of two states
        largest=(8, 8, 8),
    )


PEERS = (_dipole("LocationAttention"), _dipole("GeneralAttention"), _dipole("ConcatenationAttention"))
