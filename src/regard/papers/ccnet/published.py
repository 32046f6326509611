"""Checkpoint mappings for criss-cross attention."""

from __future__ import annotations

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
)
