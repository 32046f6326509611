"""Global context."""

from collections.abc import Callable

from torch import nn

from benchmarks.peers.floor import Floor
from benchmarks.peers.peer import Peer, Shape, load, renamed
from benchmarks.peers.stand_ins import initialise


def _timm(way: str) -> Callable[[nn.Module, Shape], nn.Module]:
    def twin(theirs: nn.Module, shape: Shape) -> nn.Module:
        parts = {"0": "fc1", "1": "norm", "3": "fc2"}
        names = {"mask": "conv_attn"} | {f"{way}.{ours}": f"mlp_{way_timm}.{part}" for ours, part in parts.items()}
        weights = renamed(theirs.state_dict(), names)
        hidden = weights[f"{way}.0.weight"].shape[0]
        module = load("gc", {"channels": shape.channels, "hidden": hidden, "fusion": (way,)}, weights)
        module.get_submodule(f"{way}.1").eps = theirs.get_submodule(f"mlp_{way_timm}.norm").eps
        return module

    way_timm = {"mul": "scale", "add": "add"}[way]
    return twin


PEERS = (
    Peer(
        entry="gc",
        place="timm.layers",
        attribute="GlobalContext",
        arguments=lambda shape: {"channels": shape.channels},
        twin=_timm("mul"),
        setting="mul",
    ),
    Peer(
        entry="gc",
        place="timm.layers",
        attribute="GlobalContext",
        arguments=lambda shape: {"channels": shape.channels, "fuse_add": True, "fuse_scale": False},
        twin=_timm("add"),
        setting="add",
    ),
    Peer(
        entry="gc",
        place="mmcv.cnn",
        attribute="ContextBlock",
        arguments=lambda shape: {"in_channels": shape.channels, "ratio": 1 / 16},
        known=lambda shape: {"inplanes": shape.channels, "ratio": 1 / 16},
        reference="gcnet_context_block/open-mmlab.mmcv/ContextBlock",
        setting="add",
    ),
    Peer(
        entry="gc",
        place="xvjiarui/GCNet:mmdet/ops/gcb/context_block.py",
        attribute="ContextBlock",
        arguments=lambda shape: {"inplanes": shape.channels, "ratio": 1 / 16},
        reference="gcnet_context_block/xvjiarui.GCNet/ContextBlock",
        setting="add",
        names={"constant_init": initialise, "kaiming_init": initialise},
    ),
)

FLOORS = (Floor("gc", 2),)
