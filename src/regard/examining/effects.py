"""Whether a map matters: the change of the output and the loss when it is replaced, and what it costs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from torch import Tensor

from regard.core import Formed
from regard.examining.evidence import Evidence, Unasked, outputs_of
from regard.examining.findings import Measured, shown
from regard.examining.seen import Seen, seeable
from regard.ops.seeds import seeded
from regard.watching import listen

STILL = 1e-4  # relative change of the output, for a relative change of 1 of the map, below which the map is ignored
UNMOVED = 1e-5  # relative change of a map that is rounding
ROUNDS = 3  # timed passes


@dataclass(frozen=True)
class Effect:
    """What replacing one map changes.

    Args:
        even: relative change of the output when the map is even: its rows, or the gate at its mean.
        mean: the same when it is the mean of the maps of all images.
        loss: change of the loss when it is even; NaN where no loss is known.
        share: the larger change of the output beside the relative change of the map itself.
        later: `share` after a few steps of the parameters, where it was next to nothing; else NaN.
    """

    even: float
    mean: float
    loss: float
    share: float
    later: float = math.nan

    @property
    def wakes(self) -> bool:
        """Whether learning brings the map to the output: from nothing at all to something, or to ten times as much."""
        return self.later > (max(10 * self.share, STILL / 10) if self.share else 0)


Edit = Callable[[Tensor], Tensor]


def effects(evidence: Evidence) -> dict[str, Effect | str]:
    """The effect of each map, or why it has none that can be measured."""
    before = evidence.whole
    lost = evidence.lost
    found: dict[str, Effect | str] = {}
    for seen in evidence.seen:
        if seen.kind == "values":
            found[seen.key] = "it is of no weights and no gate"
            continue
        edits = _edits(seen)
        try:
            changed = {name: _edited(evidence, seen, edit, before) for name, edit in edits.items()}
        except Unasked as reason:
            found[seen.key] = str(reason)
            continue
        if all(one.moved < UNMOVED for one in changed.values()):
            edits["another"] = _another(seen)
            changed["another"] = _edited(evidence, seen, edits["another"], before)
        shares = [one.out / one.moved for one in changed.values() if one.moved >= UNMOVED]
        if not shares:
            found[seen.key] = "no edit changes it"
            continue
        later = math.nan
        if max(shares) < STILL:
            later = _later(evidence, seen, edits)
        even, mean = changed["even"], changed["mean"]
        found[seen.key] = Effect(even.out, mean.out, even.loss - lost, max(shares), later)
    return found


def _edits(seen: Seen) -> dict[str, Edit]:
    """The map made even, and the mean of all images; what a mask hides stays hidden."""
    axes = seen.axes
    over = axes or tuple(range(1, len(seen.letters)))

    def even(map: Tensor) -> Tensor:
        if not axes:
            return map.mean(over, keepdim=True).expand_as(map)
        visible = seeable(map)
        return visible * (map.sum(over, keepdim=True) / visible.sum(over, keepdim=True).clamp_min(1))

    def mean(map: Tensor) -> Tensor:
        return map.mean(0, keepdim=True).expand_as(map)

    return {"even": even, "mean": mean}


def _another(seen: Seen) -> Edit:
    """Another map, for one that is even and the same for all images: half the gate, or all weight on one key."""
    axes = seen.axes

    def another(map: Tensor) -> Tensor:
        if not axes:
            return map / 2
        last = map.movedim(axes, tuple(range(-len(axes), 0)))
        flat = last.flatten(-len(axes))
        first = seeable(flat).to(torch.uint8).argmax(-1, keepdim=True)
        moved = torch.zeros_like(flat).scatter(-1, first, flat.sum(-1, keepdim=True))
        return moved.reshape(last.shape).movedim(tuple(range(-len(axes), 0)), axes)

    return another


class _Replacing:
    """A listener that replaces one map, and measures how much that changes it."""

    def __init__(self, key: str, edit: Edit) -> None:
        self.key, self.edit = key, edit
        self.moved, self.acts = 0.0, True

    def __call__(self, formed: Formed) -> Tensor | None:
        if formed.key != self.key:
            return None
        if not formed.acts:
            self.acts = False
            return None
        other = self.edit(formed.map)
        norm = formed.map.double().norm().clamp_min(1e-30)
        self.moved = max(self.moved, float((other - formed.map).double().norm() / norm))
        return other


@dataclass(frozen=True)
class _Edited:
    """A pass with one map replaced: the relative changes of the outputs and of the map, and the loss."""

    out: float
    moved: float
    loss: float


def _edited(evidence: Evidence, seen: Seen, edit: Edit, before: list[Tensor], *, stepped: bool = False) -> _Edited:
    """Makes a pass with one map replaced.

    Raises: Unasked if the map is shown only.
    """
    listener = _Replacing(seen.key, edit)
    with torch.no_grad(), seeded(0), listen(evidence.model, listener, foreign=seen.foreign, edits=True):
        returned = evidence.stepped() if stepped else evidence.given.call(evidence.model)
        loss = math.nan if evidence.loss is None else float(evidence.loss(returned))
    if not listener.acts and listener.moved == 0:
        raise Unasked("it is shown only")
    return _Edited(change(outputs_of(returned), before), listener.moved, loss)


def _later(evidence: Evidence, seen: Seen, edits: Mapping[str, Edit]) -> float:
    """The share after a few steps of the parameters; NaN if no step can be made."""
    try:
        before = evidence.stepped_outputs
    except Unasked:
        return math.nan
    for edit in edits.values():
        one = _edited(evidence, seen, edit, before, stepped=True)
        if one.moved >= UNMOVED:
            return one.out / one.moved
    return 0.0


def change(seen: list[Tensor], before: list[Tensor]) -> float:
    """The relative change of outputs, the largest of several; infinite if one is not finite or of another shape."""
    found = 0.0
    for one, other in zip(seen, before, strict=True):
        if one.shape != other.shape:
            return math.inf
        moved = float((one - other).double().norm() / other.double().norm().clamp_min(1e-30))
        found = max(found, math.inf if math.isnan(moved) else moved)
    return found


def ignored(evidence: Evidence) -> Iterator[Measured]:
    """The share of each map's change that reaches the output, those left out that learning wakes."""
    yield from _still(evidence, woken=False)


