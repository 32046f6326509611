"""The base class of every mechanism, and how its maps reach those who listen.

A mechanism calls `self.see(name, map)` where its map comes into being and uses what it returns. Where nobody listens
that costs one attribute test. Listeners are `regard.watch`, which records maps, and `regard.edit`, which changes them
(`regard.watching`). Forward hooks cannot do this job: registered after `torch.compile` they see nothing, silently.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal, cast

import torch
from torch import Tensor, nn

from regard import catalog

Grid = tuple[int, ...] | tuple[tuple[int, ...], ...]  # of a flattened axis: one grid, or several one after another
Way = Literal["see", "edited", "show"]  # the method of `Attention` through which a map came


class Attention(nn.Module):
    """A module whose attention can be watched: the base class of every mechanism.

        class Gate(regard.Attention):
            maps = {"gate": "B C 1 1"}

            def __init__(self, channels):
                super().__init__()
                self.score = torch.nn.Linear(channels, channels)

            def forward(self, x):
                gate = self.score(x.mean((2, 3))).sigmoid()[:, :, None, None]
                return x * self.see("gate", gate)

        regard.attach(model, Gate)

    A subclass calls `self.see(name, map)` for each map that it forms, and declares the axes of its maps in `maps`; for
    a class in the catalogue the label declares them. A subclass with a fused path that never forms the map asks
    `self.watched` once and takes the explicit path when it is true.

    Attributes:
        maps: name of each map -> its axes.
        sums: name of a map -> the axes over which it sums to 1, if it does: `{"affinity": "K"}`.
        watcher: the function that gets each map while somebody listens, else None.
    """

    maps: ClassVar[Mapping[str, str]] = {}
    sums: ClassVar[Mapping[str, str]] = {}
    watcher: Callable[[Attention, str, Tensor, Mapping[str, Grid], Way], Tensor] | None = None

    @property
    def watched(self) -> bool:
        """Whether somebody listens: then every declared map has to be formed."""
        return self.watcher is not None

    def see(self, name: str, map: Tensor, **grids: Grid) -> Tensor:
        """Shows `map` and returns the map that acts: what edits make of it, else `map` itself.

        Args:
            name: the map's name in the label.
            map: the attention weights.
            grids: for each axis that flattens a grid, its letter and the grid: `Q=(H, W)`; of an axis that holds
                several grids one after another, all of them: `S=((1, 1), (3, 3))`.
        """
        return map if self.watcher is None else self.watcher(self, name, map, grids, "see")

    def edited(self, name: str, map: Tensor, **grids: Grid) -> Tensor:
        """Applies the edits to a part of a map, as of one step; `show` records the whole map when all parts have acted.

        Args:
            name: the map's name in the label.
            map: the part, with all axes of the map, of which that of the steps has size 1.
            grids: as for `see`.
        """
        return map if self.watcher is None else self.watcher(self, name, map, grids, "edited")

    def show(self, name: str, map: Tensor, **grids: Grid) -> None:
        """Shows a map that no edit can change: its parts have acted, or it does not act.

        Args:
            name, map, grids: as for `see`.
        """
        if self.watcher is not None:
            self.watcher(self, name, map, grids, "show")

    def __getstate__(self) -> dict[str, object]:
        """The state for copies and pickles, to which nobody listens."""
        return {name: value for name, value in self.__dict__.items() if name != "watcher"}


def grids_of(grid: Grid) -> tuple[tuple[int, ...], ...]:
    """The grids of a flattened axis: one, or several one after another."""
    several = bool(grid) and isinstance(grid[0], tuple)
    return cast("tuple[tuple[int, ...], ...]", grid if several else (grid,))


class Maps(dict[str, list[Tensor]]):
    """The recorded maps: `"path.of.module/map"` -> one tensor per look, oldest first.

    Attributes:
        axes: the same keys -> the map's axes, for example `"B 1 H W"`.
        grids: the same keys -> for each flattened axis its letter and grid, for example `{"Q": (14, 14)}`. Tokens in
            front of a grid are grids of one cell: `{"Q": ((1, 1), (14, 14))}`.
        tokens: the same keys -> letter of an axis -> the names of such tokens, for example `{"Q": ("class",)}`.
        places: keys of attention within windows, of axes `B h Q X` -> where the keys of each query lie: `Q X` indices
            into the grid of K, row by row; -1 where a window reaches over the edge of the image.
        sums: the same keys -> the letters of the axes over which the map sums to 1, for example `"K"`; `""` of a gate.
        foreign: the keys of maps that no `Attention` formed.
        words: letter of an axis of words, `L` of a network's own and `T` of those it reads -> the words of each sample
            in the batch. A network sees numbers only: whoever knows the words sets them, and `draw` writes them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.axes: dict[str, str] = {}
        self.grids: dict[str, Mapping[str, Grid]] = {}
        self.tokens: dict[str, Mapping[str, Sequence[str]]] = {}
        self.places: dict[str, Tensor] = {}
        self.sums: dict[str, str] = {}
        self.foreign: set[str] = set()
        self.words: dict[str, Sequence[Sequence[str]]] = {}


