"""No figure before this: two modules with the same weights must be the same function, in float64.

Compared are the outputs without and with gradients wanted (a module may take another path) and the input's gradient,
on the shape and in the memory layout that are timed.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

TOLERANCE = 1e-9


class Refused(RuntimeError):
    """The peer cannot take this input at all."""


@dataclass(frozen=True)
class Verdict:
    """Largest differences, relative to the peer's largest absolute value."""

    output: float
    gradient: float

    @property
    def green(self) -> bool:
        return max(self.output, self.gradient) <= TOLERANCE  # a NaN is red


def check(ours: nn.Module, theirs: nn.Module, x: Tensor) -> Verdict:
    """Runs both in float64 on `x`, or its first two images: enough to notice a mix-up, bearable for the peer's memory.

    Raises:
        Refused: the peer raises on this input. What ours raises is raised.
    """
    x = x[:2].double()
    probe = torch.randn_like(x)
    try:
        wanted, wanted_gradient, _ = _results(theirs, x, probe)
    except Exception as error:  # whatever the peer raises is its answer
        raise Refused(str(error).strip().partition("\n")[0] or type(error).__name__) from error
    got, got_gradient, without_gradient = _results(ours, x, probe)
    output = _worst(_difference(got, wanted), _difference(without_gradient, wanted))
    return Verdict(output, _difference(got_gradient, wanted_gradient))


def _results(module: nn.Module, x: Tensor, probe: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    with torch.no_grad():
        plain = module(x)
    x = x.detach().requires_grad_()
    y = module(x)
    (gradient,) = torch.autograd.grad(y, x, probe)
    return y.detach(), gradient, plain


def _difference(a: Tensor, b: Tensor) -> float:
    if a.shape != b.shape:
        return float("inf")
    return float((a - b).abs().max() / b.abs().max().clamp_min(torch.finfo(b.dtype).tiny))


def _worst(*values: float) -> float:
    """The largest, and NaN if there is one: `max` alone would lose it."""
    return float(torch.tensor(values).max())
