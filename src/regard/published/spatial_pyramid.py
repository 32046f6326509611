"""Spatial pyramid attention as others publish it."""

from __future__ import annotations

from regard.published.reference import Reference

_NAMES = {"gate.reduce": "fc.0", "gate.expand": "fc.2"}


def _own(channel, reduction=16):
    return {"channels": channel, "reduction": reduction}, _NAMES


def _own_one_level(channel, reduction=16):
    return {"channels": channel, "reduction": reduction, "levels": (1,)}, _NAMES


def _pre(in_channel, channel, reduction=16):
    return {"channels": in_channel, "out": channel, "reduction": reduction}, _NAMES


def _pre_one_level(in_channel, channel, reduction=16):
    arguments, names = _pre(in_channel, channel, reduction)
    return {**arguments, "levels": (1,)}, names


def _convolved(in_channel, channel, reduction=16):
    arguments, names = _pre(in_channel, channel, reduction)
    layers = {"conv": "conv1.0", "norm": "conv1.1"} if in_channel != channel else {}
    return {**arguments, "convolve": True}, {**names, **layers}


def _convolved_one_level(in_channel, channel, reduction=16):
    arguments, names = _convolved(in_channel, channel, reduction)
    return {**arguments, "levels": (1,)}, names


def _survey(channel, reduction=16):
    return {"channels": channel, "hidden": 21 * channel // reduction}, _NAMES


_MAPS = {"channel_gate": "channel"}

REFERENCES = (
    Reference("spanet/13952522076.SPANet/SPPSELayer", "spa", _own, maps=_MAPS),
    Reference("spanet/13952522076.SPANet/SELayer", "spa", _own_one_level, maps=_MAPS),
    Reference("spanet/13952522076.SPANet/PSPPSELayer", "spa_pre", _pre, maps=_MAPS),
    Reference("spanet/13952522076.SPANet/PSELayer", "spa_pre", _pre_one_level, maps=_MAPS),
    Reference("spanet/13952522076.SPANet/CPSPPSELayer", "spa_pre", _convolved, maps=_MAPS),
    Reference("spanet/13952522076.SPANet/CPSELayer", "spa_pre", _convolved_one_level, maps=_MAPS),
    Reference("spanet/survey", "spa_pre", _survey, maps=_MAPS),
)
