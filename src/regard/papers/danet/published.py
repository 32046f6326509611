"""Checkpoint mappings for dual attention."""

from __future__ import annotations

from regard.published.naming import mmseg_names
from regard.published.reference import Reference, unsupported

_QKV = {"query": "query_conv", "key": "key_conv", "value": "value_conv", "gamma": "gamma"}
_BATCH_NORMS = ("BatchNorm2d", "SyncBatchNorm", "BN", "SyncBN")


def _position(in_dim):
    return {"channels": in_dim}, _QKV


def _channel(in_dim):
    return {"channels": in_dim}, {"gamma": "gamma"}


def _head(in_channels, out_channels, norm_layer="BatchNorm2d"):
    kind = norm_layer if isinstance(norm_layer, str) else norm_layer.__name__
    if kind.rpartition(".")[2] not in _BATCH_NORMS:
        raise unsupported("norm_layer", norm_layer, "batch norm (BatchNorm2d) is accepted")
    return {"channels": in_channels, "classes": out_channels}, {
        "position_in": "conv5a",
        "channel_in": "conv5c",
        **{f"position.{ours}": f"sa.{theirs}" for ours, theirs in _QKV.items()},
        "channel": "sc",
        "position_out": "conv51",
        "channel_out": "conv52",
        "classify_position": "conv6",
        "classify_channel": "conv7",
        "classify": "conv8",
    }


def _head_mmseg(
    in_channels,
    channels,
    num_classes,
    pam_channels,
    dropout_ratio=0.1,
    norm_cfg=None,
):
    if norm_cfg is None or norm_cfg.get("type") not in _BATCH_NORMS:
        raise unsupported("norm_cfg", norm_cfg, "batch norm (type BN) is accepted")
    names = {f"position.{part}": f"pam.{part}_project" for part in ("query", "key", "value")}
    for branch, theirs in (("position", "pam"), ("channel", "cam")):
        names[f"{branch}.gamma"] = f"{theirs}.gamma.scale"
        names[f"classify_{branch}.1"] = f"{theirs}_conv_seg"
        for end in ("in", "out"):
            names |= {
                f"{branch}_{end}.0": f"{theirs}_{end}_conv.conv",
                f"{branch}_{end}.1": f"{theirs}_{end}_conv.bn",
            }
    return {
        "channels": in_channels,
        "classes": num_classes,
        "width": channels,
        "hidden": pam_channels,
        "dropout": dropout_ratio or 0.0,
    }, {**names, "classify.1": "conv_seg"}


def _network(
    nclass,
    backbone="resnet101",
    aux=False,
    se_loss=False,
    deep_stem=False,
    multi_grid=True,
    multi_dilation=(4, 8, 16),
    norm_layer="BatchNorm2d",
):
    if backbone not in ("resnet50", "resnet101", "resnet152"):
        raise unsupported("backbone", backbone, "resnet50, resnet101 or resnet152 is accepted")
    _, head = _head(2048, nclass, norm_layer)
    names = {"trunk.network": "pretrained", **{f"head.{ours}": f"head.{theirs}" for ours, theirs in head.items()}}
    return {
        "name": "danet_resnet101",
        "classes": nclass,
        "backbone": backbone + ("s" if deep_stem else ""),
        "multi_grid": tuple(multi_dilation) if multi_grid else (),
    }, names


def _without_classifier(state, args):
    """The state without the classifier of the ResNet, which some versions of the code keep unused."""
    return {name: tensor for name, tensor in state.items() if not name.startswith("pretrained.fc.")}


def _network_mmseg(num_classes, depth=101, multi_grid=None):
    _, head = _head_mmseg(2048, 512, num_classes, 64, norm_cfg={"type": "BN"})
    return {
        "name": "fcn_resnet101",
        "classes": num_classes,
        "backbone": f"resnet{depth}c",
        "multi_grid": () if multi_grid is None else tuple(multi_grid),
        "head": "danet",
    }, mmseg_names(head)


REFERENCES = (
    Reference("danet_pam/junfu1115.DANet/PAM_Module", "pam", _position, maps={"affinity": "affinity"}),
    Reference("danet_cam/junfu1115.DANet/CAM_Module", "cam", _channel, maps={"affinity": "channel_affinity"}),
    Reference("danet_head/junfu1115.DANet/DANetHead", "danet", _head),
    Reference("danet_head/open-mmlab.mmsegmentation/DAHead", "danet", _head_mmseg),
    Reference("danet/junfu1115.DANet/DANet", "segmenter", _network, state=_without_classifier),
    Reference("danet/open-mmlab.mmsegmentation/EncoderDecoder", "segmenter", _network_mmseg),
)
