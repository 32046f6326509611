"""Attention that no `regard.Attention` forms, found by following what a forward pass computes.

A softmax whose result is multiplied with something is attention: `affinity` where it weighs values in a matrix product,
`weights` elsewhere. What comes out of a sigmoid, hardsigmoid or tanh and is multiplied with an activation is a `gate`,
unless it is part of an activation function. The difference is what is multiplied: in x·σ(x), in GELU and in a gated
linear unit whose halves are one tensor, the gate is computed, element by element, from what it multiplies; a gate of
attention has seen other places or channels. A gate of the same shape as what it multiplies is also none if it is a part
of a wider tensor or a vector for each sample, as in LSTM, or if both factors are such functions.

Not seen: code that runs in no torch function (extensions, scripted modules, FlexAttention), a softmax written out, and
what is computed from parameters alone.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle

from regard.core import Attention, Formed, tell
from regard.watching.arranging import Arrangement, affinity, weights
from regard.watching.explicit import attention_weights, grouped, multi_head_attention
from regard.watching.functions import PRODUCTS, SOFTMAX, SQUASHING, name_of
from regard.watching.provenance import compact, raster, sequence, through_product
from regard.watching.tracing import Trace, Traces, einsum_letters

_here = threading.local()


@contextmanager
def observing(paths: Mapping[nn.Module, str]) -> Iterator[None]:
    """Tells the listeners of this thread of attention that modules form by functions of torch while the block runs.

    Args:
        paths: the modules to follow, the whole model first.
    """
    found: Observer | None = getattr(_here, "observer", None)
    observer = Observer() if found is None else found
    if found is None:
        _here.observer = observer
        observer.__enter__()  # type: ignore[no-untyped-call]
    observer.follow(paths)
    try:
        yield
    finally:
        observer.leave(paths)
        # A block that its thread has not left ends in another one, whose modes are its own.
        if not observer.followed and getattr(_here, "observer", None) is observer:
            observer.__exit__(None, None, None)
            _here.observer = None


class _Hook:
    """A hook that does not outlive its block: in a copy or pickle of the module it takes itself away when called."""

    def __init__(self, act: Callable[..., None]) -> None:
        self.act = act

    def __call__(self, *given: Any) -> None:
        self.act(*given)

    def __deepcopy__(self, _: Any) -> Callable[..., None]:
        return _ended

    def __reduce__(self) -> tuple[Callable[[], Callable[..., None]], tuple[()]]:
        return _copied, ()


def _copied() -> Callable[..., None]:
    return _ended


def _ended(module: nn.Module, *_: Any) -> None:
    for hooks in (module._forward_hooks, module._forward_pre_hooks):
        for number in [number for number, hook in hooks.items() if hook is _ended]:
            del hooks[number]
            module._forward_hooks_always_called.pop(number, None)


class Observer(TorchFunctionMode):
    """Follows the functions of torch that followed modules call in one thread."""

    def __init__(self) -> None:
        super().__init__()
        self.followed: Counter[nn.Module] = Counter()
        self.handles: dict[nn.Module, list[RemovableHandle]] = {}
        self.running: list[nn.Module] = []
        self.own = 0  # how many of the running modules are mechanisms, which show their maps themselves
        self.traces = Traces()
        self.axes: dict[tuple[nn.Module, str], list[str]] = {}
        self.functions: dict[str, Callable[..., Any]] = {
            "scaled_dot_product_attention": self._dot_product,
            "multi_head_attention_forward": self._multi_head,
            "mul": self._scaled,
            **dict.fromkeys(SOFTMAX, self._softmax),
            **dict.fromkeys(SQUASHING, self._squashed),
            **dict.fromkeys(PRODUCTS, self._product),
        }

    def follow(self, paths: Mapping[nn.Module, str]) -> None:
        for module, path in paths.items():
            if module not in self.followed:
                self.traces.learned(module, path)
                self.handles[module] = [
                    module.register_forward_pre_hook(_Hook(self._enters)),
                    module.register_forward_hook(_Hook(self._leaves), always_call=True),
                ]
        self.followed.update(paths.keys())

    def leave(self, paths: Mapping[nn.Module, str]) -> None:
        self.followed.subtract(paths.keys())
        self.followed = +self.followed
        for module in [module for module in self.handles if module not in self.followed]:
            for handle in self.handles.pop(module):
                handle.remove()

    def _enters(self, module: nn.Module, _: Any) -> None:
        if module in self.followed and getattr(_here, "observer", None) is self:
            if not self.running:
                self.traces.batch = 0
            self.running.append(module)
            self.own += isinstance(module, Attention)

    def _leaves(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if module not in self.running or getattr(_here, "observer", None) is not self:
            return
        while True:
            left = self.running.pop()
            self.own -= isinstance(left, Attention)
            if left is module:
                break
        if isinstance(module, Attention) and args and isinstance(args[0], Tensor) and isinstance(output, Tensor):
            self.traces.keeps_places(args[0], output)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if not self.running or self.own:
            return func(*args, **kwargs)
        name = name_of(func)
        if not self.traces.batch:
            self._begins((*args, *kwargs.values()))
        if name in self.functions:
            return self.functions[name](name, func, args, kwargs)
        result = func(*args, **kwargs)
        self.traces.follow(name, func, args, kwargs, result)
        return result

    def _begins(self, given: tuple[Any, ...]) -> None:
        """The first tensor of a forward pass that is no parameter is its input: it has the batch and the pixels."""
        first = next((x for x in given if isinstance(x, Tensor) and x.dim() > 1 and not self.traces[x].static), None)
        if first is not None:
            self.traces.batch = first.shape[0]
            if first.dim() == 4:
                self.traces.mark(first, raster(first.shape, 2, first.device))

    def _softmax(self, name: str, func: Any, args: Any, kwargs: Any) -> Tensor:
        result: Tensor = func(*args, **kwargs)
        given = args[0] if args else kwargs["input"]
        dim = kwargs.get("dim", args[1] if len(args) > 1 and name == "softmax" else -1)
        if dim is None:
            dim = 0 if result.dim() in (0, 1, 3) else 1  # as torch chooses, with a warning
        self.traces.elementwise(given, result, fresh=True)
        if result.dim() > 1 and result.shape[dim] > 1:
            self.traces.candidate(result, self._home(), dim % result.dim())
        return result

    def _squashed(self, name: str, func: Any, args: Any, kwargs: Any) -> Tensor:
        given = args[0] if args else kwargs["input"]
        before = self.traces[given]
        result: Tensor = func(*args, **kwargs)
        self.traces.elementwise(replace(before, part=True) if name == "relu6" else before, result)
        if result.dim() > 1:
            self.traces.candidate(result, self._home(), None)
        return result

    def _home(self) -> nn.Module:
        """The running module to which a map belongs: not the activation in it, nor a list of its layers."""
        running = self.running
        depth = len(running) - 1
        while depth and (
            type(running[depth]) in (nn.Sequential, nn.ModuleList)
            or not any(True for _ in (*running[depth].children(), *running[depth].parameters(recurse=False)))
        ):
            depth -= 1
        return running[depth]

    def _tell(self, module: nn.Module, name: str, made: Arrangement) -> Tensor:
        """Tells the listeners, and returns what acts in the network's own layout."""
        known = self.axes.setdefault((module, name), [])
        if made.axes not in known:
            known.append(made.axes)
        number = known.index(made.axes)  # maps of one module with other axes have names of their own
        formed = Formed(name + (str(number + 1) if number else ""), made.map, made.axes, made.grids, made.sums,
                        made.tokens, made.places, foreign=True)  # fmt: skip
        return made.back(tell(module, formed))

    def _formed(self, map: Tensor, trace: Trace, *, weighs: bool) -> Tensor:
        """Tells of a map that a matrix product multiplies, or of other weights."""
        assert trace.module is not None
        batch, along, marks = max(self.traces.batch, 1), trace.along, trace.marks
        if weighs and (len(marks) == 2 or (not marks and map.dim() > 2)):
            rows, columns = marks or (None, None)
            name, made = "affinity", affinity(map, rows, columns, along, batch)
        else:
            name = "gate" if along is None else "weights"
            made = weights(map, marks[0] if len(marks) == 1 else None, along, batch)
        if trace.scaled and made.sums:
            totals = made.map.detach().sum([made.axes.split().index(letter) for letter in made.sums.split()])
            if not torch.allclose(totals, torch.ones_like(totals), atol=1e-3):
                made = replace(made, sums="")
        return self._tell(trace.module, name, made)

    def _once(self, map: Tensor, form: Callable[[], Tensor]) -> Tensor:
        """What acts instead of a map, which is told of at its first product."""
        trace = self.traces[map]
        if not trace.told:
            acts = form()
            trace = replace(trace, told=True, acts=None if acts is map else acts)  # a value that is its key never ends
            self.traces.replace(map, trace)
        return map if trace.acts is None else trace.acts

    def _product(self, name: str, func: Any, args: Any, kwargs: Any) -> Any:
        """A matrix product: a softmax in it weighs what is multiplied."""
        args = list(args)
        for at, value in enumerate(args):
            trace = self.traces[value] if isinstance(value, Tensor) else None
            if trace is None or trace.along is None or trace.static or trace.module is None:
                continue
            trace = replace(trace, marks=self.traces.turned(name, args, at))
            args[at] = self._once(value, partial(self._formed, value, trace, weighs=True))
            if args[at] is not value:
                self.traces.replace(args[at], trace)
        result = func(*args, **kwargs)
        self.traces.multiplied(name, args, result)
        return result

    def _scaled(self, name: str, func: Any, args: Any, kwargs: Any) -> Any:
        """A product element by element: a gate, or weights, may be one of its factors."""
        factors = list(args[:2])
        if len(factors) < 2 or not all(isinstance(factor, Tensor) for factor in factors):
            result = func(*args, **kwargs)
            self.traces.follow(name, func, args, kwargs, result)
            return result
        traces = [self.traces[factor] for factor in factors]
        at = self._gate(factors, traces)
        if at is None:
            result = func(*args, **kwargs)
            self.traces.scaled(factors, traces, result)
            return result
        result = self._gated(func, factors, traces, at, kwargs)
        self.traces.elementwise(traces[1 - at], result, also=traces[at])
        return result

    def _gate(self, factors: list[Tensor], traces: list[Trace]) -> int | None:
        """The factor that is a gate of the other one; None if neither is."""
        shape = torch.broadcast_shapes(factors[0].shape, factors[1].shape)
        possible = [
            at
            for at in (0, 1)
            if traces[at].module is not None
            and not traces[at].static
            and not traces[1 - at].static
            and factors[1 - at].shape == shape
        ]
        for at in possible:
            gate, other = traces[at], traces[1 - at]
            narrower = factors[at].numel() < factors[1 - at].numel()
            alike = not narrower and (other.module is not None or gate.part or len(shape) < 3)
            if not alike and not gate.roots <= other.roots:
                return at
        return None

    def _gated(self, func: Any, factors: list[Tensor], traces: list[Trace], at: int, kwargs: Any) -> Tensor:
        gate, other = factors[at], factors[1 - at]

        def form() -> Tensor:
            narrow = gate if 0 not in gate.stride() else compact(gate)  # of an expanded gate each value once
            wide = narrow if gate.dim() == other.dim() else narrow[(None,) * (other.dim() - gate.dim())]
            trace = traces[at].over(traces[1 - at].marks[:1], wide)
            acts = self._formed(wide, trace, weighs=False)
            return acts if wide is gate else acts.reshape(narrow.shape).expand(gate.shape)

        acts = self._once(gate, form)
        if at == 0 and getattr(func, "__name__", "") in ("mul_", "__imul__", "multiply_"):
            return gate.copy_(acts * other)  # in place: the network may go on to use the tensor of the gate
        pair = [acts, other] if at == 0 else [other, acts]
        result: Tensor = func(*pair, **kwargs)
        return result

    def _dot_product(self, name: str, func: Any, args: Any, kwargs: Any) -> Tensor:
        return self._attended(*args, **kwargs)

    def _attended(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Tensor:
        """`F.scaled_dot_product_attention` by its weights."""
        keys, values = (grouped(query, key), grouped(query, value)) if enable_gqa else (key, value)
        if keys is not key:
            self.traces.follow("repeat_interleave", torch.repeat_interleave,
                               (key, keys.shape[-3] // key.shape[-3], -3), {}, keys)  # fmt: skip
        map = attention_weights(query, keys, attn_mask, is_causal, scale)
        rows, columns = self.traces.scores(self.traces[query], self.traces[keys], query.shape, keys.shape, map.shape)
        along = torch.arange(map.shape[-1], device=map.device).expand(map.shape)
        made = affinity(map, rows, columns, along, max(self.traces.batch, 1))
        acts = map if map.shape[-1] == 1 else self._tell(self._home(), "affinity", made)
        dropped = torch.nn.functional.dropout(acts, dropout_p, training=True) if dropout_p else acts
        result = dropped @ values
        if rows is not None:
            self.traces.mark(result, through_product(rows, *einsum_letters(map.dim()), result.shape))
        return result

    def _multi_head(self, name: str, func: Any, args: Any, kwargs: Any) -> Any:
        """`F.multi_head_attention_forward`, whose steps this mode then follows."""
        for value in (*args[:2], kwargs.get("query"), kwargs.get("key")):
            if isinstance(value, Tensor) and value.dim() == 3 and not self.traces[value].marks:
                self.traces.mark(value, sequence(value.shape, value.device))
                self.traces.batch = value.shape[1]
        with self:
            return multi_head_attention(*args, **kwargs)
