"""Asymmetric pyramid and fusion non-local blocks."""

import torch

from benchmarks.peers.peer import Peer
from benchmarks.peers.stand_ins import ModuleHelper

PEERS = (
    Peer(
        entry="apnb",
        place="MendelXu/ANN:models/seg/utils/apnb.py",
        attribute="APNB",
        arguments=lambda shape: {
            "in_channels": shape.channels,
            "out_channels": shape.channels,
            "key_channels": shape.channels // 2,
            "value_channels": shape.channels // 2,
            "dropout": 0.05,
            "norm_type": "batchnorm",
        },
        reference="annet_apnb/MendelXu.ANN/APNB",
        names={"ModuleHelper": ModuleHelper},
    ),
    Peer(
        entry="afnb",
        place="MendelXu/ANN:models/seg/utils/afnb.py",
        attribute="AFNB",
        arguments=lambda shape: {
            "low_in_channels": shape.channels // 2,
            "high_in_channels": shape.channels,
            "out_channels": shape.channels,
            "key_channels": shape.channels // 2,
            "value_channels": shape.channels // 2,
            "dropout": 0.05,
            "norm_type": "batchnorm",
        },
        reference="annet_afnb/MendelXu.ANN/AFNB",
        inputs=lambda shape: [
            torch.randn(shape.batch, shape.channels // 2, *shape.grid),
            torch.randn(shape),
        ],
        names={"ModuleHelper": ModuleHelper},
    ),
)
