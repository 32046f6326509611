"""Feature pyramid attention and global attention upsampling; no code of the authors is public."""

import torch
from torch import Tensor

from benchmarks.peers.peer import Peer, Shape

_PORT = "JaveyWang/Pyramid-Attention-Networks-pytorch:networks.py"
_LIBRARY = "qubvel-org/segmentation_models.pytorch:segmentation_models_pytorch/decoders/pan/decoder.py"

_LARGEST = (2, 56, 56)


def _coarse_and_fine(shape: Shape) -> list[Tensor]:
    return [torch.randn(shape.batch, shape.channels, shape.height // 2, shape.width // 2), torch.randn(shape)]


PEERS = (
    Peer(
        entry="fpa",
        place=_PORT,
        attribute="FPA",
        arguments=lambda shape: {"channels": shape.channels},
        reference="pan/JaveyWang.Pyramid-Attention-Networks-pytorch/FPA",
        largest=_LARGEST,
        pick=("FPA",),
    ),
    Peer(
        entry="fpa",
        place=_LIBRARY,
        attribute="FPABlock",
        arguments=lambda shape: {"in_channels": shape.channels, "out_channels": shape.channels},
        reference="pan/qubvel-org.segmentation_models.pytorch/FPABlock",
        largest=_LARGEST,
        edits={"inplace=True": "inplace=False"},
    ),
    Peer(
        entry="gau",
        place=_PORT,
        attribute="GAU",
        arguments=lambda shape: {"channels_high": shape.channels, "channels_low": shape.channels},
        reference="pan/JaveyWang.Pyramid-Attention-Networks-pytorch/GAU",
        largest=_LARGEST,
        inputs=_coarse_and_fine,
        pick=("GAU",),
    ),
    Peer(
        entry="gau",
        place=_LIBRARY,
        attribute="GAUBlock",
        arguments=lambda shape: {"in_channels": shape.channels, "out_channels": shape.channels},
        reference="pan/qubvel-org.segmentation_models.pytorch/GAUBlock",
        largest=_LARGEST,
        inputs=lambda shape: _coarse_and_fine(shape)[::-1],
    ),
)
