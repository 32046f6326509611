"""Checks of arguments and inputs: each raises a ValueError that names the thing, its value and what is accepted."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Sequence
from typing import TypeVar

from torch import Tensor, nn

T = TypeVar("T")

LARGEST = 2**24  # more than any axis of a network; a slip such as heads=10**9 is answered before it costs anything


def whole(name: str, value: int, least: int, most: int = LARGEST) -> int:
    """Returns `value` if it is a whole number from `least` to `most`; a bool is none.

    Raises: ValueError otherwise, with the name of the argument.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name}={value!r}: a whole number of at least {least} is needed")
    if value > most:
        raise ValueError(f"{name}={value!r}: a whole number of at most {most} is needed")
    return value


def positive(name: str, value: int) -> int:
    """Returns `value` if it is a whole number of at least 1.

    Raises: ValueError otherwise, with the name of the argument.
    """
    return whole(name, value, 1)


def sequence(name: str, values: Sequence[T], count: int | None = None) -> tuple[T, ...]:
    """Returns `values` as a tuple if they are a list or a tuple of `count` values, or of at least one; a text is none.

    Raises: ValueError otherwise, with the name of the argument.
    """
    listed = isinstance(values, Sequence) and not isinstance(values, str | bytes)
    if not listed or len(values) != (max(len(values), 1) if count is None else count):
        wanted = "at least one value is" if count is None else f"{count} values are"
        raise ValueError(f"{name}={values!r}: {wanted} needed")
    return tuple(values)


def whole_numbers(
    name: str, values: Sequence[int], least: int = 1, most: int = LARGEST, *, count: int | None = None
) -> tuple[int, ...]:
    """Returns `values` as a tuple if they are whole numbers from `least` to `most`: `count` of them, or one at least.

    Raises: ValueError otherwise, with the name of the argument.
    """
    return tuple(whole(name, value, least, most) for value in sequence(name, values, count))


def each_axis(name: str, value: int | Sequence[int], count: int, least: int = 1) -> tuple[int, ...]:
    """Returns `count` whole numbers of at least `least`: those of a list or a tuple, or one that all axes have.

    Raises: ValueError otherwise, with the name of the argument.
    """
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return whole_numbers(name, value, least, count=count)
    return (whole(name, value, least),) * count  # type: ignore[arg-type]  # a text is refused


def number(
    name: str, value: float, *, least: float = -math.inf, above: float = -math.inf, most: float = math.inf
) -> float:
    """Returns `value` if it is a finite number, at least `least`, above `above` and at most `most`; a bool is none.

    Raises: ValueError otherwise, with the name of the argument.
    """
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not abs(value) <= sys.float_info.max  # false for NaN
        or not (least <= value <= most and value > above)
    ):
        bounds = [f"above {above:g}"] * math.isfinite(above) + [f"of at least {least:g}"] * math.isfinite(least)
        bounds += [f"of at most {most:g}"] * math.isfinite(most)
        raise ValueError(f"{name}={value!r}: a number {' and '.join(bounds) or 'that is finite'} is needed")
    return value


def flag(name: str, value: bool) -> bool:
    """Returns `value` if it is a bool.

    Raises: ValueError otherwise, with the name of the argument: "false" is a text, and true.
    """
    if not isinstance(value, bool):
        raise ValueError(f"{name}={value!r}: True or False is needed")
    return value


def choice(name: str, value: T, known: Iterable[object]) -> T:
    """Returns `value` if it is among `known`, with the same type.

    Raises: ValueError otherwise, with the name of the argument.
    """
    accepted = tuple(known)
    if not any(type(value) is type(word) and value == word for word in accepted):
        words = [repr(word) for word in accepted]
        listed = f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else words[0]
        raise ValueError(f"{name}={value!r}: {listed} is needed")
    return value


def text(name: str, value: str) -> str:
    """Returns `value` if it is a text that is not empty.

    Raises: ValueError otherwise, with the name of the argument.
    """
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name}={value!r}: a name is needed")
    return value


def bottleneck_width(channels: int, reduction: int, hidden: int | None = None) -> int:
    """Returns the width of a bottleneck: `hidden` if it is given, else C / r rounded down, as the published codes do.

    Raises: ValueError if an argument is not positive, or if the reduction leaves no channel.
    """
    positive("channels", channels)
    positive("reduction", reduction)
    if hidden is not None:
        return positive("hidden", hidden)
    if channels // reduction < 1:
        raise ValueError(f"reduction={reduction}: at most channels={channels} is needed, or give hidden=")
    return channels // reduction


def check_input(x: Tensor, axes: str, **sizes: int) -> None:
    """Checks that `x` has the axes, with the given sizes, and none of them empty but the batch.

        check_input(x, "B C H W", C=64)
        check_input(boxes, "B T 4", B=x.shape[0])
        check_input(x, "B C *", C=64)  # one axis or more behind the channels

    Raises: ValueError otherwise, with the shape.
    """
    names = axes.split()
    if names[-1] == "*":
        names += names[-1:] * (x.ndim - len(names))
    wanted = {**{name: int(name) for name in names if name.isdigit()}, **sizes}
    if x.ndim != len(names) or any(
        size != wanted.get(name, size) or (size == 0 and name != "B") for name, size in zip(names, x.shape, strict=True)
    ):
        known = "".join(f", {name}={size}" for name, size in sizes.items())
        raise ValueError(f"input of shape {tuple(x.shape)}: {axes}{known} is needed, and no axis empty")


def check_norm_batch(norm: nn.Module, x: Tensor) -> None:
    """Checks that a batch norm in training gets more than one value for each channel of x, `B C` or `B C *positions`.

    Raises: ValueError otherwise.
    """
    if norm.training and x.numel() == x.shape[1]:
        raise ValueError(
            f"input of shape {tuple(x.shape)}: a batch norm in training needs more than one value per channel; "
            f"use a batch of at least 2, or eval()"
        )
