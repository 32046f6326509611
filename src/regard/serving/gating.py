"""The gate of attached attention, x + α (attended − x), turned for the time of a block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import nn

from regard.attaching import ALPHA, attached


def gates(model: nn.Module) -> int:
    """The number of sites with attached attention, each of which can be turned."""
    return sum(1 for _ in attached(model))


@contextmanager
def turned(model: nn.Module, factor: float) -> Iterator[None]:
    """Multiplies the gate of every site by a factor inside the block; attention without a gate has α = 1.

    At 0 the attention is off, at 1 everything is as it was, bit for bit.

    Args:
        model: a network with attached attention, or without any.
        factor: of α.
    """
    if factor == 1:
        yield
        return
    with ExitStack() as after, torch.no_grad():
        for _, site, hook in attached(model):
            if hook.gated:
                alpha = getattr(site, ALPHA)
                after.callback(alpha.copy_, alpha.clone())
                alpha.mul_(factor)
            else:
                like = next(site.parameters(), torch.zeros(()))
                setattr(site, ALPHA, torch.full((1,), factor, device=like.device))
                hook.gated = True
                after.callback(_ungated, site, hook)
        yield


def _ungated(site: nn.Module, hook: object) -> None:
    delattr(site, ALPHA)
    hook.gated = False  # type: ignore[attr-defined]
