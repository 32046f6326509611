"""Criss-cross attention."""

from torch import nn

from benchmarks.peers.peer import Peer, Shape
from benchmarks.peers.stand_ins import InPlaceABNSync, Registry, Scale
from regard import published

_CLASSES = 19


def _head(theirs: nn.Module, shape: Shape) -> nn.Module:
    arguments = {"in_channels": shape.channels, "out_channels": 512, "num_classes": _CLASSES, "recurrence": 2}
    return published.rebuild("ccnet_rcca/speedinghzl.CCNet/RCCAModule", arguments, theirs.state_dict())


PEERS = (
    Peer(
        entry="cca",
        place="speedinghzl/CCNet:cc_attention/functions.py",
        attribute="CrissCrossAttention",
        arguments=lambda shape: {"in_dim": shape.channels},
        reference="ccnet_cca/speedinghzl.CCNet/CrissCrossAttention",
        edits={".cuda()": ""},
    ),
    Peer(
        entry="cca",
        place="open-mmlab/mmcv:mmcv/ops/cc_attention.py",
        attribute="CrissCrossAttention",
        arguments=lambda shape: {"in_channels": shape.channels},
        reference="ccnet_cca/open-mmlab.mmcv/CrissCrossAttention",
        names={"MODELS": Registry, "Scale": Scale},
    ),
    Peer(
        entry="ccnet",
        place="speedinghzl/CCNet:cc_attention/functions.py+networks/ccnet.py",
        attribute="RCCAModule",
        # its last layer takes 512 channels whatever is asked for
        arguments=lambda shape: {"in_channels": shape.channels, "out_channels": 512, "num_classes": _CLASSES},
        twin=_head,
        call=lambda module, x: module(x, recurrence=2),
        pick=("INF", "CrissCrossAttention", "RCCAModule"),
        names={"InPlaceABNSync": InPlaceABNSync},
        edits={".cuda()": ""},
        largest=(2, 56, 56),
    ),
)
