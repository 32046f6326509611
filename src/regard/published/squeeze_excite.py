"""Squeeze-and-excitation as others publish them."""

from __future__ import annotations

from regard.published.reference import Reference, unsupported


def _se_port(channel, reduction=16):
    return {"channels": channel, "reduction": reduction, "bias": False}, {"reduce": "fc.0", "expand": "fc.2"}


def _se_timm(channels, rd_ratio=1 / 16, rd_channels=None, rd_divisor=8, bias=True, add_maxpool=False):
    if add_maxpool:
        raise unsupported("add_maxpool", add_maxpool, "timm's experiment with a second pool has no paper")
    # timm rounds to the nearest multiple, and never below it; its own round_limit of 0.9 is off here
    hidden = rd_channels or max(rd_divisor, int(channels * rd_ratio + rd_divisor / 2) // rd_divisor * rd_divisor)
    return {"channels": channels, "hidden": hidden, "bias": bias}, {"reduce": "fc1", "expand": "fc2"}


def _se_torchvision(input_channels, squeeze_channels):
    return {"channels": input_channels, "hidden": squeeze_channels}, {"reduce": "fc1", "expand": "fc2"}


REFERENCES = (
    Reference("se/moskomule.senet.pytorch/SELayer", "se", _se_port),
    Reference("se/timm/SEModule", "se", _se_timm),
    Reference("se/torchvision/SqueezeExcitation", "se", _se_torchvision),
)
