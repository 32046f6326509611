"""Checkpoint mappings for criss-cross attention."""

from __future__ import annotations

from regard.networks.residual import BLOCKS
from regard.published.naming import mmseg_names, trunk_names
from regard.published.reference import Reference, State, unsupported

_CONVS = {"query": "query_conv", "key": "key_conv", "value": "value_conv"}


def _official(in_dim):
    names = {ours: f"cca.{theirs}" for ours, theirs in _CONVS.items()}
    return {"channels": in_dim}, {"": "cca", **names}


def _under_cca(state: State, args) -> State:
    return {f"cca.{key}": value for key, value in state.items()}


def _mmcv(in_channels):
    return _official(in_channels)


def _mmcv_scale(state: State, args) -> State:
    return {f"cca.{'gamma' if key == 'gamma.scale' else key}": value.reshape(-1) if key == "gamma.scale" else value
            for key, value in state.items()}  # fmt: skip


def _rcca(in_channels, out_channels, num_classes, recurrence=1):
    parts = {"before": "conva", "after": "convb", "merge": "bottleneck"}
    names = {
        f"{ours}.{part}": f"{theirs}.{i}" for ours, theirs in parts.items() for i, part in enumerate(("conv", "norm"))
    }
    names |= {"attention": "cca", "classify": "bottleneck.3"}
    names |= {f"attention.{ours}": f"cca.{theirs}" for ours, theirs in _CONVS.items()}
    if in_channels // 4 < 8:
        raise unsupported("in_channels", in_channels, "at least 32 is accepted, so that queries have a channel")
    return {
        "channels": in_channels,
        "out": out_channels,
        "classes": num_classes,
        "recurrence": recurrence,
    }, names


def _network(num_classes, layers=(3, 4, 23, 3), recurrence=2):
    depth = {blocks: depth for depth, blocks in BLOCKS.items() if depth >= 50}.get(tuple(layers))
    if depth is None:
        raise unsupported("layers", layers, "those of ResNet-50, -101 or -152 are accepted")
    if recurrence != 2:
        raise unsupported("recurrence", recurrence, "2 is accepted, as trained")
    _, head = _rcca(2048, 512, num_classes)
    names = trunk_names("") | {f"head.{ours}": f"head.{theirs}" for ours, theirs in head.items()}
    names |= {"auxiliary.conv1": "dsn.0", "auxiliary.norm1": "dsn.1", "auxiliary.classify": "dsn.3"}
    return {"name": "ccnet_resnet101", "classes": num_classes, "backbone": f"resnet{depth}s"}, names


def _positive(state: State, args) -> State:
    """The weights of the norms as InPlaceABN applies them: |w| + ε."""
    norms = {key.removesuffix("running_var") + "weight" for key in state if key.endswith("running_var")}
    return {key: value.abs() + 1e-5 if key in norms else value for key, value in state.items()}


def _network_mmseg(num_classes, depth=101, recurrence=2):
    if recurrence != 2:
        raise unsupported("recurrence", recurrence, "2 is accepted, as trained")
    parts = {"before": "convs.0", "after": "convs.1", "merge": "conv_cat"}
    head = {f"{ours}.{part}": f"{theirs}.{layer}" for ours, theirs in parts.items()
            for part, layer in (("conv", "conv"), ("norm", "bn"))}  # fmt: skip
    head |= {f"attention.{ours}": f"cca.{theirs}" for ours, theirs in _CONVS.items()}
    head |= {"attention.gamma": "cca.gamma.scale", "classify": "conv_seg"}
    return {
        "name": "fcn_resnet101",
        "classes": num_classes,
        "backbone": f"resnet{depth}c",
        "head": "ccnet",
        "head.slope": 0.0,
    }, mmseg_names(head)


_MAPS = {"attention_HplusW": "affinity"}

REFERENCES = (
    Reference("ccnet_cca/speedinghzl.CCNet/CrissCrossAttention", "cca", _official, state=_under_cca, maps=_MAPS),
    Reference("ccnet_cca/open-mmlab.mmcv/CrissCrossAttention", "cca", _mmcv, state=_mmcv_scale),
    Reference(
        "ccnet_rcca/speedinghzl.CCNet/RCCAModule",
        "ccnet",
        _rcca,
        maps={"attention_HplusW": "attention/affinity"},
    ),
    Reference("ccnet/speedinghzl.CCNet/ResNet", "segmenter", _network, state=_positive),
    Reference("ccnet/open-mmlab.mmsegmentation/EncoderDecoder", "segmenter", _network_mmseg),
)
