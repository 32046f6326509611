"""Edits as a page asks for them, as edits of `regard.edits`, and as the code that makes them.

    {"key": "layer4.1.bn2.attention/spatial", "kind": "scale", "value": 0.5}

A page names photographs by their ids, and paints masks as a list of cells; everything else is plain numbers.
"""

from __future__ import annotations

import glob
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from regard.checks import number, whole
from regard.core import Maps
from regard.data.images import Source
from regard.saved.opening import Network
from regard.serving.seeing import seen
from regard.watching import edits, watch
from regard.watching.axes import Shown
from regard.watching.edits import Edit

CELLS = 2**16  # of a painted mask


@dataclass(frozen=True)
class Moved(Edit):
    """A point that is looked at, or the box that is, at another place in one step.

        Moved(step=1, x=-0.3, y=0.5)  # the second look, at this place in [-1, 1]

    Args:
        step: the number of the step, from 0.
        x, y: the place, from -1 (left, top) to 1 (right, bottom); of a box its centre.
    """

    step: int
    x: float
    y: float

    def __post_init__(self) -> None:
        whole("step", self.step, 0)
        number("x", self.x, least=-1, most=1)
        number("y", self.y, least=-1, most=1)

    def made(self, map: Tensor, shown: Shown) -> Tensor:
        if map.dim() != 3 or map.shape[2] not in (2, 4):
            raise ValueError(f"move: {shown.key} has the axes {shown.axes!r}, which are no points and no boxes")
        step = self.step - shown.look if map.shape[1] == 1 else self.step  # of a map that acts step by step
        if not 0 <= step < map.shape[1]:
            return map
        point = torch.tensor([self.x, self.y], dtype=map.dtype, device=map.device)
        place = point.expand(len(map), -1)
        if map.shape[2] == 4:
            half = (map[:, step, 2:] - map[:, step, :2]) / 2
            place = torch.cat([place - half, place + half], 1)
        return torch.cat([map[:, :step], place[:, None], map[:, step + 1 :]], 1)


@dataclass(frozen=True)
class Change:
    """An edit of one map.

    Args:
        key: of the map.
        edit: what is done to it.
        code: the same as Python.
    """

    key: str
    edit: Edit
    code: str

    @property
    def pattern(self) -> str:
        """The pattern that this key alone fits."""
        return glob.escape(self.key)


def looks(network: Network, key: str, photographs: Sequence[Source]) -> list[Tensor]:
    """A map of a network for several photographs: one tensor `N …` for each look.

    Raises: ValueError if a photograph has no such map, or maps of other sizes.
    """
    found = []
    for photograph in photographs:
        with torch.no_grad(), watch(network.model) as maps:
            network.model(network.prepared(seen(network, photograph)))
        found.append(maps)
    return joined(found, key)


def joined(recorded: Sequence[Maps], key: str) -> list[Tensor]:
    """The looks of one map in several recordings, with the images as one batch. Raises: ValueError as `looks`."""
    shapes = {tuple(look.shape for look in maps.get(key, ())) for maps in recorded}
    if len(shapes) != 1 or not next(iter(shapes)):
        raise ValueError(f"{key} of the other photograph has another size: photographs of one size are needed")
    return [torch.cat(each) for each in zip(*(maps[key] for maps in recorded), strict=True)]


def built(asked: Any, maps_of: Callable[[str], tuple[Maps, str]], everything: Sequence[str]) -> Change:
    """The edit that a page asks for.

    Args:
        asked: as a page sends it.
        maps_of: of the id of a photograph its maps, unchanged, and its name.
        everything: the ids of all photographs that are kept.

    Raises: ValueError for anything else than such an edit; what `maps_of` raises.
    """
    if not isinstance(asked, Mapping) or not isinstance(asked.get("key"), str):
        raise ValueError("edits: objects with a key and a kind are accepted")
    key, kind = asked["key"], asked.get("kind")
    values = {name: value for name, value in asked.items() if name not in ("key", "kind")}
    if not isinstance(kind, str) or kind not in _KINDS:
        raise ValueError(f"edits: kind={kind!r}: {', '.join(sorted(_KINDS))} is accepted")
    takes = _KINDS[kind]
    if set(values) != set(takes):
        raise ValueError(f"edits: {kind} takes {', '.join(takes) or 'nothing'}, not {', '.join(values) or 'nothing'}")
    if kind in ("swap", "mean"):
        ids = [str(values["image"])] if kind == "swap" else list(everything)
        given = [maps_of(id) for id in ids]
        files = ", ".join(f"Path({name!r})" for _, name in given)
        edit = getattr(edits, kind)(joined([maps for maps, _ in given], key))
        return Change(key, edit, f"regard.edits.{kind}(looks(network, {key!r}, [{files}]))")
    edit = _made(kind, values)
    if isinstance(edit, Moved):
        return Change(key, edit, repr(edit))
    told = edit.to_json()
    arguments = ", ".join(f"{name}={value!r}" for name, value in told.items() if name != "edit" and value is not False)
    return Change(key, edit, f"regard.edits.{told['edit']}({arguments})")


_KINDS: dict[str, tuple[str, ...]] = {
    "constant": ("value",),
    "scale": ("value",),
    "temperature": ("value",),
    "uniform": (),
    "shuffle": ("seed",),
    "mask": ("shape", "off"),
    "ablate": ("part", "parts"),
    "query": ("parts",),
    "move": ("step", "x", "y"),
    "swap": ("image",),
    "mean": (),
}


def _made(kind: str, values: Mapping[str, Any]) -> Edit:
    """An edit that needs no other photograph. Raises: ValueError for values that do not fit."""
    if kind == "mask":
        return edits.mask(_rows(values["shape"], values["off"]))
    if kind in ("ablate", "query"):
        part = values.get("part", "query")
        if part not in ("head", "channel", "query"):
            raise ValueError(f"edits: part={part!r}: head or channel is accepted")
        return edits.ablate(**{part: _numbers("parts", values["parts"])})
    if kind == "move":
        return Moved(values["step"], values["x"], values["y"])
    made: Edit = getattr(edits, kind)(*values.values())
    return made


def _rows(shape: Any, off: Any) -> list[list[int]]:
    """A painted mask as rows of 0 and 1, 1 where weight is taken away."""
    height, width = _numbers("shape", shape, count=2)
    if not 0 < height * width <= CELLS:
        raise ValueError(f"edits: shape={shape!r}: up to {CELLS} cells are accepted")
    rows = [[0] * width for _ in range(height)]
    for cell in _numbers("off", off):
        if cell >= height * width:
            raise ValueError(f"edits: off: cells from 0 to {height * width - 1} are accepted, not {cell}")
        rows[cell // width][cell % width] = 1
    return rows


def _numbers(name: str, given: Any, count: int | None = None) -> list[int]:
    """Whole numbers of at least 0. Raises: ValueError for anything else."""
    fits = isinstance(given, list) and 0 < len(given) <= CELLS and all(type(one) is int and one >= 0 for one in given)
    if not fits or (count is not None and len(given) != count):
        raise ValueError(f"edits: {name}: {'a list of' if count is None else count} whole numbers is accepted")
    return list(given)
