"""What is known of each tensor of a forward pass: what it was computed from, and where its entries come from."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.weak import WeakIdKeyDictionary

from regard.watching.functions import ELEMENTWISE, GRIDS, JOINS, MOVES, NORMS, PARTS, SAME, SCALING
from regard.watching.provenance import (
    Mark,
    cells_of,
    compact,
    joined,
    moved,
    raster,
    through_product,
    tokens_beside,
    varies,
)


@dataclass(frozen=True, eq=False)
class Trace:
    """What is known of a tensor.

    Attributes:
        roots: the results of other than elementwise functions from which it is computed element by element.
        static: whether it is computed from parameters and buffers alone.
        name: of what is static, the parameter or buffer.
        marks: one of an activation; of scores and maps two, of rows and of columns; none if nothing is known.
        module: of weights or of a gate that nothing has been multiplied with yet, the module that formed them.
        along: of a softmax, the index of each entry along its axis.
        part: whether it is a part of a wider tensor, element by element.
        scaled: whether weights have been computed with since their softmax, so that they may no longer sum to 1.
        told: whether listeners know of the map.
        acts: what they made of it, if that is another tensor.
    """

    roots: frozenset[int] = frozenset()
    static: bool = False
    name: str = ""
    marks: tuple[Mark, ...] = ()
    module: nn.Module | None = None
    along: Tensor | None = None
    part: bool = False
    scaled: bool = False
    told: bool = False
    acts: Tensor | None = None

    def over(self, marks: Sequence[Mark], gate: Tensor) -> Trace:
        """The trace of a gate, perhaps of less and smaller axes, over what it multiplies, which has these marks."""
        along = self.along
        if along is not None:
            along = along[(None,) * (gate.dim() - along.dim())]
            for dim, size in enumerate(gate.shape):
                along = along.narrow(dim, 0, size)
        return replace(self, marks=tuple(marks), along=along)

    @property
    def plain(self) -> Trace:
        """The trace of a tensor that is no map."""
        return replace(self, module=None, along=None, told=False, acts=None)


class Traces:
    """The traces of all tensors that are alive."""

    def __init__(self) -> None:
        self.batch = 1
        self._traces: WeakIdKeyDictionary = WeakIdKeyDictionary()
        self._names: dict[int, str] = {}
        self._roots = itertools.count()

    def learned(self, module: nn.Module, path: str) -> None:
        """The module's own parameters and buffers, which no input changes."""
        for name, value in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)):
            self._names[id(value)] = f"{path}.{name}"

    def __getitem__(self, tensor: Tensor) -> Trace:
        found: Trace | None = self._traces.get(tensor)
        if found is None:
            static = isinstance(tensor, nn.Parameter) or id(tensor) in self._names
            root = frozenset() if static else frozenset([next(self._roots)])
            found = self._traces[tensor] = Trace(root, static, self._names.get(id(tensor), ""))
        return found

    def replace(self, tensor: Tensor, trace: Trace) -> None:
        self._traces[tensor] = trace

    def mark(self, tensor: Tensor, mark: Mark) -> None:
        self._traces[tensor] = replace(self[tensor], marks=(mark,))

    def keeps_places(self, before: Tensor, after: Tensor) -> None:
        if before.shape == after.shape and self[before].marks and not self[after].marks:
            self._traces[after] = replace(self[after], marks=self[before].marks)

    def candidate(self, result: Tensor, module: nn.Module, dim: int | None) -> None:
        """The result of a softmax along `dim`, or of a function with which gates end."""
        along = None
        if dim is not None:
            sizes = [size if d == dim else 1 for d, size in enumerate(result.shape)]
            along = torch.arange(result.shape[dim], device=result.device).reshape(sizes).expand(result.shape)
        self._traces[result] = replace(self[result], module=module, along=along)

    def follow(self, name: str, func: Any, args: Any, kwargs: dict[str, Any], result: Any) -> None:
        """Traces the result of a function that forms no map."""
        given = [value for value in _flat((*args, *kwargs.values())) if isinstance(value, Tensor)]
        traces = [self[value] for value in given]
        results = [value for value in _flat((result,)) if isinstance(value, Tensor)]
        if all(trace.static for trace in traces):
            known = next((trace.name for trace in traces if trace.name), "")
            for one in results:
                self._traces[one] = Trace(static=True, name=known)
        elif name in MOVES and given:
            self._moved(name, func, args, kwargs, given[0], results)
        elif name in JOINS:
            self._joined(func, args, kwargs, traces, results[0])
        elif name in ELEMENTWISE and len(results) == 1:
            self._computed(name, given, traces, results[0])
        elif (name in NORMS or name in GRIDS) and given:
            self._placed(name, traces[0], given[0], results)

    def _moved(
        self, name: str, func: Any, args: Any, kwargs: dict[str, Any], tensor: Tensor, results: list[Tensor]
    ) -> None:
        before = self[tensor]
        codes = [mark.codes for mark in before.marks] + ([] if before.along is None else [before.along])
        try:
            parts = [_flat((moved(func, args, kwargs, tensor, one),)) for one in codes]
        except (RuntimeError, TypeError, ValueError, IndexError):  # of a form that codes have not: its places are lost
            parts = []
        fits = bool(parts) and all([p.shape for p in part] == [r.shape for r in results] for part in parts)
        count = len(before.marks)
        for number, result in enumerate(results):
            marks = tuple(
                Mark(part[number], mark.layout) for part, mark in zip(parts[:count], before.marks, strict=True)
            ) if fits else ()  # fmt: skip
            along = parts[-1][number] if fits and before.along is not None else None
            lost = before.along is not None and along is None
            part = before.part or (name in PARTS and result.numel() < tensor.numel())
            self._traces[result] = replace(
                before,
                marks=marks,
                along=along,
                module=None if lost else before.module,
                part=part,
                told=False,
                acts=None,
            )

    def _joined(self, func: Any, args: Any, kwargs: dict[str, Any], traces: list[Trace], result: Tensor) -> None:
        roots = frozenset().union(*(trace.roots for trace in traces))
        dim = kwargs.get("dim", kwargs.get("axis", args[1] if len(args) > 1 else 0))
        tensors = args[0] if args else kwargs["tensors"]
        marks = [trace.marks[0] if len(trace.marks) == 1 else None for trace in traces]
        mark = None
        if getattr(func, "__name__", "") == "stack":
            known = [one for one in marks if one is not None]
            if len(known) == len(marks) and all(one.layout is known[0].layout for one in known):
                mark = Mark(torch.stack([one.codes for one in known], dim), known[0].layout)
        elif result.dim() and all(value.dim() == result.dim() for value in tensors):
            names = [trace.name if trace.static else "" for trace in traces]
            mark = joined(marks, [value.shape for value in tensors], names, dim % result.dim())
        self._traces[result] = Trace(roots, marks=() if mark is None or mark.codes.shape != result.shape else (mark,))

    def _computed(self, name: str, given: list[Tensor], traces: list[Trace], result: Tensor) -> None:
        """An elementwise function of one tensor or of several."""
        whole = max(traces, key=lambda trace: len(trace.marks))
        marks = whole.marks
        if marks and marks[0].codes.shape != result.shape:
            full = [trace for trace in traces if trace.marks and trace.marks[0].codes.shape == result.shape]
            marks = full[0].marks if full else tuple(_grown(mark, result.shape) for mark in marks)
        roots = frozenset().union(*(trace.roots for trace in traces))
        new = Trace(roots, marks=marks, part=any(trace.part for trace in traces))
        maps = [(trace, value) for trace, value in zip(traces, given, strict=True) if trace.module is not None]
        others = [trace for trace in traces if trace.module is None and not trace.static]
        # Maps stay maps when they are scaled, masked, divided by their sum, dropped out or added to each other.
        stays = name in SAME or (name in SCALING and (not others or name == "div"))
        if maps and stays and (name != "div" or traces[0].module is not None):
            first = maps[0][0]
            if first.along is None or first.along.shape == result.shape:
                scaled = first.scaled or name not in SAME
                new = replace(new, module=first.module, along=first.along, scaled=scaled)
        self._traces[result] = new

    def _placed(self, name: str, before: Trace, tensor: Tensor, results: list[Tensor]) -> None:
        """A layer that mixes channels or neighbours: its result has a grid, its input's if that is as large."""
        for result in results:
            mark = before.marks[0] if len(before.marks) == 1 else None
            if mark is not None and result.shape == tensor.shape:
                new: Mark | None = mark
            elif mark is not None and result.shape[2:] == tensor.shape[2:] and result.dim() == tensor.dim():
                new = mark = Mark(mark.codes[:, :1].expand(result.shape), mark.layout)
            elif result.dim() in (4, 5) and result.shape[0] == self.batch:
                new = raster(result.shape, 2, result.device)
            else:
                new = None
            new_trace = Trace(self[result].roots, marks=() if new is None else (new,))
            if name in ("interpolate", "upsample") and before.along is None:  # a gate of a coarser grid
                new_trace = replace(before, marks=new_trace.marks, told=False, acts=None)
            self._traces[result] = new_trace

    def elementwise(
        self, before: Tensor | Trace, result: Tensor, *, fresh: bool = False, also: Trace | None = None
    ) -> None:
        """A function of one tensor, or of a tensor and its gate, that keeps every entry at its place."""
        trace = before if isinstance(before, Trace) else self[before]
        roots = frozenset([next(self._roots)]) if fresh and not trace.static else trace.roots
        if also is not None:
            roots |= also.roots
        marks = trace.marks if not trace.marks or trace.marks[0].codes.shape == result.shape else ()
        self._traces[result] = Trace(roots, trace.static, trace.name, marks, part=trace.part)

    def scaled(self, factors: list[Tensor], traces: list[Trace], result: Tensor) -> None:
        """A product element by element, of which no factor is a gate of the other."""
        if all(trace.static for trace in traces):
            self._traces[result] = Trace(static=True)
            return
        order = [0, 1] if traces[0].module is not None else [1, 0]
        maps = [at for at in order if traces[at].module is not None]
        self._computed("mul", [factors[at] for at in order], [traces[at] for at in order], result)
        alike = factors[0].shape == factors[1].shape
        unit = len(maps) == 2 and alike  # as in tanh(a) · σ(b)
        if unit or (len(maps) == 1 and not traces[1 - maps[0]].static):
            self._traces[result] = self[result].plain

    def turned(self, name: str, args: Sequence[Any], at: int) -> tuple[Mark, ...]:
        """The marks of a map in a matrix product: of its queries, then of its keys, which are summed over."""
        marks = self[args[at]].marks
        factors = [value for value in _flat(tuple(args)) if isinstance(value, Tensor)]
        letters = _product_letters(name, args, factors)
        if len(marks) != 2 or letters is None:
            return marks
        side = letters[next(number for number, factor in enumerate(factors[-2:]) if factor is args[at])]
        dims = [d for d, letter in enumerate(side) if letter not in letters[2]]
        in_rows, in_columns = (any(varies(cells_of(compact(mark.codes)), d) for d in dims) for mark in marks)
        return (marks[1], marks[0]) if in_rows and not in_columns else marks

    def multiplied(self, name: str, args: Sequence[Any], result: Tensor) -> None:
        """A matrix product: the rows of the result have the places of the first factor, its columns of the second."""
        factors = [value for value in _flat(tuple(args)) if isinstance(value, Tensor)]
        traces = [self[value] for value in factors]
        if all(trace.static for trace in traces):
            self._traces[result] = Trace(static=True, name=traces[0].name)
            return
        if name == "linear":
            if result.dim() == factors[0].dim():
                marks = tuple(Mark(mark.codes[..., :1].expand(result.shape), mark.layout) for mark in traces[0].marks)
                self._traces[result] = replace(self[result], marks=marks)
            return
        factors, traces = factors[-2:], traces[-2:]  # the first of three is added
        letters = _product_letters(name, args, factors)
        if letters is None or len(letters[2]) != result.dim():
            return
        marks = self._product_marks(factors, traces, letters, result)
        if marks:
            self._traces[result] = replace(self[result], marks=marks)

    def _product_marks(
        self, factors: list[Tensor], traces: list[Trace], letters: tuple[str, str, str], result: Tensor
    ) -> tuple[Mark, ...]:
        *sides, out = letters
        summed = (set(sides[0]) & set(sides[1])) - set(out)
        kept: list[Mark | None] = [None, None]
        for at, (trace, side) in enumerate(zip(traces, sides, strict=True)):
            marks = list(trace.marks)
            if len(marks) == 2:  # a map: what it sums over is gone
                dims = [side.index(letter) for letter in summed]
                left = [mark for mark in marks if not any(varies(cells_of(compact(mark.codes)), d) for d in dims)]
                return (through_product((left or marks)[0], side, out, result.shape),)
            if marks:
                kept[at] = through_product(marks[0], side, out, result.shape)
        for at, trace in enumerate(traces):
            other = traces[1 - at]
            free = [x for x in sides[at] if x in out and x not in sides[1 - at]]
            if kept[at] is None and trace.static and factors[at].dim() > 2 and len(free) == 1 and other.marks:
                mark = tokens_beside(other.marks[0], factors[at].shape, sides[at].index(free[0]), trace.name)
                kept[at] = through_product(mark, sides[at], out, result.shape)
        return tuple(mark for mark in kept if mark is not None)

    def scores(
        self, query: Trace, key: Trace, q: torch.Size, k: torch.Size, shape: torch.Size
    ) -> tuple[Mark | None, Mark | None]:
        """The marks of the rows and columns of `q kᵀ`."""
        sides = []
        for at, (trace, size) in enumerate(((query, q), (key, k))):
            other = (key, query)[at]
            mark = trace.marks[0] if len(trace.marks) == 1 else None
            if mark is None and trace.static and len(other.marks) == 1:
                mark = tokens_beside(other.marks[0], size, len(size) - 2, trace.name)
            if mark is None:
                return None, None
            codes = mark.codes[..., :1]
            sides.append(Mark((codes if at == 0 else codes.mT).expand(shape), mark.layout))
        return sides[0], sides[1]


