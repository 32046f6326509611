"""What can be known about a GPU without one: on tensors that only pretend to be there, every operator still checks.

This runs everywhere. An operator refuses tensors of two devices, and whatever would read a value back is refused too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException, FakeTensorMode

from regard import catalog
from regard.laws import Subject, subjects
from regard.laws.subject import outputs_of

NAMES = [entry.name for entry in catalog.entries()]


def pretend(module: nn.Module) -> nn.Module:
    """The module with parameters and buffers of the same shapes that lie, as it were, on a GPU."""
    for part in module.modules():
        for name, old in part._parameters.items():
            if old is not None:
                part._parameters[name] = nn.Parameter(torch.empty_like(old, device="cuda"), old.requires_grad)
        for name, value in part._buffers.items():
            if value is not None:
                part._buffers[name] = torch.empty_like(value, device="cuda")
    return module


def run(subject: Subject, waiting: type[Any], *, train: bool) -> None:
    """Raises what the forward pass of this setting raises on a GPU."""
    module, inputs = subject.module(train=train), subject.tensors()
    with FakeTensorMode(allow_non_fake_inputs=True), torch.backends.cudnn.flags(enabled=False):
        module = pretend(module)
        there = [torch.empty(x.shape, dtype=x.dtype, device="cuda") for x in inputs]
        with waiting():
            outputs = outputs_of(module(*there))
    assert all(y.device.type == "cuda" for y in outputs), [y.device for y in outputs]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_forward_pass_stays_on_the_gpu(name: str, waiting: type[Any], waits: Callable[..., str | None]) -> None:
    """Nothing is made on the CPU, brought over, or read back, unless there is a reason for it, which has to be true."""
    for subject in subjects(catalog.get(name)):
        for train in (False, True):
            if waits(name, subject.kwargs, train=train) is None:
                run(subject, waiting, train=train)
            else:
                with pytest.raises(
                    (RuntimeError, DataDependentOutputException, DynamicOutputShapeException),
                    match=r"synchroniz|_local_scalar_dense|nonzero",
                ):
                    run(subject, waiting, train=train)


class MadeOnCPU(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.arange(x.shape[-1])


class BroughtOver(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.tensor([1.0, 2.0], device=x.device).sum()


class ReadsBack(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if x.sum() > 0 else -x


class IndexedFromCPU(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, [1, 0]]


class AnswersOnCPU(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.zeros(x.shape)


@pytest.mark.parametrize("fault", [MadeOnCPU, BroughtOver, ReadsBack, IndexedFromCPU, AnswersOnCPU])
def test_a_fault_is_found(fault: type[nn.Module], waiting: type[Any]) -> None:
    with pytest.raises((RuntimeError, AssertionError, DataDependentOutputException)):
        run(Subject(fault.__name__, fault), waiting, train=False)
    run(Subject("sound", nn.Sigmoid), waiting, train=False)
