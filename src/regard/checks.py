"""Argument checks: each raises a ValueError that names the argument, its value and what is accepted."""

from __future__ import annotations

from torch import Tensor, nn


def positive(name: str, value: int) -> int:
    """`value`, when it is a whole number above zero.

    Raises: ValueError naming the argument otherwise.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name}={value!r}: a whole number of at least 1 is needed")
    return value


def bottleneck_width(channels: int, reduction: int, hidden: int | None = None) -> int:
    """Width of a bottleneck: `hidden` where given, else C // r rounded down as the published codes do.

    Raises: ValueError if an argument is not positive or nothing is left of the channels.
    """
    positive("channels", channels)
    if hidden is not None:
        return positive("hidden", hidden)
    if channels // positive("reduction", reduction) < 1:
        raise ValueError(
            f"reduction={reduction} leaves no hidden channel of channels={channels}; "
            f"use a reduction of at most {channels}, or give hidden="
        )
    return channels // reduction


def check_norm_batch(norm: nn.Module, x: Tensor) -> None:
    """Refuses to train a batch norm on a single value for each channel, `B C` or `B C *positions`.

    Raises: ValueError saying what would do.
    """
    if norm.training and x.numel() == x.shape[1]:
        raise ValueError(
            f"batch norm cannot train on a single value per channel, as in {tuple(x.shape)}; "
            f"use a batch of at least 2, or eval()"
        )
