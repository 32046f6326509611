"""Checkpoint mappings for RGA."""

from __future__ import annotations

from torch import Tensor, nn

from regard.networks.person import STAGES, TRUNK
from regard.published.naming import torch_names
from regard.published.reference import Given, Reference, unsupported

_BRANCHES = {"rgasc": (True, True), "rgas": (True, False), "rgac": (False, True)}  # spatial and channel


def _rga(in_channel, in_spatial, use_spatial=True, use_channel=True, cha_ratio=8, spa_ratio=8, down_ratio=8):
    names: dict[str, str] = {}
    for ours, used in (("spatial", use_spatial), ("channel", use_channel)):
        embeddings = {"theta": "theta", "phi": "phi", "own": "gx"} if used else {}
        for part, theirs in embeddings.items():
            names |= {f"{ours}.{part}.project": f"{theirs}_{ours}.0", f"{ours}.{part}.norm": f"{theirs}_{ours}.1"}
        layers = {"relate": "gg_{}.0", "relate_norm": "gg_{}.1", "reduce": "W_{}.0", "reduce_norm": "W_{}.1"}
        layers |= {"expand": "W_{}.3", "expand_norm": "W_{}.4"}
        if used:
            names |= {f"{ours}.{part}": theirs.format(ours) for part, theirs in layers.items()}
    return {
        "channels": in_channel,
        "grid": in_spatial,
        "spatial": use_spatial,
        "channel": use_channel,
        "channel_reduction": cha_ratio,
        "spatial_reduction": spa_ratio,
        "gate_reduction": down_ratio,
    }, names


def _network(
    pretrained=True,
    num_feat=2048,
    height=256,
    width=128,
    dropout=0,
    num_classes=0,
    last_stride=1,
    branch_name="rgasc",
    scale=8,
    d_scale=8,
    model_path=None,
    width_divisor=1,
    layers=TRUNK.blocks,
):
    if (num_feat, last_stride, dropout) != (2048 // width_divisor, 1, 0):
        given = {"num_feat": num_feat, "last_stride": last_stride, "dropout": dropout}
        raise unsupported("num_feat, last_stride, dropout", given, "2048, 1 and 0 are accepted, as trained")
    if branch_name not in _BRANCHES:
        raise unsupported("branch_name", branch_name, f"{', '.join(_BRANCHES)} are accepted")
    spatial, channel = _BRANCHES[branch_name]
    arguments = {"classes": num_classes, "spatial": spatial, "channel": channel, "image_size": (height, width)}
    arguments |= {"reduction": scale, "gate_reduction": d_scale, "width": 64 // width_divisor, "blocks": tuple(layers)}
    names = {ours: f"backbone.{theirs}" for ours, theirs in torch_names(layers, {}, "", bottleneck=True).items()}
    names |= {"neck": "feat_bn", "classify": "cls"}
    _, gates = _rga(1, 1, spatial, channel)
    for stage in range(STAGES):
        of_stage = f"backbone.rga_att{stage + 1}"
        names |= {f"attention.{stage}.{ours}": f"{of_stage}.{theirs}" for ours, theirs in gates.items()}
    return arguments, names


class _Released(nn.Module):
    """Our network, called as the released one: images, perhaps in a list, and whether there are logits."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, images: Tensor | list[Tensor], training: bool = True) -> tuple[Tensor, ...]:
        behind, before, logits = self.module(images if isinstance(images, Tensor) else images[0])
        return (before, behind, logits) if training else (before, behind)


def _released(module: nn.Module, args: Given) -> nn.Module:
    return _Released(module)


REFERENCES = (
    Reference(
        "rga/microsoft.Relation-Aware-Global-Attention-Networks/RGA_Module",
        "rga",
        _rga,
        maps={
            "spatial_gate": "spatial",
            "channel_gate": "channel",
            "spatial_affinity": "spatial_affinity",
            "channel_affinity": "channel_affinity",
        },
    ),
    Reference(
        "rga/microsoft.Relation-Aware-Global-Attention-Networks/ResNet50_RGA_Model",
        "rga_network",
        _network,
        adapt=_released,
    ),
)
