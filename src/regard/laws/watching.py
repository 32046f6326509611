"""Laws of watching and editing: which maps a module shows, and that it computes with those that `see` returns."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn

from regard.core import Attention, Formed, Maps, grids_of, summed
from regard.laws.subject import Broken, Subject, fits, loss, outputs_of, same, shape_of
from regard.watching import listen, watch
from regard.watching.axes import renormalised

DRAWS = 4  # of parameters: in one of them a rectifier may shut a map off
LARGER = 1e9  # another gate in each of them: maps of noise that are added up may lie many orders apart


@dataclass(frozen=True, eq=False)
class _Run:
    """One pass without and one with `watch`, of the same module and inputs."""

    module: nn.Module
    inputs: list[Tensor]
    plain: list[Tensor]
    watched: list[Tensor]
    maps: Maps


@lru_cache(maxsize=1)  # the laws of this file follow each other, and look at the same passes
def _run(subject: Subject) -> _Run | None:
    """None if nothing in the module can be watched."""
    module, inputs = subject.module(), subject.tensors()
    if not any(isinstance(part, Attention) for part in module.modules()):
        return None
    return _passes(module, inputs)


def _passes(module: nn.Module, inputs: list[Tensor]) -> _Run:
    plain = outputs_of(module(*inputs))
    with watch(module, foreign=False) as maps:
        watched = outputs_of(module(*inputs))
    return _Run(module, inputs, plain, watched, maps)


def watched_equals_unwatched(subject: Subject) -> None:
    """Outputs are the same while the module is watched."""
    run = _run(subject)
    if run is not None:
        given = shape_of(run.inputs)
        same("watched_equals_unwatched", subject, given, run.watched, run.plain, "the same output while watched")


def shows_declared_maps(subject: Subject) -> None:
    """The module shows exactly the declared maps, with the declared axes and sums and finite values."""
    if subject.maps is None:
        return
    run = _run(subject)
    if run is None:
        if not subject.maps:
            return
        raise Broken("shows_declared_maps", subject.name, shape_of(subject.tensors()),
                     "no regard.core.Attention in it",
                     f"maps {sorted(subject.maps)} to be shown through Attention.see")  # fmt: skip
    given, maps = shape_of(run.inputs), run.maps
    seen = {_name(key) for key in maps}
    if seen != set(subject.maps):
        raise Broken("shows_declared_maps", subject.name, given, f"maps {sorted(seen)}", f"{sorted(subject.maps)}")
    known = {**subject.known(), "C": subject.channels}
    for key, looks in maps.items():
        axes = subject.maps[_name(key)]
        for look in looks:
            if not fits(look.shape, axes, known) or not look.isfinite().all():
                raise Broken("shows_declared_maps", subject.name, given, f"map {key} {tuple(look.shape)}",
                             f"finite {axes}")  # fmt: skip
        for letter, grid in maps.grids.get(key, {}).items():
            size = looks[0].shape[axes.split().index(letter)]
            if sum(map(math.prod, grids_of(grid))) != size:
                seen_grid = f"{key} {letter} = {size}, grid {grid}"
                raise Broken("shows_declared_maps", subject.name, given, seen_grid, "a grid of that size")
        if subject.sums is not None:
            declared, found = subject.sums.get(_name(key), ""), maps.sums[key]
            dims = summed(axes, declared)
            if not _sums_hold(looks, dims) or (
                dims != summed(maps.axes[key], found) and any(map.any() for map in looks)
            ):
                raise Broken("shows_declared_maps", subject.name, given, f"{key} {axes}, sums {found!r} while watched",
                             f"sums of 1 over {declared!r}, as declared")  # fmt: skip


def _sums_hold(looks: Sequence[Tensor], dims: tuple[int, ...]) -> bool:
    """Whether every map sums to 1 over the dimensions, or to 0."""
    totals = [look.double().sum(dims) for look in looks] if dims else []
    return all((((total - 1).abs() < 1e-4) | (total.abs() < 1e-4)).all() for total in totals)


def edits_act(subject: Subject) -> None:
    """A map changed to itself changes nothing; another map gives another output, of which the edit gets a gradient.

    Of a map that is declared to be shown only no edit is asked for.
    """
    run = _run(subject)
    if run is None or not run.maps:
        return
    given, keys = shape_of(run.inputs), set(run.maps)
    with _edited(run, keys, None) as formed:
        again = run.module(*run.inputs)
    same("edits_act", subject, given, again, run.watched, "the same output with each map as it is", tolerance=0)
    for key in sorted(keys if subject.shown is not None else ()):
        if formed[key] == (_name(key) in (subject.shown or ())):
            seen, wanted = ("acts", "only to be shown") if formed[key] else ("is only shown", "to act")
            raise Broken("edits_act", subject.name, given, f"{key} {seen}", f"it {wanted}, as declared")
    silent = {_name(key) for key in keys if formed[key]}
    for draw in range(DRAWS):
        if draw:
            run = _passes(subject.module(seed=draw, spread=draw < DRAWS - 1), subject.tensors())
        silent -= {name for name in sorted(silent) if _acts(subject, run, name, LARGER**draw)}
        if not silent:
            return
    raise Broken("edits_act", subject.name, given, f"the same output with another {min(silent)}", "another output")


def _acts(subject: Subject, run: _Run, name: str, size: float) -> bool:
    """Whether another map of this name gives another output.

    Raises: Broken if no gradient reaches the edit, or the edited map is not of the old shape and type.
    """
    share = torch.tensor(0.7, requires_grad=subject.soft)
    keys = {key for key in run.maps if _name(key) == name}
    with torch.enable_grad(), watch(run.module, foreign=False) as maps, _edited(run, keys, share, size):
        outputs = outputs_of(run.module(*run.inputs))
    for key in keys:
        kinds = [[(look.shape, look.dtype) for look in found.get(key, [])] for found in (maps, run.maps)]
        if kinds[0] != kinds[1]:
            raise Broken(
                "edits_act", subject.name, shape_of(run.inputs), f"{key} {kinds[0]}", f"as unedited {kinds[1]}"
            )
    if all(torch.equal(one, other) for one, other in zip(outputs, run.watched, strict=True)):
        return False
    if subject.soft:
        total = loss([one for one in outputs if one.is_floating_point()])
        if not total.requires_grad or torch.autograd.grad(total, share, allow_unused=True)[0] is None:
            raise Broken("edits_act", subject.name, shape_of(run.inputs), f"no gradient of the edit of {name}",
                         "a gradient")  # fmt: skip
    return True


@contextmanager
def _edited(run: _Run, keys: set[str], share: Tensor | None, size: float = 1.0) -> Iterator[Mapping[str, bool]]:
    """Edits maps: `share` of each is rolled, the rest a ramp; None leaves them as they are. Yields key -> it acts."""
    formed: dict[str, bool] = {}

    def listener(one: Formed) -> Tensor | None:
        formed[one.key] = formed.get(one.key, False) or one.acts
        if one.key not in keys or not one.acts:
            return None
        return one.map if share is None else _other(one.map, summed(one.axes, one.sums), share.to(one.map), size)

    with listen(run.module, listener, foreign=False, edits=True):
        yield formed


def _other(map: Tensor, dims: tuple[int, ...], share: Tensor, size: float) -> Tensor:
    """Another map with the same sums; of a row of one weight, with another sum, as no other map has the same."""
    if math.prod(map.shape[dim] for dim in dims) == 1:
        dims = ()
    rolled = map.roll([1] * (map.ndim - 1), list(range(1, map.ndim))) if map.ndim > 1 else map
    ramp = torch.linspace(0.1, 0.9, map.numel(), dtype=map.dtype, device=map.device).view(map.shape)
    return share * rolled + (1 - share) * (renormalised(ramp, dims) if dims else size * ramp)


def _name(key: str) -> str:
    return key.rpartition("/")[2]