def declared_maps(module: Attention) -> Mapping[str, str]:
    """Map name -> axes, as the class or its label declares them, over all options."""
    return {name: axes for maps, _ in reversed(_declarations(module)) for name, axes in maps.items()}


def _label(module: Attention) -> catalog.Entry | None:
    return catalog.labels_by_class().get((type(module).__module__, type(module).__qualname__))


def _declarations(module: Attention) -> list[tuple[Mapping[str, str], Mapping[str, str]]]:
    """The maps and their sums as the class declares them, or its label under each setting, the default first."""
    if module.maps:
        return [(module.maps, module.sums)]
    label = _label(module)
    return [] if label is None else [(setting.maps or {}, setting.sums or {}) for setting in label.settings]


def only_shown(module: Attention) -> frozenset[str]:
    """Names of the maps that only show what the module computes, under every setting that has them."""
    label = None if module.maps else _label(module)
    if label is None:
        return frozenset()
    acting = {name for setting in label.settings for name in setting.maps or {} if name not in (setting.shown or ())}
    return frozenset(declared_maps(module)) - acting


def axes_of(module: Attention, name: str, map: Tensor) -> str:
    """The axes declared for a map; of several declarations, as for images and for video, the first that fits its shape.

    A number in a label may be one that the constructor's arguments set: where the map has another, it is some size `M`.
    """
    ranked = _ranked(module, name, map)
    if not ranked or len(ranked[0][0]) != map.ndim:
        return " ".join(ranked[0][0]) if ranked else ""
    sizes = zip(ranked[0][0], map.shape, strict=True)
    return " ".join("M" if part.isdigit() and int(part) not in (1, size) else part for part, size in sizes)


def _ranked(module: Attention, name: str, map: Tensor) -> list[tuple[list[str], str]]:
    """The axes and sums declared for a map, those first that fit its shape best."""
    declared = [(maps[name].split(), sums.get(name, "")) for maps, sums in _declarations(module) if name in maps]
    return sorted(
        declared, key=lambda one: (len(one[0]) != map.ndim, _misfits(one[0], map))
    )  # stable: the default first


def _misfits(axes: list[str], map: Tensor) -> int:
    """The number of sizes in the axes that differ from the map's."""
    return sum(part.isdigit() and int(part) != size for part, size in zip(axes, map.shape, strict=False))


def sums_of(module: Attention, name: str, map: Tensor) -> str:
    """The axes over which a map sums to 1; empty of a gate.

    Settings of one class may differ in this alone, as softmax and sigmoid do: then the map itself says which it is.
    """
    ranked = [one for one in _ranked(module, name, map) if len(one[0]) == map.ndim]
    best = [one for one in ranked if _misfits(one[0], map) == _misfits(ranked[0][0], map)]
    for axes, sums in dict.fromkeys((tuple(axes), sums) for axes, sums in best):
        dims = summed(" ".join(axes), sums)
        if len({sums for _, sums in best}) == 1 or (dims and _sums_to_one(map, dims)):
            return " ".join("M" if axes[i].isdigit() and int(axes[i]) != map.shape[i] else axes[i] for i in dims)
    return ""


def summed(axes: str, sums: str) -> tuple[int, ...]:
    """The dimensions of the axes over which a map sums to 1; of a letter that stands twice, the last.

    summed("B h Q K", "K")  # (3,)
    """
    parts = axes.split()
    return tuple(len(parts) - 1 - parts[::-1].index(part) for part in sums.split())


def _sums_to_one(map: Tensor, dims: tuple[int, ...]) -> bool:
    """Tells whether a map sums to 1, or to 0 where there is nothing to attend to."""
    total = map.detach().to(torch.promote_types(map.dtype, torch.float32)).sum(dims)
    near = 0.02 if map.dtype.itemsize < 4 else 1e-4
    return bool(((total - 1).abs() < near).logical_or(total == 0).all() and (total > 0).any())


