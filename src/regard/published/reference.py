"""What is known of one published module."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

Build = Callable[..., tuple[dict[str, Any], dict[str, str]]]
State = dict[str, Tensor]


@dataclass(frozen=True)
class Reference:
    """One published module.

    Args:
        name: `mechanism/owner.repository/Class`.
        entry: the catalogue's name for it.
        build: takes the published constructor's arguments under their own names; returns our arguments (and, as
            "part.attribute", what is set after building), and for each of our parameter prefixes the published one.
        state: rewrites the published state where renaming is not enough: a transposed matrix, a fused projection. It
            is linear in the tensors, so that gradients can travel the same way.
        host: puts our module into the block that it is published in, whose parameters are in the state as well; `build`
            then names all of them, below the block.
        adapt: wraps our module so that it is called as the published one is; all three take the published arguments.
        maps: the published code's name of an attention map -> the name under which `watch` shows it.
    """

    name: str
    entry: str
    build: Build
    state: Callable[[State, Mapping[str, Any]], State] | None = None
    host: Callable[[nn.Module, Mapping[str, Any]], nn.Module] | None = None
    adapt: Callable[[Any, Mapping[str, Any]], nn.Module] | None = None
    maps: Mapping[str, str] = field(default_factory=dict)

    @property
    def signature(self) -> str:
        """The published constructor's arguments with their defaults."""
        return str(inspect.signature(self.build)).partition(" ->")[0].replace("'", "")


def unsupported(what: str, value: object, known: str) -> ValueError:
    """The error for an argument whose value asks for what the paper lacks."""
    return ValueError(f"{what}={value!r} is not part of the published mechanism; {known}")
