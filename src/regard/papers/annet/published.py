"""Checkpoint mappings for asymmetric non-local blocks."""

from __future__ import annotations

from regard.published.naming import trunk_names
from regard.published.reference import Reference, unsupported

_NORMS = ("batchnorm", "sync_batchnorm", "encsync_batchnorm")
_MAPS = {"affinity": "affinity"}


def _block(stages, *, shared, at=""):
    """Our parameter names in an official block at the prefix `at`, and the published ones."""
    names = {"block.fuse": f"{at}conv_bn_dropout.0", "block.norm": f"{at}conv_bn_dropout.1" + (".0" if shared else "")}
    for i in range(stages):
        ours, theirs = f"block.stages.{i}", f"{at}stages.{i}"
        for part in ("key",) if shared else ("key", "query"):
            names |= {f"{ours}.{part}.project": f"{theirs}.f_{part}.0", f"{ours}.{part}.norm": f"{theirs}.f_{part}.1.0"}
        names |= {f"{ours}.value": f"{theirs}.f_value", f"{ours}.out": f"{theirs}.W"}
    return names


def _check_norm(norm_type):
    if norm_type not in _NORMS:
        raise unsupported("norm_type", norm_type, f"batch norm ({', '.join(_NORMS)}) is accepted")


def _apnb(
    in_channels,
    out_channels,
    key_channels,
    value_channels,
    dropout,
    sizes=(1,),
    norm_type="batchnorm",
    psp_size=(1, 3, 6, 8),
):
    _check_norm(norm_type)
    if out_channels != in_channels:
        raise unsupported("out_channels", out_channels, f"in_channels={in_channels} is accepted")
    if any(scale != 1 for scale in sizes):
        raise unsupported("sizes", sizes, "1 is accepted, at which alone the official block runs")
    return {
        "channels": in_channels,
        "hidden": key_channels,
        "value_hidden": value_channels,
        "sizes": tuple(psp_size),
        "stages": len(sizes),
        "dropout": dropout,
    }, _block(len(sizes), shared=True)


def _afnb(
    low_in_channels,
    high_in_channels,
    out_channels,
    key_channels,
    value_channels,
    dropout,
    sizes=(1,),
    norm_type="batchnorm",
    psp_size=(1, 3, 6, 8),
):
    _check_norm(norm_type)
    return {
        "channels": high_in_channels,
        "low_channels": low_in_channels,
        "out_channels": out_channels,
        "hidden": key_channels,
        "value_hidden": value_channels,
        "sizes": tuple(psp_size),
        "stages": len(sizes),
        "dropout": dropout,
    }, _block(len(sizes), shared=False)


def _without_second_listing(state, args):
    """The state without the second names of layers that queries and keys share."""
    return {name: tensor for name, tensor in state.items() if ".f_query." not in f".{name}"}


def _under(prefix, names):
    return {f"{prefix}.{ours}": theirs for ours, theirs in names.items()}


def _head(low=1024, high=2048, mid=512, key=256, num_classes=19, dsn=512, image_size=None):
    return {
        "channels": high,
        "classes": num_classes,
        "low_channels": low,
        "width": mid,
        "hidden": key,
        "auxiliary": dsn,
        "size": None if image_size is None else tuple(image_size),
    }, {
        **_under("fusion", _block(1, shared=False, at="fusion.")),
        "reduce.0": "context.0",
        "reduce.1": "context.1.0",
        **_under("context", _block(1, shared=True, at="context.2.")),
        "classify": "cls",
        "auxiliary.0": "dsn.0",
        "auxiliary.1": "dsn.1.0",
        "auxiliary.4": "dsn.3",
    }


def _head_state(state, args):
    return {name: tensor for name, tensor in state.items() if not name.startswith("context.2.stages.0.f_query.")}


def _mmseg_block(stages, *, shared, at):
    names = {"block.fuse": f"{at}bottleneck.conv", "block.norm": f"{at}bottleneck.bn"}
    for i in range(stages):
        for part in ("key",) if shared else ("key", "query"):
            names[f"block.stages.{i}.{part}.project"] = f"{at}stages.{i}.{part}_project.conv"
            names[f"block.stages.{i}.{part}.norm"] = f"{at}stages.{i}.{part}_project.bn"
        names[f"block.stages.{i}.value"] = f"{at}stages.{i}.value_project"
        names[f"block.stages.{i}.out"] = f"{at}stages.{i}.out_project"
    return names


def _head_mmseg(
    in_channels,
    channels,
    num_classes,
    project_channels,
    query_scales=(1,),
    key_pool_scales=(1, 3, 6, 8),
    dropout_ratio=0.1,
    norm_cfg=None,
):
    if norm_cfg is None or norm_cfg.get("type") not in ("BN", "SyncBN"):
        raise unsupported("norm_cfg", norm_cfg, "batch norm (type BN) is accepted")
    if tuple(query_scales) != (1,):
        raise unsupported("query_scales", query_scales, "(1,) is accepted")
    low, high = in_channels
    return {
        "channels": high,
        "classes": num_classes,
        "low_channels": low,
        "width": channels,
        "hidden": project_channels,
        "auxiliary": 0,
        "sizes": tuple(key_pool_scales),
        "dropout": dropout_ratio,
    }, {
        **_under("fusion", _mmseg_block(1, shared=False, at="fusion.")),
        "reduce.0": "bottleneck.conv",
        "reduce.1": "bottleneck.bn",
        **_under("context", _mmseg_block(1, shared=True, at="context.")),
        "classify": "conv_seg",
    }


def _head_mmseg_state(state, args):
    return {name: tensor for name, tensor in state.items() if not name.startswith("context.stages.0.query_project.")}


def _network(num_classes=19, backbone="deepbase_resnet101_dilated8"):
    depth = backbone.removeprefix("deepbase_resnet").removesuffix("_dilated8")
    if depth not in ("50", "101", "152"):
        raise unsupported("backbone", backbone, "deepbase_resnet50_dilated8, …101… or …152… is accepted")
    _, head = _head(num_classes=num_classes)
    names = trunk_names("backbone.prefix.", "backbone.") | {f"head.{ours}": theirs for ours, theirs in head.items()}
    return {"name": "annet_resnet101", "classes": num_classes, "backbone": f"resnet{depth}s"}, names


def _network_state(state, args):
    """The state without second names; `resinit` is what sister repositories call the stem."""
    kept = _head_state(state, args)
    return {name.replace("backbone.resinit.", "backbone.prefix."): tensor for name, tensor in kept.items()}


REFERENCES = (
    Reference("annet_apnb/MendelXu.ANN/APNB", "apnb", _apnb, state=_without_second_listing, maps=_MAPS),
    Reference("annet_afnb/MendelXu.ANN/AFNB", "afnb", _afnb, maps=_MAPS),
    Reference(
        "annet_head/MendelXu.ANN/asymmetric_non_local_network",
        "annet",
        _head,
        state=_head_state,
        recording="the network without its trunk, on given maps",
    ),
    Reference("annet_head/open-mmlab.mmsegmentation/ANNHead", "annet", _head_mmseg, state=_head_mmseg_state),
    Reference("annet/MendelXu.ANN/asymmetric_non_local_network", "segmenter", _network, state=_network_state),
)
