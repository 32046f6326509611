"""The way in which a function is being run: eagerly, compiled or exported."""

from __future__ import annotations

import torch


def exporting() -> bool:
    """Whether a graph for every size is being made, whose form must not depend on sizes.

    Before torch 2.7 this also holds for compiled graphs, which could.
    """
    return getattr(torch.compiler, "is_exporting", torch.compiler.is_compiling)()