def asleep(evidence: Evidence) -> Iterator[Measured]:
    """The same of maps that reach the output after a few steps."""
    yield from _still(evidence, woken=True)


def _still(evidence: Evidence, *, woken: bool) -> Iterator[Measured]:
    for seen in evidence.seen:
        effect = evidence.effects[seen.key]
        if isinstance(effect, Effect) and (effect.share < STILL and effect.wakes) == woken:
            yield Measured(effect.share, seen.module, seen.map, _costs(evidence, seen))


def harmless(evidence: Evidence) -> Iterator[Measured]:
    """The relative rise of the loss when a map is even that does reach the output.

    Raises: Unasked without a loss.
    """
    if evidence.loss is None:
        raise Unasked("no loss is given")
    for seen in evidence.seen:
        effect = evidence.effects[seen.key]
        if isinstance(effect, Effect) and effect.share >= STILL and not seen.constant:
            detail = f"the output changes by {shown(effect.even)}; {_costs(evidence, seen)}"
            yield Measured(effect.loss / max(abs(evidence.lost), 1e-12), seen.module, seen.map, detail)


def _costs(evidence: Evidence, seen: Seen) -> str:
    spent, held = evidence.costs[seen.key]
    return f"its module takes {100 * spent:.0f} % of the time, the map {100 * held:.0f} % of the memory of a pass"


def costs(evidence: Evidence) -> dict[str, tuple[float, float]]:
    """For each map the share of a pass's time in its module, and its share of the bytes of all outputs and maps."""
    modules = {seen.module: evidence.model.get_submodule(seen.module) for seen in evidence.seen if seen.module}
    layers = {name: one for name, one in evidence.model.named_modules() if not any(True for _ in one.children())}
    spent: dict[str, list[float]] = {name: [] for name in modules}
    wholes: list[float] = []
    started: dict[str, float] = {}
    held = 0

    def enter(name: str) -> Callable[..., None]:
        return lambda *_: started.__setitem__(name, time.perf_counter())

    def leave(name: str) -> Callable[..., None]:
        return lambda *_: spent[name].append(time.perf_counter() - started[name])

    def weigh(module: Any, inputs: Any, out: Any) -> None:
        nonlocal held
        held += sum(one.numel() * one.element_size() for one in outputs_of(out))

    handles = [one.register_forward_hook(weigh) for one in layers.values()]
    evidence.plain()
    for handle in handles:
        handle.remove()
    handles = [one.register_forward_pre_hook(enter(name)) for name, one in modules.items()]
    handles += [one.register_forward_hook(leave(name)) for name, one in modules.items()]
    try:
        for _ in range(ROUNDS):
            begun = time.perf_counter()
            evidence.plain()
            wholes.append(time.perf_counter() - begun)
    finally:
        for handle in handles:
            handle.remove()
    bytes_of = {
        seen.key: sum(one.numel() * one.element_size() for one in evidence.maps[seen.key]) for seen in evidence.seen
    }
    whole, total = median(wholes), held + sum(bytes_of.values())
    return {
        seen.key: (
            sum(spent.get(seen.module, ())) / ROUNDS / whole if seen.module else 1.0,
            bytes_of[seen.key] / max(1, total),
        )
        for seen in evidence.seen
    }
