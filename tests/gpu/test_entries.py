"""Every entry under every setting on a GPU: the numbers of the CPU, half precision, and no waiting in between."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from regard import catalog
from regard.core import Attention
from regard.laws import Subject, subjects
from regard.laws.subject import floats, outputs_of
from regard.watching import watch

pytestmark = pytest.mark.gpu

EXACT = 1e-8  # float64: what two orders of summation may differ by over a whole network, of the largest value
TIMES = 2  # float32: the CPU's own error, so many times
# And so much of the largest value. TensorFloat-32 (10 bits) would miss it; fused attention, which multiplies float32 in
# three passes of it, does not: on an H200 the largest error was 4.1e-5, in a gradient of pam.
FLOOR = 1e-4

_ALL = [list(subjects(entry)) for entry in catalog.entries()]
# The default of every entry first: where the time is short, the rest is left out.
SUBJECTS = [own[0] for own in _ALL] + [subject for own in _ALL for subject in own[1:]]
every_setting = pytest.mark.parametrize("subject", SUBJECTS, ids=[subject.name for subject in SUBJECTS])
halves = pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bfloat16", "float16"])


@dataclass
class Pass:
    """What one forward and backward pass gave, in float64 on the CPU."""

    outputs: list[Tensor]
    gradients: list[Tensor]


def moved(subject: Subject, device: torch.device, dtype: torch.dtype, *, train: bool = False) -> nn.Module:
    """The module with the weights of every other device; in float32 the rounded ones of float64."""
    return subject.module(dtype=dtype, train=train).to(device)


def given(
    subject: Subject, device: torch.device, dtype: torch.dtype, sizes: Mapping[str, int] | None = None
) -> list[Tensor]:
    return [(x.to(dtype) if x.is_floating_point() else x).to(device) for x in subject.tensors(sizes)]


def weighed(outputs: Sequence[Tensor]) -> Tensor:
    """Weighs every value by its own random number, the same on every device; a mean, which stays small."""
    generator = torch.Generator().manual_seed(2)
    parts = []
    for y in outputs:
        weights = torch.randn(y.shape, dtype=torch.float64, generator=generator)
        wide = y.to(torch.promote_types(y.dtype, torch.float32))
        parts.append((wide * weights.to(wide.device, wide.dtype)).mean())
    return torch.stack(parts).sum()


def passed(subject: Subject, device: torch.device, dtype: torch.dtype, draws: AbstractContextManager[object]) -> Pass:
    """Outputs and, of what is differentiable, the gradients of all inputs and parameters."""
    module, inputs = moved(subject, device, dtype), given(subject, device, dtype)
    leaves = [*floats(inputs), *(p for p in module.parameters() if p.is_floating_point())]
    for x in floats(inputs):
        x.requires_grad_()
    with draws:
        outputs = outputs_of(module(*inputs))
    assert all(y.device == device for y in outputs), [y.device for y in outputs]
    gradients: Sequence[Tensor | None] = ()
    if subject.soft:
        gradients = torch.autograd.grad(weighed(outputs), leaves, allow_unused=True)
    return Pass(
        [y.detach().cpu().double() for y in outputs],
        [g.cpu().double() for g in gradients if g is not None],
    )


def errors(seen: Sequence[Tensor], wanted: Sequence[Tensor], least: float = 0.0) -> list[float]:
    """Largest difference of each, over the largest value wanted of it, or over `least` if that is more."""
    assert [x.shape for x in seen] == [y.shape for y in wanted]
    found = []
    for x, y in zip(seen, wanted, strict=True):
        if y.numel():
            error = ((x - y).abs().max() / y.abs().max().clamp_min(max(least, 1e-12))).item()
            found.append(error if error == error else float("inf"))
    return found


def largest(tensors: Sequence[Tensor]) -> float:
    return max((g.abs().max().item() for g in tensors if g.numel()), default=0.0)


@every_setting
def test_the_numbers_of_the_cpu_in_float64(
    subject: Subject, device: torch.device, same_draws: Callable[[], AbstractContextManager[object]]
) -> None:
    wanted = passed(subject, torch.device("cpu"), torch.float64, same_draws())
    seen = passed(subject, device, torch.float64, same_draws())
    assert max(errors(seen.outputs, wanted.outputs), default=0.0) <= EXACT
    # A gradient that rounding alone has made, as softmax makes of a shift, has no digits of its own.
    assert max(errors(seen.gradients, wanted.gradients, 1e-3 * largest(wanted.gradients)), default=0.0) <= EXACT


@every_setting
def test_float32_is_as_exact_as_on_the_cpu(
    subject: Subject, device: torch.device, same_draws: Callable[[], AbstractContextManager[object]]
) -> None:
    """FlashAttention's rule: at most twice the error that the CPU makes in float32, and a floor.

    What looks at places that it chose may, by a rounding, look one pixel further: that is held to be finite.
    """
    wanted = passed(subject, torch.device("cpu"), torch.float64, same_draws())
    usual = passed(subject, torch.device("cpu"), torch.float32, same_draws())
    seen = passed(subject, device, torch.float32, same_draws())
    if not subject.soft:
        assert [y.shape for y in seen.outputs] == [y.shape for y in wanted.outputs]
        assert all(y.isfinite().all() for y in seen.outputs)
        return
    least = 1e-2 * largest(wanted.gradients)
    for what, here, there in (
        ("output", errors(seen.outputs, wanted.outputs), errors(usual.outputs, wanted.outputs)),
        ("gradient", errors(seen.gradients, wanted.gradients, least), errors(usual.gradients, wanted.gradients, least)),
    ):
        for number, (error, own) in enumerate(zip(here, there, strict=True)):
            assert error <= TIMES * own + FLOOR, f"{what} {number}: {error:.2g}, on the CPU {own:.2g}"


@every_setting
@halves
def test_autocast_is_finite_forward_and_backward(subject: Subject, dtype: torch.dtype, device: torch.device) -> None:
    """With its own initial weights, on maps that leave more than one position behind every stride."""
    module = subject.module(train=True, spread=False).to(device)
    inputs = given(subject, device, torch.float32, {"H": 37, "W": 41})
    for x in floats(inputs):
        x.requires_grad_()
    with torch.autocast(device.type, dtype):
        outputs = outputs_of(module(*inputs))
    assert all(y.isfinite().all() for y in outputs)
    if not subject.soft:
        return
    weighed(outputs).backward()
    leaves = [(f"input {i}", x) for i, x in enumerate(inputs)] + list(module.named_parameters())
    broken = [name for name, leaf in leaves if leaf.grad is not None and not leaf.grad.isfinite().all()]
    assert not broken


@every_setting
def test_nothing_waits_for_the_gpu(
    subject: Subject,
    device: torch.device,
    without_waiting: Callable[[], AbstractContextManager[object]],
    waits: Callable[..., str | None],
) -> None:
    """A forward pass that reads a value back, or brings one over, stops the CPU until the GPU has caught up."""
    for train in (False, True):
        module, inputs = moved(subject, device, torch.float32, train=train), given(subject, device, torch.float32)
        module(*inputs)  # libraries set themselves up, tables are made
        entry = subject.name.partition("(")[0]
        if waits(entry, subject.kwargs, train=train) is None:
            with without_waiting():
                module(*inputs)
        elif device.type == "cuda":
            with pytest.raises(RuntimeError, match="synchroniz"), without_waiting():
                module(*inputs)


@pytest.mark.parametrize("subject", SUBJECTS[: len(_ALL)], ids=[subject.name for subject in SUBJECTS[: len(_ALL)]])
def test_maps_are_those_of_the_cpu(
    subject: Subject, device: torch.device, same_draws: Callable[[], AbstractContextManager[object]]
) -> None:
    if not subject.maps:
        pytest.skip("it shows no map")
    seen: list[dict[str, list[Tensor]]] = []
    for place in (torch.device("cpu"), device):
        module, inputs = moved(subject, place, torch.float64), given(subject, place, torch.float64)
        assert any(isinstance(part, Attention) for part in module.modules())
        with watch(module, foreign=False) as maps, same_draws():
            module(*inputs)
        assert all(look.device == place for looks in maps.values() for look in looks)
        seen.append({key: [look.cpu().double() for look in looks] for key, looks in maps.items()})
    wanted, found = seen
    assert list(found) == list(wanted)
    for key in wanted:
        assert max(errors(found[key], wanted[key])) <= EXACT, key