@dataclass(frozen=True)
class Formed:
    """A map that a module has just formed, as listeners get it.

    Attributes:
        key: `"path.of.module/map"`, the path in the model that is listened to.
        map: the map as the edits before made it, in the graph of gradients.
        axes, grids, tokens, places, sums, foreign: as in `Maps`.
        acts: whether an edit changes what the module computes; if not, the map is only shown.
    """

    key: str
    map: Tensor
    axes: str
    grids: Mapping[str, Grid]
    sums: str = ""
    tokens: Mapping[str, Sequence[str]] = field(default_factory=dict)
    places: Tensor | None = None
    foreign: bool = False
    acts: bool = True


Listener = Callable[[Formed], Tensor | None]


class NothingSeen(ValueError):
    """A model has no attention that can be watched."""


@contextmanager
def listening(paths: Mapping[nn.Module, str], listener: Listener, *, edits: bool = False) -> Iterator[None]:
    """Passes each map that one of the modules forms to `listener` while the block runs.

    Blocks nest in one thread, also those that listen to the same modules: all listeners that edit come first, in the
    order in which they were entered, then the others, which get the map that acts. A second thread that wants to listen
    to one of the modules waits; passes that other threads make meanwhile are not heard. Compiled code runs eagerly.

    Args:
        paths: module -> its path in the model.
        listener: gets a `Formed`.
        edits: the map that `listener` returns, if it returns one, acts instead of the one that it got; otherwise it is
            not used.
    """
    claim = _Claim(paths, listener, edits)
    _take(claim)
    try:
        yield
    finally:
        _release(claim)


def tell(module: nn.Module, formed: Formed, way: Way = "see") -> Tensor:
    """Tells every listener of this thread of a map, whose `key` is its name alone, and returns the map that acts."""
    map = formed.map
    here = [claim for claim in tuple(_claims) if claim.mine and module in claim.paths]
    for claim in sorted(here, key=lambda claim: not claim.edits):
        if way == "edited" and not claim.edits:
            break
        path = claim.paths[module]
        answer = claim.listener(replace(formed, key=f"{path}/{formed.key}" if path else formed.key, map=map))
        if answer is not None and claim.edits and formed.acts:
            map = answer
    return map


def _tell(module: Attention, name: str, map: Tensor, grids: Mapping[str, Grid], way: Way) -> Tensor:
    """The `watcher` of a mechanism to which somebody listens."""
    axes, sums = axes_of(module, name, map), sums_of(module, name, map)
    return tell(module, Formed(name, map, axes, grids, sums, acts=way != "show"), way)


@contextmanager
def eager() -> Iterator[None]:
    """Runs compiled code eagerly inside the block, in the whole process, so that hooks of now are heeded."""
    claim = _Claim({})
    _take(claim)
    try:
        yield
    finally:
        _release(claim)


class _Thread:
    """Stands for a thread and ends with it. An identifier would not do: a later thread may get the same."""


_here = threading.local()


def _this_thread() -> _Thread:
    if not hasattr(_here, "thread"):
        _here.thread = _Thread()
    thread: _Thread = _here.thread
    return thread


class _Claim:
    """The right of one thread to listen to modules, until it is released or the thread has ended."""

    def __init__(
        self, paths: Mapping[nn.Module, str], listener: Listener = lambda _: None, edits: bool = False
    ) -> None:
        self.paths = dict(paths)
        self.listener = listener
        self.edits = edits
        self.thread = weakref.ref(_this_thread())

    @property
    def mine(self) -> bool:
        return self.thread() is _this_thread()


_claims: list[_Claim] = []
_claims_change = threading.Condition()
_eager = ExitStack()  # while there is a claim, compiled code runs eagerly: the stance is global to the process


def _take(claim: _Claim) -> None:
    """Claims all modules at once, so that two overlapping listeners cannot deadlock; waits for other threads."""
    with _claims_change:
        while True:
            for other in [other for other in _claims if other.thread() is None]:
                _release(other)
            if all(other.mine or claim.paths.keys().isdisjoint(other.paths) for other in _claims):
                break
            _claims_change.wait(timeout=0.5)  # a thread that ends inside its block notifies nobody
        if not _claims:
            # Left only by the last claim, since stances have to be left in the reverse order of entering.
            _eager.enter_context(torch.compiler.set_stance("force_eager"))
        _claims.append(claim)
        for module in claim.paths:
            if isinstance(module, Attention):
                module.watcher = _tell


def _release(claim: _Claim) -> None:
    """Ends a claim; nothing happens if it has ended, as that of a thread that ended before its block did."""
    with _claims_change:
        if claim not in _claims:
            return
        _claims.remove(claim)
        for module in claim.paths:
            if not any(module in other.paths for other in _claims):
                module.__dict__.pop("watcher", None)
        if not _claims:
            _eager.close()
        _claims_change.notify_all()
