"""The maps that are tested, and the maps beside which they stand: random, the centre, Grad-CAM."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from regard.attaching import siting
from regard.attaching.siting import Site
from regard.core import Maps, eager
from regard.insight.faithfulness.scoring import Score
from regard.insight.gradcam import gradcam
from regard.ops.seeds import mixed
from regard.viewing import spatial
from regard.watching import watch

RANDOM, CENTRE, GRADCAM = "random", "centre", "Grad-CAM"
CENTRE_WIDTH = 1 / 4  # standard deviation of the central Gaussian, as a share of each side
OWN = "the map"  # the name of what a function gives, where it gives one map

Looking = str | Sequence[str] | Callable[[Tensor], Tensor | Mapping[str, Tensor]]


class Seen:
    """What the network's maps are on all images.

    Args:
        heats: name -> the map of each image, `N h w`; those with a place.
        maps: what `watch` recorded, each look `N …`; empty where a function gives the maps.
    """

    def __init__(self, heats: dict[str, Tensor], maps: Maps) -> None:
        self.heats, self.maps = heats, maps


def seen(model: nn.Module, images: Tensor, maps: Looking, batch: int) -> Seen:
    """The maps of all images, in batches.

    Raises: LookupError if a pattern matches no map; ValueError if a function gives no maps.
    """
    if callable(maps):
        return Seen(_given(images, maps, batch), Maps())
    recorded = recorded_maps(model, images, [maps] if isinstance(maps, str) else maps, batch)
    heats = {}
    for key in recorded:
        heat = spatial(recorded, key)
        if heat is not None and heat[0].numel() > 1:
            heats[key] = heat
    return Seen(heats, recorded)


def recorded_maps(model: nn.Module, images: Tensor, patterns: Sequence[str], batch: int) -> Maps:
    """What `watch` records of all images, of the keys that match a pattern.

    Raises: LookupError if a pattern matches nothing.
    """
    found = Maps()
    parts: dict[str, list[list[Tensor]]] = {}
    known: dict[str, None] = {}
    for part in images.split(batch):
        with torch.no_grad(), watch(model) as maps:
            model(part)
        known |= dict.fromkeys(maps)
        for key in maps:
            if any(fnmatchcase(key, pattern) for pattern in patterns):
                parts.setdefault(key, []).append(maps[key])
                for name in ("axes", "grids", "tokens", "places", "sums"):
                    told = getattr(maps, name)
                    if key in told:
                        getattr(found, name)[key] = told[key]
    for pattern in patterns:
        if not any(fnmatchcase(key, pattern) for key in known):
            raise LookupError(f"maps={pattern!r}: a pattern of the network's maps is needed; it forms {_few(known)}")
    for key, looks in parts.items():
        found[key] = [torch.cat(look) for look in zip(*looks, strict=True)]
    return found


def random_maps(grid: tuple[int, int], count: int, seed: int) -> Tensor:
    """Maps of independent numbers, on the grid of the map beside which they stand: `N h w`."""
    return torch.rand(count, *grid, generator=torch.Generator().manual_seed(mixed("random map", seed)))


def centre_maps(size: tuple[int, int], count: int) -> Tensor:
    """A Gaussian in the middle of the image, whatever it shows: `N H W`."""
    height, width = (torch.arange(side, dtype=torch.float64) for side in size)
    down, right = ((steps - (len(steps) - 1) / 2) / (CENTRE_WIDTH * len(steps)) for steps in (height, width))
    return torch.exp(-0.5 * (down[:, None] ** 2 + right[None] ** 2)).expand(count, -1, -1)


class GradCam:
    """Grad-CAM maps of what is followed.

    Args:
        model: the network.
        score: what is followed.
        layer: the module that is explained; None takes the last with a map.

    Raises: LookupError or ValueError as `regard.gradcam`.
    """

    def __init__(self, model: nn.Module, score: Score, layer: str | None) -> None:
        self.model, self.score = model, score
        with eager():
            self.layer: str | Site = siting.last(model, score.images[[0, -1]]) if layer is None else layer

    def __call__(self) -> Tensor:
        """The maps of all images: `N h w`."""
        images, score = self.score.images, self.score
        return torch.cat(
            [
                gradcam(self.model, images[which], score.target(which), self.layer, upsample=False)
                for which in score.parts()
            ]
        )


def _given(images: Tensor, maps: Callable[[Tensor], Tensor | Mapping[str, Tensor]], batch: int) -> dict[str, Tensor]:
    parts: dict[str, list[Tensor]] = {}
    for part in images.split(batch):
        with torch.enable_grad():
            told = maps(part)
        for name, heat in (told if isinstance(told, Mapping) else {OWN: told}).items():
            if name in (RANDOM, CENTRE, GRADCAM):
                raise ValueError(
                    f"maps: it gives a map named {name!r}, as one of the references: another name is needed"
                )
            if not isinstance(heat, Tensor) or heat.dim() != 3 or len(heat) != len(part):
                what = str(tuple(heat.shape)) if isinstance(heat, Tensor) else type(heat).__name__
                raise ValueError(f"maps: it gives {name} of {what}: one map for each image, {len(part)} h w, is needed")
            parts.setdefault(name, []).append(heat.detach())
    return {name: torch.cat(heats) for name, heats in parts.items()}


def _few(names: Mapping[str, None]) -> str:
    listed = [*names]
    return ", ".join(listed[:6]) + (f" and {len(listed) - 6} more" if len(listed) > 6 else "") or "none"
