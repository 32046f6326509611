"""The base class of every mechanism, and `watch`, which records attention maps.

A mechanism calls `self.see(name, map)` where its map comes into being. Outside `watch` that costs one attribute test.
Forward hooks cannot do this job: registered after `torch.compile` they see nothing, silently.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from regard import catalog

Grid = tuple[int, ...] | tuple[tuple[int, ...], ...]  # of a flattened axis: one grid, or several one after another


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
        watcher: the function that gets each map while a `watch` is on, else None.
    """

    maps: ClassVar[Mapping[str, str]] = {}
    watcher: Callable[[Attention, str, Tensor, Mapping[str, Grid]], None] | None = None

    @property
    def watched(self) -> bool:
        """Whether a `watch` is on: then every declared map has to be formed."""
        return self.watcher is not None

    def see(self, name: str, map: Tensor, **grids: Grid) -> Tensor:
        """Shows `map` to the watcher, if there is one, and returns it.

        Args:
            name: the map's name in the label.
            map: the attention weights.
            grids: for each axis that flattens a grid, its letter and the grid: `Q=(H, W)`; of an axis that holds
                several grids one after another, all of them: `S=((1, 1), (3, 3))`.
        """
        if self.watcher is not None:
            self.watcher(self, name, map, grids)
        return map

    def edited(self, name: str, map: Tensor, **grids: Grid) -> Tensor:
        """What edits make of a part of a map, as of one step; `show` records the whole map when all parts have acted.

        Args:
            name: the map's name in the label.
            map: the part, with all axes of the map, of which that of the steps has size 1.
            grids: as for `see`.
        """
        return map

    def show(self, name: str, map: Tensor, **grids: Grid) -> None:
        """Shows a map that no edit can change: its parts have acted, or it does not act.

        Args:
            name, map, grids: as for `see`.
        """
        if self.watcher is not None:
            self.watcher(self, name, map, grids)

    def __getstate__(self) -> dict[str, object]:
        """The state for copies and pickles, which nobody watches."""
        return {name: value for name, value in self.__dict__.items() if name != "watcher"}


def grids_of(grid: Grid) -> tuple[tuple[int, ...], ...]:
    """The grids of a flattened axis: one, or several one after another."""
    several = bool(grid) and isinstance(grid[0], tuple)
    return cast("tuple[tuple[int, ...], ...]", grid if several else (grid,))


class Maps(dict[str, list[Tensor]]):
    """The recorded maps: `"path.of.module/map"` -> one tensor per look, oldest first.

    Attributes:
        axes: the same keys -> the map's axes, for example `"B 1 H W"`.
        grids: the same keys -> for each flattened axis its letter and grid, for example `{"Q": (14, 14)}`.
        words: letter of an axis of words, `L` of a network's own and `T` of those it reads -> the words of each sample
            in the batch. A network sees numbers only: whoever knows the words sets them, and `draw` writes them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.axes: dict[str, str] = {}
        self.grids: dict[str, Mapping[str, Grid]] = {}
        self.words: dict[str, Sequence[Sequence[str]]] = {}


def declared_maps(module: Attention) -> Mapping[str, str]:
    """Map name -> axes, as the class or its label declares them, over all options."""
    return {name: axes for maps in reversed(_declarations(module)) for name, axes in maps.items()}


def _declarations(module: Attention) -> list[Mapping[str, str]]:
    """The maps that the class declares, or that its label declares under each setting, the default first."""
    if module.maps:
        return [module.maps]
    label = catalog.labels_by_class().get((type(module).__module__, type(module).__qualname__))
    return [] if label is None else [setting.maps or {} for setting in label.settings]


def axes_of(module: Attention, name: str, map: Tensor) -> str:
    """The axes declared for a map; of several declarations, as for images and for video, the first that fits its shape.

    A number in a label may be one that the constructor's arguments set: where the map has another, it is some size `M`.
    """
    declared = [maps[name].split() for maps in _declarations(module) if name in maps]
    ranked = sorted(
        declared, key=lambda axes: (len(axes) != map.ndim, _misfits(axes, map))
    )  # stable: the default first
    if not ranked or len(ranked[0]) != map.ndim:
        return " ".join(ranked[0]) if ranked else ""
    sizes = zip(ranked[0], map.shape, strict=True)
    return " ".join("M" if part.isdigit() and int(part) not in (1, size) else part for part, size in sizes)


def _misfits(axes: list[str], map: Tensor) -> int:
    """The number of sizes in the axes that differ from the map's."""
    return sum(part.isdigit() and int(part) != size for part, size in zip(axes, map.shape, strict=False))


