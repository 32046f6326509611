"""Laws of the contract that hold for a whole network, asked of the network with its batch."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from regard.attaching.tracing import tensors
from regard.examining.evidence import Evidence, Given, Unasked, first_line
from regard.examining.findings import Measured
from regard.laws import behaviour, use
from regard.laws.subject import Broken, Subject, gap, seeded

FEW = 2  # images with which laws are asked


class Whole(nn.Module):
    """A network that takes its inputs in order and gives its outputs as a list.

    Args:
        network: the network.
        names: of the keyword arguments that the inputs are; empty for positional ones.
        copies: whether it gets copies of the inputs, which it may change without breaking another law.
    """

    def __init__(self, network: nn.Module, names: tuple[str, ...], copies: bool) -> None:
        super().__init__()
        self.network = network
        self.names = names
        self.copies = copies

    def forward(self, *inputs: Tensor) -> list[Tensor]:
        if self.copies:
            return list(tensors(Given(inputs, self.names).call(self.network)))
        named = dict(zip(self.names, inputs, strict=True)) if self.names else None
        return list(tensors(self.network(**named) if named else self.network(*inputs)))


@dataclass(frozen=True, eq=False)
class WholeNetwork(Subject):
    """A network with its batch, for the laws: its own weights and inputs in place of random ones."""

    given: Given | None = None

    def module(
        self, *, dtype: torch.dtype = torch.float32, spread: bool = True, train: bool = False, seed: int = 0
    ) -> nn.Module:
        """A copy of the network with its weights, in its own precision."""
        return self.build().train(train)

    def tensors(self, sizes: Mapping[str, int] | None = None, *, dtype: torch.dtype = torch.float32) -> list[Tensor]:
        """The first images of the batch."""
        assert self.given is not None
        return [one.clone() for one in self.given.part(0, FEW).inputs]


def _subject(evidence: Evidence, copies: bool) -> WholeNetwork:
    model, given = evidence.copied, evidence.given
    return WholeNetwork(
        name=type(evidence.model).__name__,
        build=lambda: Whole(copy.deepcopy(model), given.names, copies),
        inputs=("B",) * len(given.inputs),
        outputs=("B",),
        given=given,
    )


def _asked(evidence: Evidence, law: Callable[[Subject], None], *, copies: bool = True) -> Iterator[Measured]:
    """0 if the law holds; otherwise the relative difference that it found, or 1."""
    try:
        with seeded(0):
            law(_subject(evidence, copies))
    except Broken as broken:
        given = broken.given.replace("network.", "", 1)
        seen = broken.seen.replace("network.", "", 1)
        yield Measured(1.0 if broken.difference is None else broken.difference, "", "", f"{seen}; input: {given}")
    except Exception as error:
        raise Unasked(f"no pass: {first_line(error)}") from error
    else:
        yield Measured(0.0)


def deterministic(evidence: Evidence) -> Iterator[Measured]:
    """Whether two passes in evaluation mode agree, and draw no random numbers."""
    yield from _asked(evidence, behaviour.deterministic)


def inputs_left_alone(evidence: Evidence) -> Iterator[Measured]:
    """Whether a pass writes into no input."""
    yield from _asked(evidence, behaviour.leaves_inputs_alone, copies=False)


def state_left_alone(evidence: Evidence) -> Iterator[Measured]:
    """Whether a pass changes no parameter, and in evaluation mode no buffer."""
    yield from _asked(evidence, behaviour.changes_no_parameter)


def watched(evidence: Evidence) -> Iterator[Measured]:
    """Relative difference of the outputs of a watched pass, and of one that nobody watches."""
    yield Measured(gap(evidence.outputs, evidence.whole))


def compiled(evidence: Evidence) -> Iterator[Measured]:
    """Whether the compiled network gives the outputs and gradients of the eager one.

    Raises: Unasked where it was not wished.
    """
    if not evidence.compile:
        raise Unasked("it takes long; compile=True, or --compile, asks it")
    yield from _asked(evidence, use.compiles)


def trains(evidence: Evidence) -> Iterator[Measured]:
    """Whether the loss of a training pass is finite: 0 if it is."""
    found = evidence.gradients
    finite = found.value == found.value and abs(found.value) != float("inf")
    yield Measured(0.0 if finite else 1.0, detail=f"{found.mode} mode")


def half(evidence: Evidence) -> Iterator[Measured]:
    """The share of values that are not finite in float16 but are in the network's own precision."""
    yield from _in(evidence, torch.float16)


def brain(evidence: Evidence) -> Iterator[Measured]:
    """The same in bfloat16."""
    yield from _in(evidence, torch.bfloat16)


def _in(evidence: Evidence, dtype: torch.dtype) -> Iterator[Measured]:
    few = evidence.given.part(0, FEW)
    wanted = evidence.plain(few)
    cast = Given(tuple(one.to(dtype) if one.is_floating_point() else one for one in few.inputs), few.names)
    try:
        found = evidence.plain(cast, copy.deepcopy(evidence.copied).to(dtype))
    except Exception as error:  # an operation that the device does not have, or a layer of its own precision
        raise Unasked(f"no pass in {str(dtype).removeprefix('torch.')}: {first_line(error)}") from error
    broken = sum(int((one.isfinite() & ~other.isfinite()).sum()) for one, other in zip(wanted, found, strict=False))
    total = sum(one.numel() for one in wanted)
    yield Measured(broken / max(1, total), detail=f"relative difference of the output {gap(found, wanted):.2g}")
