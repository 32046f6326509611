"""What the laws are asked of, and the error of a law that does not hold."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

# One prime for each letter, so that no two axes can be swapped unseen.
SIZES = {"B": 2, "H": 7, "W": 5, "T": 11, "N": 13, "K": 17, "Q": 19, "S": 23, "M": 29, "D": 31, "G": 37, "L": 3}


# The kind of an input that holds numbers, and the axes of any input: letters, numbers, multiples and quotients.
_INPUT = re.compile(r"(?:(?P<mask>bool)(?: |$)|word<(?P<below>[1-9][0-9]*|[A-Za-z])>(?: |$))?(?P<axes>.*)")
_AXIS = re.compile(r"[0-9]+|[0-9]*[A-Za-z](/[1-9][0-9]*)?")


class Broken(AssertionError):
    """A law that does not hold.

    Attributes:
        law, subject: the law, and what it was asked of.
        given: the inputs that it was given.
        seen, expected: the result, and the result that the law expects.
        difference: the relative difference of two outputs that should agree; None for other results.
    """

    def __init__(
        self, law: str, subject: str, given: str, seen: str, expected: str, difference: float | None = None
    ) -> None:
        self.law, self.subject, self.given, self.seen, self.expected = law, subject, given, seen, expected
        self.difference = difference
        super().__init__(f"{subject} breaks {law}. Input: {given}. Result: {seen}. Expected: {expected}.")


@dataclass(frozen=True)
class Axes:
    """The axes of one input and the kind of its values, as a label writes them.

    Attributes:
        parts: one axis each: a letter, a number, a multiple or a quotient.
        kind: "float", "bool" (a mask) or "word" (whole numbers from 0 up).
        below: the number that all words are below, or the letter whose size it is; empty for other kinds.
    """

    parts: tuple[str, ...]
    kind: str = "float"
    below: str = ""

    @classmethod
    def read(cls, text: str) -> Axes:
        """Reads the axes of an input, such as `B C H W`, `bool B T` or `word<11> B T`.

        Raises:
            ValueError: the text is none of these.
        """
        found = _INPUT.fullmatch(text)
        assert found is not None  # the pattern ends in `.*`
        parts = tuple(found["axes"].split())
        if not all(_AXIS.fullmatch(part) for part in parts):
            raise ValueError(f"inputs={text!r}: axes such as 'B C H W', 'bool B T' or 'word<11> B T' are needed")
        kind = "bool" if found["mask"] else "word" if found["below"] else "float"
        return cls(parts, kind, found["below"] or "")

    def limit(self, sizes: Mapping[str, int]) -> int:
        """The number that all words are below.

        Raises:
            ValueError: it is a letter that `sizes` does not have.
        """
        if self.below.isdigit():
            return int(self.below)
        if self.below not in sizes:
            raise ValueError(f"sizes={dict(sizes)}: the number of words {self.below} of 'word<{self.below}>' is needed")
        return sizes[self.below]


@dataclass(frozen=True, eq=False)
class Subject:
    """What the laws are asked of: how to build it and what it declares.

    Args:
        name: how messages call it.
        build: a fresh instance, with parameters as it initialises them.
        channels: the size of the letter C.
        inputs: axes of each positional input: floating point numbers, `bool` masks, or `word<V>` numbers below V.
        outputs: axes of each output.
        maps: declared map -> axes; None when nothing is declared.
        least: smallest sizes of the last axes of `plane`.
        sizes: letter -> size, where the arguments fix it.
        exported: smallest side of a map for a program exported with open sizes.
        soft: differentiable weights.
        sums, shown: the axes over which maps sum to 1, and the maps that are only shown; None: whatever they are.
        factory, kwargs: the class and its arguments, where they are known: what `rejects` needs.
        plain: these are the label's own arguments, rather than one of its options.
    """

    name: str
    build: Callable[[], nn.Module]
    channels: int = 12
    inputs: tuple[str, ...] = ("B C H W",)
    outputs: tuple[str, ...] = ("B C H W",)
    maps: Mapping[str, str] | None = None
    least: tuple[int, ...] = (1, 1)
    sizes: Mapping[str, int] = field(default_factory=dict)
    exported: int = 4
    soft: bool = True
    sums: Mapping[str, str] | None = None
    shown: tuple[str, ...] | None = None
    factory: Callable[..., nn.Module] | None = None
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    plain: bool = True

    def module(
        self, *, dtype: torch.dtype = torch.float32, spread: bool = True, train: bool = False, seed: int = 0
    ) -> nn.Module:
        """A fresh instance. `spread` makes every parameter a small random number: a zero start hides faults."""
        with seeded(seed):
            module = self.build()
            if spread:
                for parameter in module.parameters():
                    if parameter.is_floating_point():
                        nn.init.normal_(parameter, 0.1, 0.3)
        return module.to(dtype).train(train)

    def known(self, sizes: Mapping[str, int] | None = None) -> dict[str, int]:
        """The size of every letter of an input; `sizes` asks for others, where the arguments leave them open."""
        used = {part.strip("0123456789/") for axes in self.axes for part in axes.parts}
        known = {**SIZES, **(sizes or {}), "C": self.channels, **self.sizes}
        return {letter: known[letter] for letter in used if letter}

    def tensors(self, sizes: Mapping[str, int] | None = None, *, dtype: torch.dtype = torch.float32) -> list[Tensor]:
        """One random tensor for each input, with an offset for each channel so that no pooled value is near zero.

        A mask hides a third, and never the first position of a row. Words contain the largest one.
        """
        known = self.known(sizes)
        with seeded(1):
            return [self._tensor(axes, known, dtype) for axes in self.axes]

    def _tensor(self, axes: Axes, known: Mapping[str, int], dtype: torch.dtype) -> Tensor:
        shape = [size_of(part, known) for part in axes.parts]
        if axes.kind == "bool":
            mask = torch.rand(shape) < 2 / 3
            mask[..., 0] = True
            return mask
        if axes.kind == "word":
            words = torch.randint(axes.limit(self.sizes), shape)
            words.view(-1)[-1] = axes.limit(self.sizes) - 1
            return words
        offset = torch.randn(*shape[:2], *[1] * (len(shape) - 2)) if len(shape) > 2 else 0
        return (torch.randn(shape) + offset).to(dtype)

    @cached_property
    def axes(self) -> tuple[Axes, ...]:
        """The axes of each input.

        Raises:
            ValueError: one of them is no axes.
        """
        return tuple(Axes.read(text) for text in self.inputs)

    @property
    def plane(self) -> tuple[str, ...]:
        """The axes of the first input behind the batch, without the channels."""
        first = self.axes[0]
        if first.kind == "float" and "C" not in first.parts:
            return first.parts[2:]
        return tuple(part for part in first.parts[1:] if part != "C")

    @property
    def fixed(self) -> dict[str, int]:
        """Every size that the arguments fix: those of axes, and the numbers of words."""
        words = {text: axes.limit(self.sizes) for text, axes in zip(self.inputs, self.axes, strict=True) if axes.below}
        return {**words, **self.sizes}

    @property
    def smallest(self) -> dict[str, int]:
        """The smallest size of each axis for which the label gives one."""
        return dict(zip(self.plane[-len(self.least) :], self.least, strict=True)) if self.least else {}


def size_of(part: str, known: Mapping[str, int]) -> int:
    """The size of one axis: a number, a letter, a multiple as `2H`, or a quotient, rounded up, as `H/2`."""
    if part.isdigit():
        return int(part)
    letter, _, divisor = part.partition("/")
    times = letter.rstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
    return -(-int(times or 1) * known[letter.removeprefix(times)] // int(divisor or 1))


def fits(shape: Sequence[int], axes: str, known: Mapping[str, int]) -> bool:
    """Whether a tensor has the axes; letters that are not known may be of any size."""
    parts = axes.split()
    return len(shape) == len(parts) and all(
        part.strip("0123456789/") not in {"", *known} or size_of(part, known) == size
        for part, size in zip(parts, shape, strict=True)
    )


def floats(inputs: Sequence[Tensor]) -> list[Tensor]:
    """The inputs of floating point numbers, which can have gradients."""
    return [x for x in inputs if x.is_floating_point()]


def cast(inputs: Sequence[Tensor], dtype: torch.dtype) -> list[Tensor]:
    """The inputs in another precision; masks and words stay as they are."""
    return [x.to(dtype) if x.is_floating_point() else x for x in inputs]


def default_arguments(
    factory: Callable[..., nn.Module], kwargs: Mapping[str, Any], sizes: Mapping[str, int]
) -> dict[str, Any]:
    """The arguments of a label that a default instance needs: without a default of their own, or fixing a size."""
    parameters = inspect.signature(factory).parameters
    fixing = [*sizes.values(), tuple(sizes[letter] for letter in "HW" if letter in sizes)]
    return {
        name: value
        for name, value in kwargs.items()
        if parameters[name].default is inspect.Parameter.empty or (type(value) is not bool and value in fixing)
    }


def shape_of(tensors: Sequence[Tensor]) -> str:
    return ", ".join(f"{str(x.dtype).removeprefix('torch.')} {tuple(x.shape)}" for x in tensors)


def outputs_of(result: Any) -> list[Tensor]:
    return list(result) if isinstance(result, (tuple, list)) else [result]


def gap(seen: Sequence[Tensor], wanted: Sequence[Tensor], floor: float = 1e-6) -> float:
    """The largest difference over outputs, relative to the largest value wanted of each, at least `floor`."""
    if [x.shape for x in seen] != [x.shape for x in wanted]:
        return float("inf")
    gaps = [
        ((x.double() - y.double()).abs().max() / y.double().abs().max().clamp_min(floor)).item()
        for x, y in zip(seen, wanted, strict=True)
        if y.numel()
    ]
    return max((float("inf") if gap != gap else gap for gap in gaps), default=0.0)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def same(
    law: str,
    subject: Subject,
    given: str,
    seen: Any,
    wanted: Any,
    expected: str,
    tolerance: float = 1e-4,
    floor: float = 1e-6,
) -> None:
    difference = gap(outputs_of(seen), outputs_of(wanted), floor)
    if not difference <= tolerance:
        seen_as = f"a relative difference of {difference:.2g}"
        raise Broken(law, subject.name, given, seen_as, f"{expected} within {tolerance:g}", difference)


def loss(results: Sequence[Tensor]) -> Tensor:
    """The sum of all outputs, each weighed by its own random number, so that no gradient cancels by symmetry."""
    with seeded(2):
        return torch.stack([(y * torch.randn(y.shape).to(y.dtype)).sum() for y in results]).sum()
