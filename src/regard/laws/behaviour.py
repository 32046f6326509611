"""Laws of behaviour: what a forward and a backward pass may do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.gradcheck import GradcheckError
from torch.func import functional_call

from regard.laws.subject import Broken, Subject, cast, fits, floats, loss, outputs_of, same, shape_of


def _sizes_to_try(subject: Subject) -> Iterator[dict[str, int]]:
    yield {}
    yield {"B": 1}
    yield {"H": 4, "W": 6, "T": 4, "N": 8, "Q": 6, "K": 9, "S": 10, "M": 8}
    yield {"H": 1, "W": 9} if subject.least == (1, 1) else {"H": 13, "W": 9}
    yield subject.smallest


def shapes(subject: Subject) -> None:
    """Outputs have the declared shapes at prime, even, non-square, smallest and batch-1 sizes; other sizes are refused.

    Refused are a size below the smallest, a size other than the one that the arguments fix, and a word beyond the last.
    """
    module = subject.module()
    for sizes in _sizes_to_try(subject):
        inputs = subject.tensors(sizes)
        outputs = outputs_of(module(*inputs))
        known = subject.known(sizes)
        if len(outputs) != len(subject.outputs) or not all(
            fits(y.shape, axes, known) for y, axes in zip(outputs, subject.outputs, strict=True)
        ):
            raise Broken("shapes", subject.name, shape_of(inputs), shape_of(outputs), f"{subject.outputs} with {known}")
    for letter, size in subject.smallest.items():
        if size > 1:
            small = subject.tensors({letter: size - 1})
            _refuses(subject, small, f"an error below {letter} = {size}", ValueError, RuntimeError)
    for letter in sorted({"H", "W"} & set(subject.sizes)):
        other = replace(subject, sizes={**subject.sizes, letter: subject.sizes[letter] + 1}).tensors()
        expected = f"a ValueError that names the size that it is built for, {subject.sizes[letter]}"
        _refuses(subject, other, expected, ValueError)
    for i, axes in enumerate(subject.axes):
        if axes.kind == "word":
            beyond, limit = subject.tensors(), axes.limit(subject.sizes)
            beyond[i].view(-1)[-1] = limit
            _refuses(subject, beyond, f"an error for the word {limit} of {limit}", ValueError, IndexError, RuntimeError)


def _refuses(subject: Subject, inputs: list[Tensor], wanted: str, *kinds: type[Exception]) -> None:
    try:
        outputs = outputs_of(subject.module()(*inputs))
    except kinds:
        return
    raise Broken("shapes", subject.name, shape_of(inputs), shape_of(outputs), wanted)


def finite(subject: Subject) -> None:
    """Outputs and gradients are finite, on ordinary input and on zeros."""
    module = subject.module()
    for label, inputs in (
        ("random", subject.tensors()),
        ("all-zero", [x * 0 if x.is_floating_point() else x for x in subject.tensors()]),
    ):
        for x in floats(inputs):
            x.requires_grad_()
        outputs = outputs_of(module(*inputs))
        if not all(y.isfinite().all() for y in outputs):
            raise Broken(
                "finite", subject.name, f"{label} {shape_of(inputs)}", "a value that is not finite", "finite values"
            )
        if subject.soft:
            loss(outputs).backward()
            if not all(x.grad is None or x.grad.isfinite().all() for x in floats(inputs)):
                raise Broken(
                    "finite", subject.name, f"{label} {shape_of(inputs)}", "a gradient not finite", "finite ones"
                )


def leaves_inputs_alone(subject: Subject) -> None:
    """A forward pass writes into no input."""
    inputs = subject.tensors()
    before = [x.clone() for x in inputs]
    subject.module()(*inputs)
    for i, (x, y) in enumerate(zip(inputs, before, strict=True)):
        if not torch.equal(x, y):
            raise Broken(
                "leaves_inputs_alone", subject.name, shape_of(inputs), f"input {i} changed", "inputs left as they are"
            )


def batch_independent(subject: Subject) -> None:
    """In eval mode a sample's output does not depend on the others in the batch."""
    if not all(axes.startswith("B") for axes in subject.outputs):
        return
    module, inputs = subject.module(), subject.tensors({"B": 3})
    batched = [axes.parts[:1] == ("B",) for axes in subject.axes]
    whole = outputs_of(module(*inputs))
    for i in range(3):
        alone = module(*[x[i : i + 1] if own else x for x, own in zip(inputs, batched, strict=True)])
        same("batch_independent", subject, f"sample {i} of {shape_of(inputs)}", alone, [y[i : i + 1] for y in whole],
              "the same output alone as in the batch")  # fmt: skip


def deterministic(subject: Subject) -> None:
    """In eval mode soft attention draws no random numbers."""
    if not subject.soft:
        return
    module, inputs = subject.module(), subject.tensors()
    before = torch.get_rng_state()
    first = outputs_of(module(*inputs))
    drawn = not torch.equal(before, torch.get_rng_state())
    torch.set_rng_state(before)
    if drawn:
        raise Broken(
            "deterministic", subject.name, shape_of(inputs), "the random state moved", "no random numbers in eval"
        )
    same("deterministic", subject, shape_of(inputs), module(*inputs), first, "the same output twice", tolerance=0)


