"""The trace of one forward pass: the module that made each tensor, and the sums that close residual branches.

Module calls come from hooks, what happens between them from a function mode, so that it serves any model that runs,
also where its code cannot be traced symbolically.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary


@dataclass(eq=False)
class Run:
    """One call of one module.

    Args:
        name, module: which.
        start, end: when, in ticks of the pass.
        shape: of the output; None where it is not one tensor.
        output: the output in words, for errors.
        makers: the calls inside it that returned the very tensor that it returns, innermost first.
        sum: the addition that its output comes from, when it made that addition itself.
    """

    name: str
    module: nn.Module
    start: int
    end: int = 0
    shape: tuple[int, ...] | None = None
    output: str = ""
    makers: tuple[Run, ...] = ()
    sum: Sum | None = None


@dataclass(eq=False)
class Sum:
    """One addition of two tensors of one shape.

    Args:
        block: the innermost module that was running.
        branch: the calls that returned the summand with more layers, innermost first; none if no module did.
        residual: the other summand is a shortcut: it has at most half as many layers of its own, and two less, since
            x + conv(x) is a positional encoding, and norm(x) + norm(conv(x)) one layer in parallel parts.
    """

    block: Run
    branch: tuple[Run, ...]
    residual: bool


@dataclass(frozen=True)
class Origin:
    """The history of a tensor: the layers and calls that it comes from.

    Args:
        layers: one bit for every call of a module with parameters that it depends on.
        born: when it got its present values.
        makers: the calls that returned it, or that returned what it is a rescaled, activated or reshaped form of.
        sum: the same for the addition that it comes from.
    """

    layers: int
    born: int
    makers: tuple[Run, ...] = ()
    sum: Sum | None = None


@dataclass(eq=False)
class Trace(TorchFunctionMode):
    """A record of one forward pass.

    Args:
        runs: module -> its calls, oldest first.
        result: shape of what the model returned, when that is one tensor.
    """

    runs: dict[nn.Module, list[Run]] = field(default_factory=dict)
    result: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        super().__init__()
        self._clock = 0
        self._layers = 0
        self._stack: list[Run] = []
        self._origins = WeakTensorKeyDictionary()

    def ordered(self) -> list[Run]:
        """All calls in the order in which they ended."""
        return sorted((run for runs in self.runs.values() for run in runs), key=lambda run: run.end)

    def begin(self, inputs: object) -> None:
        for tensor in tensors(inputs):
            self._origins[tensor] = Origin(0, 0)

    def enter(self, name: str, module: nn.Module) -> None:
        self._clock += 1
        self._stack.append(Run(name, module, self._clock))

    def leave(self, module: nn.Module, inputs: object, output: object) -> None:
        self._clock += 1
        run = self._stack.pop()
        run.end, run.output = self._clock, in_words(output)
        self.runs.setdefault(module, []).append(run)
        own = 0
        if next(module.parameters(recurse=False), None) is not None:
            own = 1 << self._layers
            self._layers += 1
        seen = [self._origins[tensor] for tensor in tensors(inputs) if tensor in self._origins]
        for tensor in tensors(output):
            # Outputs of scripted code and autograd functions have no history: they depend on the call's inputs.
            origin = self._origins.get(tensor) or Origin(_union(seen), self._clock)
            makers = origin.makers
            if origin.born >= run.start:
                makers = tuple(maker for maker in makers if maker.start >= run.start)
            self._origins[tensor] = Origin(origin.layers | own, origin.born, (*makers, run), origin.sum)
            if tensor is output:
                run.shape, run.makers = tuple(tensor.shape), makers
            if origin.sum is not None and origin.sum.block is run:
                run.sum = origin.sum

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        # An in-place addition overwrites what is known about its operand: look before the call.
        parents = [tensor for tensor in tensors((args, kwargs)) if tensor in self._origins]
        origins = [self._origins[parent] for parent in parents]
        output = func(*args, **(kwargs or {}))
        if not origins:
            return output
        self._clock += 1
        adds = getattr(func, "__name__", "") in ADDITIONS and len(parents) == 2 and parents[0].shape == parents[1].shape
        for tensor in tensors(output):
            origin = Origin(_union(origins), self._clock)
            if len(parents) == 1 and tensor.numel() == parents[0].numel():
                origin = Origin(origins[0].layers, self._clock, origins[0].makers, origins[0].sum)
            elif adds and self._stack:
                origin = Origin(origin.layers, self._clock, sum=_sum(self._stack[-1], *origins))
            self._origins[tensor] = origin
        return output


ADDITIONS = frozenset({"add", "add_", "__add__", "__iadd__", "__radd__"})


def _sum(block: Run, left: Origin, right: Origin) -> Sum:
    own_left = (left.layers & ~right.layers).bit_count()
    own_right = (right.layers & ~left.layers).bit_count()
    branch, most, least = (left, own_left, own_right) if own_left > own_right else (right, own_right, own_left)
    return Sum(block, branch.makers, residual=most >= max(2 * least, least + 2))


def _union(origins: list[Origin]) -> int:
    layers = 0
    for origin in origins:
        layers |= origin.layers
    return layers


def follow(model: nn.Module, inputs: tuple[object, ...]) -> Trace:
    """Runs the model once in eval mode without gradients; buffers, training flags and random state stay as they are."""
    trace = Trace()
    handles = []
    for name, module in model.named_modules():

        def enter(module: nn.Module, inputs: object, kwargs: object, name: str = name) -> None:
            trace.enter(name, module)

        def leave(module: nn.Module, inputs: object, kwargs: object, output: object) -> None:
            trace.leave(module, (inputs, kwargs), output)

        handles.append(module.register_forward_pre_hook(enter, with_kwargs=True))
        handles.append(module.register_forward_hook(leave, with_kwargs=True))
    try:
        with evaluating(model), trace:
            trace.begin(inputs)
            output = model(*inputs)
    finally:
        for handle in handles:
            handle.remove()
    trace.result = tuple(output.shape) if isinstance(output, Tensor) else None
    return trace


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Eval mode without gradients; afterwards every module has its own training flag again."""
    flags = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, flag in flags:
            module.training = flag


def tensors(value: object) -> Iterator[Tensor]:
    """Yields every tensor in nested tuples, lists and dicts."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from tensors(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from tensors(item)


def in_words(value: object) -> str:
    """Describes an output in words: "2 x 64 x 7 x 7", "a tuple of 3"."""
    if isinstance(value, Tensor):
        return " x ".join(map(str, value.shape)) or "a single number"
    if isinstance(value, (tuple, list, dict)):
        return f"a {type(value).__name__} of {len(value)}"
    return f"a {type(value).__name__}"
