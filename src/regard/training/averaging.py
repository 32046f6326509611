"""The exponential moving average (EMA) of a network's weights.

w̄ ← d w̄ + (1 - d) w                                                                                           (1)

after every step; values that are not floats, such as counts of batches, are copied from the last step.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Average:
    """The average of equation (1) over all parameters and buffers of a model.

    Args:
        model: the model whose weights are the initial average.
        decay: d.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.state = _copy(model)

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Updates the average with the current weights of the model."""
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                self.state[name].lerp_(value, 1 - self.decay)
            else:
                self.state[name].copy_(value)

    def copy_to(self, model: nn.Module) -> None:
        """Copies the average to the weights of the model."""
        model.load_state_dict(self.state)

    @contextmanager
    def swapped(self, model: nn.Module) -> Iterator[None]:
        """Gives the model the averaged weights in the block, and restores its own after it."""
        own = _copy(model)
        self.copy_to(model)
        try:
            yield
        finally:
            model.load_state_dict(own)

    def state_dict(self) -> dict[str, Tensor]:
        return self.state

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        for name, value in state.items():
            self.state[name].copy_(value)


def _copy(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}
