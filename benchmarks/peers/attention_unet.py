"""Attention gates of U-Nets."""

import torch
from torch import Tensor

from benchmarks.peers.peer import Peer, Shape
from benchmarks.peers.stand_ins import initialise


def _map_and_coarser(shape: Shape) -> list[Tensor]:
    return [torch.randn(shape), torch.randn(shape.batch, shape.channels, shape.height // 2, shape.width // 2)]


def _two_maps(shape: Shape) -> list[Tensor]:
    return [torch.randn(shape), torch.randn(shape)]


PEERS = (
    Peer(
        entry="attention_gate",
        place="ozan-oktay/Attention-Gated-Networks:models/layers/grid_attention_layer.py",
        attribute="GridAttentionBlock2D",
        arguments=lambda shape: {
            "in_channels": shape.channels,
            "gating_channels": shape.channels,
            "sub_sample_factor": (2, 2),
        },
        reference="attention_gate/ozan-oktay.Attention-Gated-Networks/GridAttentionBlock2D",
        inputs=_map_and_coarser,
        names={"init_weights": initialise},
    ),
    Peer(
        entry="attention_gate",
        place="LeeJunHyun/Image_Segmentation:network.py",
        attribute="Attention_block",
        arguments=lambda shape: {"F_g": shape.channels, "F_l": shape.channels, "F_int": shape.channels // 2},
        reference="attention_gate/LeeJunHyun.Image_Segmentation/Attention_block",
        inputs=_two_maps,
        pick=("Attention_block",),
    ),
    Peer(
        entry="attention_gate",
        place="monai.networks.nets.attentionunet",
        attribute="AttentionBlock",
        arguments=lambda shape: {
            "spatial_dims": 2,
            "f_int": shape.channels // 2,
            "f_g": shape.channels,
            "f_l": shape.channels,
        },
        reference="attention_gate/Project-MONAI.MONAI/AttentionBlock",
        inputs=_two_maps,
    ),
    Peer(
        entry="multi_attention_gate",
        place="ozan-oktay/Attention-Gated-Networks:"
        "models/layers/grid_attention_layer.py+models/networks/unet_CT_multi_att_dsv_3D.py",
        attribute="MultiAttentionBlock",
        arguments=lambda shape: {
            "in_size": shape.channels // 4,
            "gate_size": shape.channels // 4,
            "inter_size": shape.channels // 4,
            "nonlocal_mode": "concatenation",
            "sub_sample_factor": (2, 2, 2),
        },
        reference="attention_gate/ozan-oktay.Attention-Gated-Networks/MultiAttentionBlock",
        inputs=lambda shape: [
            torch.randn(1, shape.channels // 4, 16, *shape.grid),
            torch.randn(1, shape.channels // 4, 8, shape.height // 2, shape.width // 2),
        ],
        pick=("_GridAttentionBlockND", "GridAttentionBlock3D", "MultiAttentionBlock"),
        names={"init_weights": initialise},
    ),
)
