"""What the laws are asked of, and what they say when they do not hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

# One prime for each letter, so that no two axes can be swapped unseen.
SIZES = {"B": 2, "H": 7, "W": 5, "T": 11, "N": 13, "K": 17, "Q": 19, "S": 23, "M": 29}


class Broken(AssertionError):
    """A law that does not hold.

    Attributes:
        law, subject, given, seen, expected: what was asked of what, with which input, and what came of it.
    """

    def __init__(self, law: str, subject: str, given: str, seen: str, expected: str) -> None:
        self.law, self.subject, self.given, self.seen, self.expected = law, subject, given, seen, expected
        super().__init__(f"{subject} breaks {law}: given {given}, saw {seen}; expected {expected}")


@dataclass(frozen=True)
class Subject:
    """What the laws are asked of: how to build it and what it declares.

    Args:
        name: how messages call it.
        build: a fresh instance, with parameters as it initialises them.
        channels: the size of the letter C.
        inputs: axes of each positional input.
        outputs: axes of each output.
        maps: declared map -> axes; None when nothing is declared.
        least: smallest sizes of the last axes of the first input.
        soft: differentiable weights.
        factory, kwargs: the class and its arguments, where they are known: what `rejects` needs.
    """

    name: str
    build: Callable[[], nn.Module]
    channels: int = 12
    inputs: tuple[str, ...] = ("B C H W",)
    outputs: tuple[str, ...] = ("B C H W",)
    maps: Mapping[str, str] | None = None
    least: tuple[int, ...] = (1, 1)
    soft: bool = True
    factory: Callable[..., nn.Module] | None = None
    kwargs: Mapping[str, Any] = field(default_factory=dict)

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

    def tensors(self, sizes: Mapping[str, int] | None = None, *, dtype: torch.dtype = torch.float32) -> list[Tensor]:
        """One random tensor for each input, with an offset for each channel so that no pooled value is near zero."""
        sizes = {**SIZES, "C": self.channels, **(sizes or {})}
        with seeded(1):
            return [
                (torch.randn(shape) + torch.randn(*shape[:2], *[1] * (len(shape) - 2))).to(dtype)
                for shape in ([self.size(letter, sizes) for letter in axes.split()] for axes in self.inputs)
            ]

    @staticmethod
    def size(letter: str, sizes: Mapping[str, int]) -> int:
        return int(letter) if letter.isdigit() else sizes[letter]

    @property
    def plane(self) -> tuple[str, ...]:
        """The letters of the first input behind batch and channel."""
        return tuple(self.inputs[0].split()[2:])


def shape_of(tensors: Sequence[Tensor]) -> str:
    return ", ".join(f"{str(x.dtype).removeprefix('torch.')} {tuple(x.shape)}" for x in tensors)


def outputs_of(result: Any) -> list[Tensor]:
    return list(result) if isinstance(result, (tuple, list)) else [result]


def gap(seen: Sequence[Tensor], wanted: Sequence[Tensor]) -> float:
    """Largest difference over outputs, relative to the largest wanted value."""
    if [x.shape for x in seen] != [x.shape for x in wanted]:
        return float("inf")
    gaps = [
        ((x.double() - y.double()).abs().max() / y.double().abs().max().clamp_min(1e-6)).item()
        for x, y in zip(seen, wanted, strict=True)
        if y.numel()
    ]
    return max((float("inf") if gap != gap else gap for gap in gaps), default=0.0)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def same(
    law: str, subject: Subject, given: str, seen: Any, wanted: Any, expected: str, tolerance: float = 1e-4
) -> None:
    difference = gap(outputs_of(seen), outputs_of(wanted))
    if not difference <= tolerance:
        raise Broken(
            law, subject.name, given, f"a relative difference of {difference:.2g}", f"{expected} within {tolerance:g}"
        )


def loss(results: Sequence[Tensor]) -> Tensor:
    """Weighs every output by its own random number, so that no gradient cancels by symmetry."""
    with seeded(2):
        return torch.stack([(y * torch.randn(y.shape).to(y.dtype)).sum() for y in results]).sum()
