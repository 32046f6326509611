"""RA-CNN's crop, with the rule by which the square moves."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.peers.peer import Peer, Shape

_SIDE = 448


def _inputs(shape: Shape) -> list[Tensor]:
    """Photographs of the paper's size, and squares anywhere in them, of any size."""
    return [torch.randn(shape.batch, 3, _SIDE, _SIDE), _SIDE * torch.rand(shape.batch, 3)]


PEERS = (
    Peer(
        entry="attention_crop",
        place="jeong-tae/RACNN-pytorch:models/RACNN.py",
        attribute="AttentionCropLayer",
        reference="racnn_attention_crop/jeong-tae.RACNN-pytorch/AttentionCropFunction",
        known=lambda shape: {"in_size": _SIDE, "out_size": 224},
        inputs=_inputs,
        setting="448×448",
        pick=("AttentionCropFunction", "AttentionCropLayer"),
        edits={
            "torch.stack([torch.arange(0, in_size)] * in_size).float()": (
                "torch.stack([torch.arange(0, in_size, device=images.device)] * in_size).to(images.dtype)"
            ),
            "torch.stack([torch.arange(0, in_size)] * in_size).t()": (
                "torch.stack([torch.arange(0, in_size, device=grad_output.device)] * in_size).t()"
            ),
            "torch.Tensor(grad_output.size(0), 3).zero_()": "grad_output.new_zeros(grad_output.size(0), 3)",
            "saved_variables[0], self.saved_variables[1]": "saved_tensors",
            ".float()": ".to(grad_output.dtype)",
        },
    ),
)
