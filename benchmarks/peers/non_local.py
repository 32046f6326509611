"""Non-local blocks; the authors' own code is Caffe2."""

import torch
from torch import nn

from benchmarks.peers.peer import Peer, Shape, load, renamed


def _timm(theirs: nn.Module, shape: Shape) -> nn.Module:
    # timm divides the logits by √C, the paper's code by √C'.
    weights = renamed(theirs.state_dict(), {"theta": "t", "phi": "p", "g": "g", "out": "z", "norm": "norm"})
    hidden = weights["theta.weight"].shape[0]
    for key in ("theta.weight", "theta.bias"):
        weights[key] = weights[key] * (hidden / shape.channels) ** 0.5
    return load("nonlocal", {"channels": shape.channels, "hidden": hidden, "pool": 1}, weights)


_LARGEST = (2, 56, 56)  # every call is a second


def _alexhex(affinity: str, *, pooled: bool = False, largest: tuple[int, int, int] = _LARGEST) -> Peer:
    return Peer(
        entry="nonlocal",
        place=f"AlexHex7/Non-local_pytorch:lib/non_local_{affinity}.py",
        attribute="NONLocalBlock2D",
        arguments=lambda shape: {"in_channels": shape.channels, "sub_sample": pooled},
        reference=f"nonlocal/AlexHex7.Non-local_pytorch/{affinity}.NONLocalBlock2D",
        setting=affinity + (", sub-sampled" if pooled else ""),
        largest=largest,
    )


PEERS = (
    Peer(
        entry="nonlocal",
        place="timm.layers",
        attribute="NonLocalAttn",
        arguments=lambda shape: {"in_channels": shape.channels},
        twin=_timm,
        largest=_LARGEST,
    ),
    Peer(
        entry="nonlocal",
        place="mmcv.cnn",
        attribute="NonLocal2d",
        arguments=lambda shape: {"in_channels": shape.channels, "norm_cfg": {"type": "BN"}},
        reference="nonlocal/open-mmlab.mmcv/NonLocal2d",
        largest=_LARGEST,
    ),
    # The authors' laboratory's own PyTorch version; one frame of video is an image.
    Peer(
        entry="nonlocal",
        place="facebookresearch/SlowFast:slowfast/models/nonlocal_helper.py",
        attribute="Nonlocal",
        arguments=lambda shape: {
            "dim": shape.channels,
            "dim_inner": shape.channels // 2,
            "pool_size": [1, 2, 2],
        },
        reference="nonlocal/facebookresearch.SlowFast/Nonlocal",
        inputs=lambda shape: [torch.randn(shape)[:, :, None]],
        largest=_LARGEST,
    ),
    _alexhex("embedded_gaussian"),
    _alexhex("embedded_gaussian", pooled=True),
    _alexhex("gaussian"),
    _alexhex("dot_product"),
    # It repeats θ and φ for every pair of positions: 10 GB for one 56×56 map of 256 channels.
    _alexhex("concatenation", largest=(1, 20, 20)),
)