def changes_no_parameter(subject: Subject) -> None:
    """A forward pass changes no parameter, and in eval mode no buffer."""
    for train in (False, True):
        module, inputs = subject.module(train=train), subject.tensors()
        kept = dict(module.named_parameters()) if train else module.state_dict(keep_vars=True)
        before = {name: value.clone() for name, value in kept.items()}
        module(*inputs)
        now = dict(module.named_parameters()) if train else module.state_dict()
        for name, value in before.items():
            if name not in now or not torch.equal(now[name], value):
                mode = "train" if train else "eval"
                raise Broken("changes_no_parameter", subject.name, f"{shape_of(inputs)} in {mode} mode",
                             f"{name} changed or vanished", "the forward pass to leave it")  # fmt: skip


def gradients_reach(subject: Subject) -> None:
    """A gradient reaches every parameter and every input, in one of three draws: a rectifier may shut one draw off."""
    if not subject.soft:
        return
    missing: dict[str, str] = {}
    for draw in range(3):
        module = subject.module(train=True, seed=draw)
        inputs = subject.tensors({"B": 5})
        for x in floats(inputs):
            x.requires_grad_()
        loss(outputs_of(module(*inputs))).backward()
        named = [(f"input {i}", x.grad) for i, x in enumerate(inputs) if x.requires_grad]
        named += [(f"parameter {name}", p.grad) for name, p in module.named_parameters() if p.requires_grad]
        dead = {
            name: "no gradient" if gradient is None else "a gradient of zeros or NaN"
            for name, gradient in named
            if gradient is None or not gradient.abs().sum() > 0
        }
        missing = dead if draw == 0 else {name: seen for name, seen in missing.items() if name in dead}
        if not missing:
            return
    name, seen = next(iter(missing.items()))
    raise Broken("gradients_reach", subject.name, shape_of(inputs), f"{seen} at {name}", "a gradient that is not zero")


def gradcheck(subject: Subject) -> None:
    """Gradients equal finite differences in float64."""
    if not subject.soft:
        return
    module = subject.module(dtype=torch.float64)
    sizes = {"H": 3, "W": 2, "T": 2, "N": 4, "Q": 3, "K": 4, "S": 4, "M": 3}
    inputs = subject.tensors(_at_least(subject, sizes), dtype=torch.float64)
    for x in floats(inputs):
        x.requires_grad_()
    function, leaves = (module, inputs) if floats(inputs) else _of_parameters(module, inputs)
    try:
        torch.autograd.gradcheck(function, tuple(leaves), fast_mode=True)
    except GradcheckError as error:
        reason = " ".join(str(error).split())[:200]
        raise Broken("gradcheck", subject.name, shape_of(inputs), reason, "finite differences to agree") from None


def _of_parameters(module: nn.Module, inputs: list[Tensor]) -> tuple[Callable[..., Any], list[Tensor]]:
    """The module as a function of its parameters: words have no gradients, their embedding has."""
    parameters = {name: value for name, value in module.named_parameters() if value.requires_grad}

    def function(*values: Tensor) -> Any:
        return functional_call(module, dict(zip(parameters, values, strict=True)), tuple(inputs))

    return function, list(parameters.values())


def _at_least(subject: Subject, sizes: dict[str, int]) -> dict[str, int]:
    return {letter: max(size, subject.smallest.get(letter, 1)) for letter, size in sizes.items()}


def trains_on_one(subject: Subject) -> None:
    """The module trains on a batch of 1, at the smallest size too, or says that a batch norm has nothing to average."""
    for sizes in ({"B": 1}, {"B": 1, **_at_least(subject, dict.fromkeys(subject.plane, 1))}):
        module, inputs = subject.module(train=True), subject.tensors(sizes)
        for x in floats(inputs):
            x.requires_grad_()
        try:
            outputs = outputs_of(module(*inputs))
        except ValueError as error:
            if "batch" in str(error) or "more than 1 value per channel when training" in str(error):
                continue
            raise Broken("trains_on_one", subject.name, shape_of(inputs), str(error), "training, or an error that "
                         "says what the batch norm needs") from error  # fmt: skip
        if subject.soft:
            loss(outputs).backward()
        if not all(y.isfinite().all() for y in outputs):
            raise Broken("trains_on_one", subject.name, shape_of(inputs), "a value not finite", "finite values")


def low_precision(subject: Subject) -> None:
    """In bfloat16, float16 and autocast outputs are close to float32, and finite at |x| = 200 and at |x| = 10,000."""
    inputs = subject.tensors()
    wanted = subject.module()(*inputs)
    for dtype, tolerance in ((torch.bfloat16, 0.1), (torch.float16, 0.02)):
        name = str(dtype).removeprefix("torch.")
        half = subject.module(dtype=dtype)
        same("low_precision", subject, f"{name} {shape_of(inputs)}", half(*cast(inputs, dtype)), wanted,
              "the float32 output", tolerance)  # fmt: skip
        with torch.autocast("cpu", dtype):
            same("low_precision", subject, f"autocast to {name}", subject.module()(*inputs), wanted,
                  "the float32 output", tolerance)  # fmt: skip
        own = subject.module(dtype=dtype, spread=False)
        for size in (200, 10_000):
            large = [x.clamp(-1, 1) * size if x.is_floating_point() else x for x in inputs]
            with torch.autocast("cpu", dtype):
                autocast = outputs_of(subject.module(spread=False)(*large))
            half_large = outputs_of(own(*cast(large, dtype)))
            for way, outputs in (("", half_large), ("autocast to ", autocast)):
                if not all(y.isfinite().all() for y in outputs):
                    raise Broken("low_precision", subject.name, f"{way}{name} input of magnitude {size}",
                                 "a value not finite", "finite values")  # fmt: skip
