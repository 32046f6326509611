"""No figure before this: two modules with the same weights must be the same function, in float64.

Compared are the outputs without and with gradients wanted (a module may take another path) and the gradients of the
inputs, on the shape and in the memory layout that are timed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from benchmarks.measuring import differentiable, tensors_in

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


def check(ours: nn.Module, theirs: nn.Module, *inputs: Tensor) -> Verdict:
    """Runs both in float64.

    Raises:
        Refused: the peer raises on these inputs. What ours raises is raised.
    """
    inputs = tuple(tensor.double() if tensor.is_floating_point() else tensor for tensor in inputs)
    with refusing():
        wanted = _Results(theirs, inputs)
    got = _Results(ours, inputs)
    output = _worst(_differences(got.outputs, wanted.outputs), _differences(got.plain, wanted.outputs))
    return Verdict(output, _differences(got.gradients, wanted.gradients))


@contextmanager
def refusing() -> Iterator[None]:
    """Whatever the peer raises in the block is its answer: `Refused`."""
    try:
        yield
    except Exception as error:
        raise Refused(first_line(error)) from error


def first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


class _Results:
    def __init__(self, module: nn.Module, inputs: Sequence[Tensor]) -> None:
        torch.manual_seed(0)
        with torch.no_grad():
            self.plain = tensors_in(module(*inputs))
        leaves = [x.detach().requires_grad_(x.is_floating_point()) for x in inputs]
        torch.manual_seed(0)
        y = tensors_in(module(*leaves))
        self.outputs = [tensor.detach() for tensor in y]
        wanted = differentiable(y)
        draw = torch.Generator(wanted[0].device).manual_seed(1)
        probes = [torch.randn(z.shape, dtype=z.dtype, device=z.device, generator=draw) for z in wanted]
        floats = [x for x in leaves if x.requires_grad]
        found = torch.autograd.grad(wanted, floats, probes, allow_unused=True)
        self.gradients = [
            torch.zeros_like(x) if gradient is None else gradient for x, gradient in zip(floats, found, strict=True)
        ]


def _differences(a: Sequence[Tensor], b: Sequence[Tensor]) -> float:
    if len(a) != len(b):
        return float("inf")
    return _worst(*(_difference(one, other) for one, other in zip(a, b, strict=True)))


def _difference(a: Tensor, b: Tensor) -> float:
    if a.shape != b.shape:
        return float("inf")
    a, b = a.double(), b.double()
    return float((a - b).abs().max() / b.abs().max().clamp_min(torch.finfo(b.dtype).tiny))


def _worst(*values: float) -> float:
    """The largest, and NaN if there is one: `max` alone would lose it."""
    return float(torch.tensor(values, dtype=torch.float64).max())