def einsum_letters(dims: int) -> tuple[str, str]:
    """The letters of a map and of the product by it, as for `… Q K, … K d -> … Q d`."""
    batch = "abcdefgh"[: dims - 2]
    return batch + "qk", batch + "qv"


def _product_letters(name: str, args: Sequence[Any], factors: Sequence[Tensor]) -> tuple[str, str, str] | None:
    """The letters of the two factors of a matrix product and of its result; None where they are not known."""
    if name == "linear" or len(factors) < 2:
        return None
    first, second = (factor.dim() for factor in factors[-2:])
    if name != "einsum":
        batch = "abcdefgh"[: max(first, second) - 2]
        sides = batch[len(batch) - first + 2 :] + "qk", batch[len(batch) - second + 2 :] + "kv"
        return (*sides, batch + "qv") if min(first, second) >= 2 else None
    if not isinstance(args[0], str) or "." in args[0] or len(factors) != 2:
        return None
    given, arrow, out = args[0].replace(" ", "").partition("->")
    parts = given.split(",")
    single = all(len(set(part)) == len(part) for part in (*parts, out))
    return (parts[0], parts[1], out) if arrow and len(parts) == 2 and single else None


def _grown(mark: Mark, shape: torch.Size) -> Mark:
    """The mark of a tensor that is broadcast to a shape."""
    return mark.expanded(torch.broadcast_shapes(mark.codes.shape, shape))


def _flat(values: tuple[Any, ...]) -> list[Any]:
    found: list[Any] = []
    for value in values:
        found.extend(_flat(tuple(value)) if isinstance(value, (tuple, list)) else [value])
    return found
