"""Edits of attention maps for `regard.edit`: plain data, to JSON and back.

    regard.edits.ablate(head=2).to_json()  # {"edit": "ablate", "head": [2]}
    regard.edits.Edit.from_json({"edit": "scale", "factor": 0.5})

An edit is called with a map and with what is known of it, and returns a map of the same shape. Where a map sums to 1
over an axis it still does, but for queries, heads and channels that are ablated, which have no weight at all. A map
that sums to 1 nowhere is a gate.

A random or even map leaves what is hidden as it is: where a map that sums to 1 over one axis, as of keys or words, has
a weight of exactly 0, it stays 0, unless the map is hard, with no weights but 0 and 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, cast

import torch
from torch import Tensor

from regard.checks import flag, number, sequence, whole
from regard.core import Grid
from regard.watching.axes import COUNTED, Shown, axis_of, renormalised, share_of, support_of

KINDS: dict[str, type[Edit]] = {}


@dataclass(frozen=True)
class Edit:
    """A change of an attention map; each kind is a function of this file with a small letter."""

    kind: ClassVar[str] = ""

    def __init_subclass__(cls) -> None:
        cls.kind = cls.__name__.lower()
        if not cls.kind.startswith("_"):
            KINDS[cls.kind] = cls

    def __call__(
        self,
        map: Tensor,
        *,
        key: str = "",
        axes: str = "",
        grids: Mapping[str, Grid] | None = None,
        sums: str = "",
        places: Tensor | None = None,
        look: int = 0,
    ) -> Tensor:
        """The edited map.

        Args:
            map: the map.
            key, axes, grids, sums, places: as in `regard.core.Formed`.
            look: how many looks of the module came before.

        Raises: ValueError if the map lacks what the edit needs, with the map's key.
        """
        return self.made(map, Shown(key, axes, grids or {}, sums, places, look))

    def made(self, map: Tensor, shown: Shown) -> Tensor:
        raise NotImplementedError

    def to_json(self) -> dict[str, Any]:
        """Plain data: numbers, texts, lists and one mapping; what is None is left out."""
        values = ((field.name, _plain(getattr(self, field.name))) for field in fields(self))
        return {"edit": self.kind} | {name: value for name, value in values if value is not None}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Edit:
        """The edit of such data.

        Raises: ValueError if there is no such edit, or it takes no such arguments.
        """
        name = data.get("edit") if isinstance(data, Mapping) else None
        if not isinstance(name, str) or name not in KINDS:
            raise ValueError(f"edit={name!r}: one of {', '.join(sorted(KINDS))} is needed")
        given = {key: value for key, value in data.items() if key != "edit"}
        known = {field.name for field in fields(KINDS[name])}
        if not set(given) <= known:
            raise ValueError(f"{name}: no argument {min(set(given) - known)!r}; it takes {', '.join(sorted(known))}")
        try:
            return KINDS[name](**given)
        except TypeError as error:
            raise ValueError(f"{name}: {error}") from None


def _plain(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().tolist()
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return value


@dataclass(frozen=True)
class Constant(Edit):
    value: float

    def __post_init__(self) -> None:
        number("value", self.value)

    def made(self, map: Tensor, shown: Shown) -> Tensor:
        return renormalised(torch.full_like(map, self.value), shown.dims)


@dataclass(frozen=True)
class Scale(Edit):
    factor: float

    def __post_init__(self) -> None:
        number("factor", self.factor)

    def made(self, map: Tensor, shown: Shown) -> Tensor:
        if shown.dims:
            raise ValueError(
                f"scale: {shown.key} sums to 1 over {shown.sums}, which no factor changes; use temperature"
            )
        return map * self.factor


@dataclass(frozen=True)
class Temperature(Edit):
    value: float

    def __post_init__(self) -> None:
        number("value", self.value, above=0)

    def made(self, map: Tensor, shown: Shown) -> Tensor:
        if (map.detach() < 0).any() or (not shown.dims and (map.detach() > 1).any()):
            wanted = "weights of at least 0" if shown.dims else "a gate between 0 and 1"
            low, high = map.detach().aminmax()
            raise ValueError(f"temperature: {shown.key} goes from {low:.3g} to {high:.3g}: {wanted} is needed")
        power = 1 / self.value
        if not shown.dims:  # σ(z / τ) of a gate σ(z)
            opened, closed = map**power, (1 - map) ** power
            return opened / (opened + closed)
        largest = map.detach().amax(shown.dims, keepdim=True)  # a small weight to a high power leaves the range
        there = map.detach() > 0  # 0 has no gradient at all under a root
        sharpened = torch.where(there, map / torch.where(largest > 0, largest, 1), 1) ** power * there
        return renormalised(sharpened, shown.dims)


@dataclass(frozen=True)
class Mask(Edit):
    region: tuple[Any, ...]
    keep: bool = False

    def __post_init__(self) -> None:
        region = tuple(sequence("region", self.region))
        if isinstance(region[0], Sequence):
            rows = tuple(tuple(number("region", share, least=0, most=1) for share in row) for row in region)
            if len({len(row) for row in rows}) != 1 or not rows[0]:
                raise ValueError("region: rows of one length are needed")
            region = rows
        else:
            left, top, right, bottom = (
                number("region", edge, least=0, most=1) for edge in sequence("region", region, count=4)
            )
            if not (left < right and top < bottom):
                raise ValueError(f"region={region}: left < right and top < bottom are needed")
        object.__setattr__(self, "region", region)
        flag("keep", self.keep)

    def made(self, map: Tensor, shown: Shown) -> Tensor:
        share, dims = share_of(map, shown, self._share)
        edited = map * (share if self.keep else 1 - share)
        return renormalised(edited, shown.dims) if set(dims) & set(shown.dims) else edited

    def _share(self, grid: tuple[int, ...], like: Tensor) -> Tensor:
        """How much of each cell lies in the region, `h w`; a single cell, as of a class token, lies nowhere."""
        if len(grid) != 2 or grid == (1, 1):
            return torch.zeros(grid, dtype=like.dtype, device=like.device)
        if isinstance(self.region[0], tuple):
            drawn = torch.tensor(self.region, dtype=torch.float32)[None, None]
            resized = torch.nn.functional.interpolate(drawn, grid, mode="bilinear", antialias=True)
            return resized[0, 0].clamp(0, 1).to(like)
        left, top, right, bottom = self.region
        down, across = (
            (torch.arange(1, count + 1).clamp(max=last * count) - torch.arange(count).clamp(min=first * count)).clamp(0)
            for count, first, last in ((grid[0], top, bottom), (grid[1], left, right))
        )
        return (down[:, None] * across).to(like)


@dataclass(frozen=True)
class Uniform(Edit):
    def made(self, map: Tensor, shown: Shown) -> Tensor:
        if not shown.dims:
            axes = tuple(range(1, map.ndim))
            return map.mean(axes, keepdim=True).expand_as(map).clone() if axes else map
        return renormalised(support_of(map, shown.dims).to(map.dtype), shown.dims)


@dataclass(frozen=True, eq=False)
class _Given(Edit):
    maps: Any
    __eq__ = object.__eq__  # tensors are not compared
    __hash__ = object.__hash__

    def __post_init__(self) -> None:
        maps = self.maps
        several = isinstance(maps, Sequence) and len(maps) > 0 and isinstance(maps[0], Tensor)
        try:
            looks = tuple(maps) if several else (torch.as_tensor(maps),)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ValueError(f"maps: a tensor, a list of them or nested lists of numbers are needed: {error}") from None
        if not all(look.ndim and look.numel() for look in looks):
            raise ValueError("maps: at least one map with a batch axis is needed")
        looks = tuple(
            look.detach().to(torch.float32) if not look.is_floating_point() else look.detach() for look in looks
        )
        object.__setattr__(self, "maps", looks)

    def to_json(self) -> dict[str, Any]:
        if len(self.maps) > 1:
            raise ValueError(f"maps: {len(self.maps)} looks, of which JSON holds one")
        return {"edit": self.kind, "maps": self.maps[0].tolist()}

    def _look(self, map: Tensor, shown: Shown) -> Tensor:
        """The given map of this look, or of this step of a map that acts step by step."""
        given = cast("Tensor", self.maps[shown.look % len(self.maps)]).to(map)
        if given.ndim != map.ndim:
            raise ValueError(
                f"{self.kind}: maps of shape {tuple(given.shape)}, but {shown.key} is {tuple(map.shape)}, {shown.axes}"
            )
        for dim in range(1, map.ndim):
            if map.shape[dim] == 1 and given.shape[dim] > 1:
                given = given.narrow(dim, shown.look % given.shape[dim], 1)
        return given

    def _fitted(self, given: Tensor, map: Tensor, shown: Shown) -> Tensor:
        if given.shape[1:] != map.shape[1:] or given.shape[0] not in (1, map.shape[0]):
            raise ValueError(
                f"{self.kind}: maps of shape {tuple(given.shape)}, but {shown.key} is {tuple(map.shape)}, {shown.axes}"
            )
        return renormalised(given.expand_as(map).clone(), shown.dims)


class Mean(_Given):
    def made(self, map: Tensor, shown: Shown) -> Tensor:
        return self._fitted(self._look(map, shown).mean(0, keepdim=True), map, shown)


class Swap(_Given):
    def made(self, map: Tensor, shown: Shown) -> Tensor:
        return self._fitted(self._look(map, shown), map, shown)


@dataclass(frozen=True)
class Shuffle(Edit):
    seed: int = 0

    def __post_init__(self) -> None:
        whole("seed", self.seed, 0, 2**63 - 1)

    def made(self, map: Tensor, shown: Shown) -> Tensor:
        moved = list(shown.dims or range(1, map.ndim))
        if not moved:
            return map
        kept = [dim for dim in range(map.ndim) if dim not in moved]
        rows = map.permute(*kept, *moved)
        flat = rows.reshape(*rows.shape[: len(kept)], -1)
        support = support_of(map, shown.dims).permute(*kept, *moved).reshape(flat.shape)
        drawn = torch.rand(flat.shape, generator=torch.Generator().manual_seed(self.seed)).to(flat.device)
        source = (drawn - support.to(drawn.dtype)).argsort(-1)  # what has weight comes first, in random order
        target = (~support).to(torch.int8).argsort(dim=-1, stable=True)  # its places, in their own order
        shuffled = torch.zeros_like(flat).scatter(-1, target, flat.gather(-1, source)).view(rows.shape)
        back = sorted(range(map.ndim), key=(kept + moved).__getitem__)
        return shuffled.permute(back)


@dataclass(frozen=True)
class Ablate(Edit):
    head: tuple[int, ...] | None = None
    channel: tuple[int, ...] | None = None
    query: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        given = {name: value for name in COUNTED if (value := getattr(self, name)) is not None}
        if len(given) != 1:
            raise ValueError(f"ablate: one of head, channel and query is needed, not {', '.join(given) or 'none'}")
        for name, value in given.items():
            numbers = (value,) if isinstance(value, int) else sequence(name, value)
            object.__setattr__(self, name, tuple(whole(name, one, 0) for one in numbers))

    def made(self, map: Tensor, shown: Shown) -> Tensor:
        name, numbers = next((name, value) for name in COUNTED if (value := getattr(self, name)) is not None)
        dim = axis_of(name, shown)
        size = map.shape[dim]
        if max(numbers) >= size:
            raise ValueError(f"ablate({name}={max(numbers)}): {shown.key} has {size}, numbered 0 to {size - 1}")
        kept = torch.ones(size, dtype=map.dtype, device=map.device)
        kept[list(numbers)] = 0
        edited = map * kept.view(-1, *[1] * (map.ndim - 1 - dim))
        return renormalised(edited, shown.dims) if dim in shown.dims else edited


def constant(value: float) -> Edit:
    """Every weight is `value`; of a map that sums to 1, every weight is the same."""
    return Constant(value)


def scale(factor: float) -> Edit:
    """A gate times `factor`. A map that sums to 1 is refused, as nothing would change."""
    return Scale(factor)


def temperature(value: float) -> Edit:
    """The softmax or the sigmoid of a map at a temperature: below 1 it is sharper, above 1 more even."""
    return Temperature(value)


def mask(region: Sequence[Any], *, keep: bool = False) -> Edit:
    """Takes the weight away from a region of the image, or with `keep` from everything else.

    Args:
        region: left, top, right, bottom from 0 to 1 of the image; or rows of numbers from 0 to 1, a picture of the
            region in any resolution.
        keep: only the region keeps its weight.
    """
    return Mask(tuple(region), keep)


def uniform() -> Edit:
    """An even map: the same weight everywhere, of a gate its mean over the image."""
    return Uniform()


def mean(maps: Any) -> Edit:
    """The mean of the maps of other images.

    Args:
        maps: `N ...`, as `watch` records them: a tensor, nested lists, or a list of tensors, one for each look.
    """
    return Mean(maps)


def shuffle(seed: int = 0) -> Edit:
    """The weights of each image, or each row of a map that sums to 1, in another order, the same in every pass."""
    return Shuffle(seed)


def swap(maps: Any) -> Edit:
    """The map of another image.

    Args:
        maps: `1 ...` for all images of the batch, or `B ...`, in the forms that `mean` takes.
    """
    return Swap(maps)


def ablate(
    *,
    head: int | Sequence[int] | None = None,
    channel: int | Sequence[int] | None = None,
    query: int | Sequence[int] | None = None,
) -> Edit:
    """Takes all weight from heads, channels or queries, numbered from 0; one of the three is to be given."""
    return Ablate(head, channel, query)  # type: ignore[arg-type]  # whole numbers become tuples
