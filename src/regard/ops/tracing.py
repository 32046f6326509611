"""What a function has to know about how it is being run."""

from __future__ import annotations

import torch


def exporting() -> bool:
    """Whether a graph for every size is being made, which cannot choose its form by size.

    Before torch 2.7 this also holds for compiled graphs, which could.
    """
    return getattr(torch.compiler, "is_exporting", torch.compiler.is_compiling)()
