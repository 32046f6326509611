"""Which parameters learn: the gradients of training passes, before and after small steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call

from regard.examining.evidence import Evidence, Given, Loss, Unasked, first_line, listed, outputs_of, undisturbed
from regard.examining.findings import Measured
from regard.laws.subject import loss as weighed
from regard.ops.seeds import seeded

STEP = 1e-2  # the largest change of a value in a step
STEPS = 3  # at most: a factor of zero behind another one gets a gradient after two


@dataclass(frozen=True)
class Gradients:
    """The gradients of some passes with a small step of the parameters between each two.

    Args:
        value: of the loss before the first step.
        unused: parameters that the output does not depend on.
        silent: parameters whose gradient is zero in every pass.
        wrong: parameters whose gradient is not finite in the first pass.
        stepped: the parameters after the last step.
        mode: "training", or "evaluation" where the network does not train on this batch.
        frozen: number of parameters that are not to be trained.
    """

    value: float
    unused: tuple[str, ...]
    silent: tuple[str, ...]
    wrong: tuple[str, ...]
    stepped: Mapping[str, Tensor]
    mode: str
    frozen: int


def gradients(model: nn.Module, given: Given, loss: Loss | None) -> Gradients:
    """Makes up to three steps, and looks at the gradients around them; the model stays as it is.

    The steps let branches learn that start behind factors of zero: before, their gradients are zero by design.

    Raises: Unasked if the network has no parameters to train, or no output that depends on them.
    """
    named = {name: one for name, one in model.named_parameters() if one.requires_grad}
    frozen = sum(1 for _ in model.parameters()) - len(named)
    if not named:
        raise Unasked("no parameter has requires_grad")
    with undisturbed(model):
        for mode in ("training", "evaluation"):
            model.train(mode == "training")
            try:
                value, first = _pass(model, named, given, loss)
                break
            except (ValueError, RuntimeError, TypeError, AssertionError) as error:
                if mode == "evaluation":
                    raise Unasked(f"no gradient: {first_line(error)}") from error
        absent = {name for name, one in first.items() if one is None}
        silent = {name for name, one in first.items() if not _some(one)} - absent
        here: dict[str, Tensor] = dict(named)
        found = first
        for _ in range(STEPS):
            here = {name: (one.detach() - _scaled(found[name], one)).requires_grad_() for name, one in here.items()}
            found = _pass(model, here, given, loss)[1]
            absent -= {name for name, one in found.items() if one is not None}
            silent -= {name for name, one in found.items() if _some(one)}
            if not silent:
                break
    return Gradients(
        value,
        tuple(name for name in named if name in absent),
        tuple(name for name in named if name in silent),
        tuple(name for name, one in first.items() if one is not None and not bool(one.isfinite().all())),
        {name: one.detach() for name, one in here.items()},
        mode,
        frozen,
    )


def _pass(
    model: nn.Module, parameters: Mapping[str, Tensor], given: Given, loss: Loss | None
) -> tuple[float, dict[str, Tensor | None]]:
    with torch.enable_grad(), seeded(0):
        named = dict(zip(given.names, given.inputs, strict=True)) if given.names else None
        returned = functional_call(model, dict(parameters), () if named else given.inputs, named)
        value = weighed([one for one in outputs_of(returned) if one.requires_grad]) if loss is None else loss(returned)
        found = torch.autograd.grad(value, [*parameters.values()], allow_unused=True)
    return float(value.detach()), dict(zip(parameters, found, strict=True))


def _scaled(gradient: Tensor | None, parameter: Tensor) -> Tensor:
    if gradient is None or not bool(gradient.isfinite().all()):
        return torch.zeros_like(parameter)
    return gradient * (STEP / gradient.abs().max().clamp_min(1e-30)).to(gradient)


def _some(gradient: Tensor | None) -> bool:
    return gradient is not None and bool((gradient != 0).any())


def unused(evidence: Evidence) -> Iterator[Measured]:
    """Number of parameters of each module on which the output does not depend."""
    yield from _by_module(evidence, evidence.gradients.unused)


def silent(evidence: Evidence) -> Iterator[Measured]:
    """Number of parameters of each module whose gradient is zero in every pass.

    A bias is left out if the weight beside it learns: softmax and norms take away what a bias before them adds.
    """
    found = evidence.gradients
    resting = {*found.silent, *found.unused}
    beside = {name: f"{name.removesuffix('bias')}weight" for name in found.silent if name.endswith("bias")}
    known = dict(evidence.model.named_parameters())
    shifts = {bias for bias, weight in beside.items() if weight in known and weight not in resting}
    yield from _by_module(evidence, tuple(name for name in found.silent if name not in shifts))


def wrong(evidence: Evidence) -> Iterator[Measured]:
    """Number of parameters of each module whose gradient is NaN or infinite."""
    yield from _by_module(evidence, evidence.gradients.wrong)


def _by_module(evidence: Evidence, names: tuple[str, ...]) -> Iterator[Measured]:
    found: dict[str, list[str]] = {}
    for name in names:
        module, _, leaf = name.rpartition(".")
        found.setdefault(module, []).append(leaf)
    for module, leaves in found.items():
        yield Measured(len(leaves), module, "", listed(leaves))
