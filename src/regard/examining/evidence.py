"""The passes of an examination: what the network does with the batch, made once and read by all checks."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from regard.attaching.tracing import tensors
from regard.core import Maps, NothingSeen
from regard.examining.seen import Seen
from regard.laws.subject import gap
from regard.ops.seeds import seeded
from regard.watching import watch

if TYPE_CHECKING:
    from regard.examining.effects import Effect
    from regard.examining.gradients import Gradients

Loss = Callable[[Any], Tensor]

ALIKE = 1e-5  # relative difference of two images below which nothing can be told from their maps
DIFFERENT = 1e-3  # relative difference of two passes that rounding does not explain


class Unasked(Exception):
    """A check cannot be made; the message says why."""


@dataclass(frozen=True)
class Given:
    """The batch, as the network takes it.

    Args:
        inputs: the tensors of the batch, batch axis first.
        names: of keyword arguments; empty for positional ones.
    """

    inputs: tuple[Tensor, ...]
    names: tuple[str, ...] = ()

    @classmethod
    def of(cls, batch: Any) -> Given:
        """Reads a batch: a tensor, several in a tuple or list, or a mapping of keyword arguments.

        Raises:
            ValueError: it is none of these, or its tensors differ in their number of samples.
        """
        names = tuple(batch) if isinstance(batch, Mapping) else ()
        values = [*batch.values()] if isinstance(batch, Mapping) else batch
        found = (values,) if isinstance(values, Tensor) else tuple(values) if isinstance(values, (tuple, list)) else ()
        if not found or not all(isinstance(one, Tensor) and one.dim() for one in found):
            kinds = ", ".join(type(one).__name__ for one in found) or type(batch).__name__
            raise ValueError(
                f"batch={kinds}: a tensor, a tuple of tensors or a mapping of names to tensors is accepted"
            )
        sizes = {len(one) for one in found}
        if len(sizes) > 1 or 0 in sizes:
            raise ValueError(f"batch: tensors of one number of samples, at least 1, are needed, not of {sorted(sizes)}")
        return cls(found, names)

    @property
    def size(self) -> int:
        """The number of samples."""
        return len(self.inputs[0])

    def call(self, model: nn.Module) -> Any:
        """What the network returns; it gets copies, since it may write into them."""
        copies = [one.clone() for one in self.inputs]
        return model(**dict(zip(self.names, copies, strict=True))) if self.names else model(*copies)

    def part(self, start: int, stop: int) -> Given:
        """Some of the samples."""
        return Given(tuple(one[start:stop] for one in self.inputs), self.names)

    @property
    def images(self) -> Tensor | None:
        """The images, float `B C H W` in 0..1 with 1 or 3 channels; None where there are none."""
        for one in self.inputs:
            if one.dim() == 4 and one.shape[1] in (1, 3) and one.is_floating_point():
                pixels = one.detach().float().cpu()
                low, high = pixels.amin((1, 2, 3), keepdim=True), pixels.amax((1, 2, 3), keepdim=True)
                return ((pixels - low) / (high - low).clamp_min(1e-12)).expand(-1, 3, -1, -1)
        return None

    @property
    def differ(self) -> bool:
        """Whether the samples differ from each other by more than rounding."""
        return any(
            ((one[1:].double() - one[:1].double()).abs().max() > ALIKE * one.double().abs().max()).item()
            for one in self.inputs
            if len(one) > 1
        )


@dataclass(frozen=True)
class Alone:
    """One image by itself against the same image in the batch, or two of them where one cannot be.

    Args:
        start, stop: which images.
        output: relative difference of the outputs.
        maps: key -> relative difference of the map.
    """

    start: int
    stop: int
    output: float
    maps: Mapping[str, float]

    @property
    def named(self) -> str:
        """The images as text."""
        return f"image {self.start}" if self.stop == self.start + 1 else f"images {self.start} and {self.stop - 1}"


class Evidence:
    """What the network does with the batch. Each pass is made when a check first asks for it.

    Args:
        model: the network, in evaluation mode.
        given: the batch.
        loss: of the network's output, a scalar; None where it is not known.
        compile: whether the compiled network is to be compared with the eager one, which takes long.
    """

    def __init__(self, model: nn.Module, given: Given, loss: Loss | None, *, compile: bool) -> None:
        self.model, self.given, self.loss, self.compile = model, given, loss, compile

    @cached_property
    def maps(self) -> Maps:
        """The maps of one pass over the whole batch."""
        return self._watched[0]

    @cached_property
    def outputs(self) -> list[Tensor]:
        """The outputs of the watched pass."""
        return self._watched[1]

    @cached_property
    def _watched(self) -> tuple[Maps, list[Tensor]]:
        with torch.no_grad(), seeded(0), watch(self.model) as maps:
            returned = self.given.call(self.model)
        return maps, outputs_of(returned)

    @cached_property
    def seen(self) -> tuple[Seen, ...]:
        """The maps, in the order in which they are formed."""
        return tuple(Seen.of(self.maps, key, self.given.size) for key in self.maps)

    def plain(self, given: Given | None = None, model: nn.Module | None = None) -> list[Tensor]:
        """The outputs of a pass that nobody watches."""
        with torch.no_grad(), seeded(0):
            return outputs_of((given or self.given).call(model or self.model))

    @cached_property
    def repeated(self) -> float:
        """Relative difference of two passes that may draw different random numbers."""
        with torch.no_grad(), seeded(1):
            second = outputs_of(self.given.call(self.model))
        return gap(second, self.whole)

    @cached_property
    def alone(self) -> tuple[Alone, ...]:
        """The first and the last image by themselves, or two of them where the network does not take one.

        Raises: Unasked if there is one image, or the network is not the same twice or takes no fewer images.
        """
        size = self.given.size
        if size < 2:
            raise Unasked("the batch has one image; two or more are needed")
        if self.repeated > DIFFERENT:
            raise Unasked("two passes over the same batch differ by themselves")
        for few in range(1, min(3, size)):
            try:
                return tuple(self._part(start, start + few) for start in (0, size - few))
            except (ValueError, RuntimeError) as error:  # a norm over the batch has nothing to average
                reason = first_line(error)
        raise Unasked(f"the network does not take fewer images: {reason}")

    def _part(self, start: int, stop: int) -> Alone:
        """Some of the images by themselves against the same in the batch. Raises: Unasked if no output is batched."""
        size = self.given.size
        with suppress(NothingSeen), torch.no_grad(), seeded(0), watch(self.model) as maps:
            returned = self.given.part(start, stop).call(self.model)
        pairs = zip(outputs_of(returned), self.whole, strict=False)
        batched = [(one, y[start:stop]) for one, y in pairs if y.dim() and len(y) == size]
        if not batched:
            raise Unasked("no output has the batch as its first axis")
        output = max(gap([one], [y]) for one, y in batched)
        of_maps = {
            seen.key: gap(maps[seen.key], [look[start:stop] for look in seen.looks]) if seen.key in maps else 1.0
            for seen in self.seen  # a softmax over a batch of one is no softmax: the map is not formed
            if seen.batched and len(maps.get(seen.key, seen.looks)) == len(seen.looks)
        }
        return Alone(start, stop, output, of_maps)

    @cached_property
    def whole(self) -> list[Tensor]:
        """The outputs of a pass over the batch that nobody watches."""
        return self.plain()

    def first_to_differ(self, start: int, stop: int) -> str:
        """The first module, in the order of the pass, whose output for some images depends on the rest of the batch."""
        size = self.given.size
        whole = self._layers(self.given, lambda y: y[start:stop] if y.dim() and len(y) == size else None)
        single = self._layers(self.given.part(start, stop), lambda y: y)
        for name, values in whole.items():
            if len(values) == len(single.get(name, ())) and gap(single[name], values) > DIFFERENT:
                return name
        return ""

    def _layers(self, given: Given, kept: Callable[[Tensor], Tensor | None]) -> dict[str, list[Tensor]]:
        """The outputs of all modules without children."""
        found: dict[str, list[Tensor]] = {}
        leaves = {name: one for name, one in self.model.named_modules() if not any(True for _ in one.children())}
        with hooked(leaves, lambda name, out: found.setdefault(name, []).extend(_kept(out, kept))):
            self.plain(given)
        return found

    @cached_property
    def gradients(self) -> Gradients:
        """The gradients of a training pass; see `regard.examining.gradients`."""
        from regard.examining.gradients import gradients  # it reads this evidence

        return gradients(self.model, self.given, self.loss)

    def stepped(self) -> Any:
        """What the network returns after a few small steps of its parameters.

        Raises: Unasked if it cannot be trained on this batch.
        """
        given = self.given
        named = dict(zip(given.names, given.inputs, strict=True)) if given.names else None
        return functional_call(self.model, dict(self.gradients.stepped), () if named else given.inputs, named)

    @cached_property
    def stepped_outputs(self) -> list[Tensor]:
        """The outputs of `stepped`."""
        with torch.no_grad(), seeded(0):
            return outputs_of(self.stepped())

    @cached_property
    def lost(self) -> float:
        """The loss of the batch; NaN where no loss is known."""
        if self.loss is None:
            return math.nan
        with torch.no_grad(), seeded(0):
            return float(self.loss(self.given.call(self.model)))

    @cached_property
    def later(self) -> dict[str, Seen]:
        """The maps after a few small steps of the parameters; none if the network cannot be trained on this batch."""
        try:
            with torch.no_grad(), seeded(0), watch(self.model) as maps:
                self.stepped()
        except Unasked:
            return {}
        return {key: Seen.of(maps, key, self.given.size) for key in maps}

    @cached_property
    def effects(self) -> dict[str, Effect | str]:
        """What replacing each map changes; see `regard.examining.effects`."""
        from regard.examining.effects import effects

        return effects(self)

    @cached_property
    def costs(self) -> dict[str, tuple[float, float]]:
        """The shares of time and memory of each map; see `regard.examining.effects`."""
        from regard.examining.effects import costs

        return costs(self)

    @cached_property
    def copied(self) -> nn.Module:
        """A copy that laws may change.

        Raises: Unasked if the network cannot be copied.
        """
        try:
            return copy.deepcopy(self.model)
        except Exception as error:
            raise Unasked(f"the network cannot be copied: {first_line(error)}") from error


def outputs_of(returned: Any) -> list[Tensor]:
    """The tensors of floating point numbers in what a network returns, on the device they are on."""
    return [one for one in tensors(returned) if one.is_floating_point()]


def _kept(out: Any, kept: Callable[[Tensor], Tensor | None]) -> list[Tensor]:
    found = [kept(one) for one in outputs_of(out)]
    return [one.clone() for one in found if one is not None]


@contextmanager
def hooked(modules: Mapping[str, nn.Module], on_output: Callable[[str, Any], None]) -> Iterator[None]:
    """Calls `on_output(name, output)` after each call of the modules, in eager mode."""
    handles = [
        one.register_forward_hook(lambda module, inputs, out, name=name: on_output(name, out))
        for name, one in modules.items()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Evaluation mode with gradients for every parameter in the block; afterwards all is as it was.

    Kept are the training flags, the values of all buffers, which parameters have gradients, and the random state.
    """
    flags = [(module, module.training) for module in model.modules()]
    wanted = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    buffers = [(buffer, buffer.detach().clone()) for buffer in model.buffers()]
    model.eval()
    try:
        with seeded(0):
            yield
    finally:
        for module, flag in flags:
            module.training = flag
        for parameter, flag in wanted:
            parameter.requires_grad_(flag)
        with torch.no_grad():
            for buffer, value in buffers:
                buffer.copy_(value)


def first_line(error: BaseException) -> str:
    """The type of an error and the first line of its message."""
    line = str(error).strip().partition("\n")[0][:200]
    return f"{type(error).__name__}: {line}" if line else type(error).__name__


def listed(names: Sequence[str], most: int = 4) -> str:
    """Names with commas; of many the first, and how many others."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} others"
