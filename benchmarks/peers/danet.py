"""Position and channel attention of the dual attention network, and its head."""

from torch import nn

from benchmarks.peers.peer import Peer

_PLACE = "junfu1115/DANet:encoding/nn/da_att.py"

PEERS = (
    Peer(
        entry="pam",
        place=_PLACE,
        attribute="PAM_Module",
        arguments=lambda shape: {"in_dim": shape.channels},
        reference="danet_pam/junfu1115.DANet/PAM_Module",
        largest=(2, 56, 56),
    ),
    Peer(
        entry="cam",
        place=_PLACE,
        attribute="CAM_Module",
        arguments=lambda shape: {"in_dim": shape.channels},
        reference="danet_cam/junfu1115.DANet/CAM_Module",
    ),
    Peer(
        entry="danet",
        place="junfu1115/DANet:encoding/nn/da_att.py+encoding/models/sseg/danet.py",
        attribute="DANetHead",
        arguments=lambda shape: {"in_channels": shape.channels, "out_channels": 19, "norm_layer": nn.BatchNorm2d},
        reference="danet_head/junfu1115.DANet/DANetHead",
        pick=("PAM_Module", "CAM_Module", "DANetHead"),
        largest=(2, 56, 56),
    ),
)