@contextmanager
def watch(model: nn.Module, *, keep_graph: bool = False) -> Iterator[Maps]:
    """Records every attention map that `model` forms while the block runs.

        with regard.watch(model) as maps:
            model(images)
        maps["layer4.1.bn2.attention/channel"][0].shape  # B C 1 1
        maps.axes["layer4.1.bn2.attention/channel"]  # "B C 1 1"

    A compiled model runs eagerly inside the block. A second thread that wants to watch a module already being watched
    waits; passes that other threads make meanwhile are not recorded. Copies and pickles of the model that are made
    inside the block are not watched.

    Args:
        model: any module with at least one `Attention` inside (or itself one).
        keep_graph: keep the maps in the autograd graph, for losses on maps; otherwise they are detached.

    Yields:
        `Maps`, filled as the model runs: `{"layer4.1.bn2.attention/channel": [Tensor, ...]}`.

    Raises:
        ValueError: nothing in `model` can be watched.
        RuntimeError: this thread already watches one of its modules.
    """
    names = {
        module: ".".join(part for part in name.split(".") if part != "_orig_mod")
        for name, module in model.named_modules()
        if isinstance(module, Attention)
    }
    if not names:
        raise ValueError(
            f"{type(model).__name__} has no attention to watch: none of its {sum(1 for _ in model.modules())} modules "
            f"is a regard.Attention; regard.attach(model, name) adds one"
        )
    maps = Maps()
    claim = _Claim(names)

    def record(module: Attention, name: str, map: Tensor, grids: Mapping[str, Grid]) -> None:
        if not claim.mine:
            return
        key = f"{names[module]}/{name}" if names[module] else name
        maps.setdefault(key, []).append(map if keep_graph else map.detach())
        maps.axes[key] = axes_of(module, name, map)
        if grids:
            maps.grids[key] = grids

    _take(claim)
    try:
        for module in names:
            module.watcher = record
        yield maps
    finally:
        _release(claim)


@contextmanager
def eager() -> Iterator[None]:
    """Runs compiled code eagerly inside the block, in the whole process, so that hooks of now are heeded."""
    claim = _Claim(())
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
    """The right of one thread to watch modules, until it is released or the thread has ended."""

    def __init__(self, modules: Iterable[Attention]) -> None:
        self.modules = tuple(modules)
        self.thread = weakref.ref(_this_thread())

    @property
    def mine(self) -> bool:
        return self.thread() is _this_thread()


_claims: list[_Claim] = []
_claims_change = threading.Condition()
_eager = ExitStack()  # while there is a claim, compiled code runs eagerly: the stance is global to the process


def _take(claim: _Claim) -> None:
    """Claims all modules at once, so that two overlapping watchers cannot deadlock; waits for other threads.

    Raises: RuntimeError if this thread watches one of the modules already.
    """
    wanted = set(claim.modules)
    with _claims_change:
        while True:
            for other in [other for other in _claims if other.thread() is None]:
                _release(other)
            overlapping = [other for other in _claims if not wanted.isdisjoint(other.modules)]
            if any(other.mine for other in overlapping):
                raise RuntimeError("this thread already watches this model; use the maps of the outer watch()")
            if not overlapping:
                break
            _claims_change.wait(timeout=0.5)  # a thread that ends inside its block notifies nobody
        if not _claims:
            # Left only by the last claim, since stances have to be left in the reverse order of entering.
            _eager.enter_context(torch.compiler.set_stance("force_eager"))
        _claims.append(claim)


def _release(claim: _Claim) -> None:
    """Ends a claim; nothing happens if it has ended, as that of a thread that ended before its block did."""
    with _claims_change:
        if claim not in _claims:
            return
        _claims.remove(claim)
        for module in claim.modules:
            module.__dict__.pop("watcher", None)
        if not _claims:
            _eager.close()
        _claims_change.notify_all()
