"""Argument checks: each raises a ValueError that names the argument, its value and what is accepted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from torch import Tensor, nn

T = TypeVar("T")


def one_of(name: str, value: T, known: Iterable[object]) -> T:
    """Returns `value` if it is among `known`.

    Raises: ValueError otherwise, with the name of the argument.
    """
    accepted = tuple(known)
    if value not in accepted:
        words = [repr(word) for word in accepted]
        listed = f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else words[0]
        raise ValueError(f"{name}={value!r}: {listed} is needed")
    return value


def positive(name: str, value: int) -> int:
    """Returns `value` if it is a whole number above zero.

    Raises: ValueError otherwise, with the name of the argument.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name}={value!r}: a whole number of at least 1 is needed")
    return value


def bottleneck_width(channels: int, reduction: int, hidden: int | None = None) -> int:
    """Returns the width of a bottleneck: `hidden` if it is given, else C / r rounded down, as the published codes do.

    Raises: ValueError if an argument is not positive, or if the reduction leaves no channel.
    """
    positive("channels", channels)
    if hidden is not None:
        return positive("hidden", hidden)
    if channels // positive("reduction", reduction) < 1:
        raise ValueError(f"reduction={reduction}: at most channels={channels} is needed, or give hidden=")
    return channels // reduction


def check_norm_batch(norm: nn.Module, x: Tensor) -> None:
    """Checks that a batch norm in training gets more than one value for each channel of x, `B C` or `B C *positions`.

    Raises: ValueError otherwise.
    """
    if norm.training and x.numel() == x.shape[1]:
        raise ValueError(
            f"input of shape {tuple(x.shape)}: a batch norm in training needs more than one value per channel; "
            f"use a batch of at least 2, or eval()"
        )
