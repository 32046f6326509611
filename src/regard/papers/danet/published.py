"""Checkpoint mappings for dual attention."""

from __future__ import annotations

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


REFERENCES = (
    Reference("danet_pam/junfu1115.DANet/PAM_Module", "pam", _position, maps={"affinity": "affinity"}),
    Reference("danet_cam/junfu1115.DANet/CAM_Module", "cam", _channel, maps={"affinity": "channel_affinity"}),
    Reference("danet_head/junfu1115.DANet/DANetHead", "danet", _head),
    Reference("danet_head/open-mmlab.mmsegmentation/DAHead", "danet", _head_mmseg),
)
