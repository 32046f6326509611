"""Heat maps of trained models, and how much of them lies on the object.

One heat map per image, at the place of the backbone that `building.Place` describes:

    spatial map     of a mechanism that shows one: each of its spatial maps at the sites of that place, scaled to sum
                    to one and averaged. What it multiplies into the features, whether that helped or not.
    Grad-CAM        for all others (channel gates, `none`, `plain`), and beside its own map for a spatial mechanism: of
                    the class that the model predicts, for all positions together where it predicts many, at the end
                    of a stage.
    backbone's own  in the gallery, of a backbone that attends by itself: each spatial map of that attention, scaled to
                    sum to one, averaged over those at the place's grid, or over those of its last grid where none is.

A gate between 0 and 1 rarely closes, while Grad-CAM cuts at zero: shares of energy compare within one of the two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from regard.comparing.building import Place
from regard.comparing.images import Part
from regard.core import Attention, Maps, NothingSeen
from regard.data.batches import Normalisation, normalised
from regard.insight import gradcam
from regard.metrics.localisation import energy, pointing
from regard.ops.rounding import even
from regard.report import GRADCAM, SPATIAL_MAP
from regard.viewing import spatial
from regard.watching import watch

BATCH = 32
LONGEST = 112  # pixels of a heat map in the gallery: the maps behind it are coarser


def overall(scores: Tensor) -> Tensor:
    """The score of each image's predicted class, of the mean over all positions where the model predicts many.

    Shapes: scores `B K`, `B K *S`, or `B` of one number -> `B`.
    """
    if scores.dim() == 1:
        return scores
    means = scores if scores.dim() == 2 else scores.flatten(2).mean(2)
    return means.gather(1, means.detach().argmax(1, keepdim=True))[:, 0]


@dataclass(frozen=True)
class View:
    """Where and how models of a row are looked at.

    Args:
        place: where.
        normalise: of the images.
        device: of the models.
        score: the model's outputs -> the score of each image that Grad-CAM explains, `B`.
    """

    place: Place
    normalise: Normalisation | None
    device: torch.device
    score: Callable[[Any], Tensor] = overall


def locate(model: nn.Module, data: Part, view: View) -> tuple[dict[str, NDArray[np.floating]], float | None]:
    """Scores of every image whose object is known, in the order of the images, and what an even map would score.

    Returns: `energy`, `pointing` (of the row's own kind of map), `energy_gradcam` and `pointing_gradcam`, each float
        [N]; nothing where no object is known. The object's mean share of the area, or None.
    """
    regions = {i: region for i in range(len(data)) if (region := data.region(i)) is not None and region.any()}
    scores: dict[str, list[Tensor]] = {}
    for part in _parts(list(regions)):
        inside = torch.stack([regions[i] for i in part])
        through_own, through_gradcam = _both(model, data.images(part), view)
        for name, heat in (("", through_own), ("_gradcam", through_gradcam)):
            scores.setdefault(f"energy{name}", []).append(energy(heat, inside))
            scores.setdefault(f"pointing{name}", []).append(pointing(heat, inside))
    if not regions:
        return {}, None
    chance = float(np.mean([region.double().mean().item() for region in regions.values()]))
    return {name: torch.cat(parts).numpy() for name, parts in scores.items()}, chance


def through(model: nn.Module, images: Tensor, view: View) -> str:
    """The kind of heat map of this model's row: `SPATIAL_MAP` or `GRADCAM`."""
    x = normalised(images.to(view.device), view.normalise)
    return GRADCAM if own_map(model, x, view.place) is None else SPATIAL_MAP


def heat_maps(model: nn.Module, images: Tensor, view: View) -> dict[str, NDArray[np.float32]]:
    """Heat maps of the images, stretched to 0..1; all 0 if a map is even but for rounding.

    Shapes: images `B C H W` -> each map [B, H, W], of large images with `LONGEST` as its longer side; ranges [B, 2].
    Returns: `map`, of the row's own kind, and `gradcam` beside it for a row with spatial maps of its own; with each its
        `map_range` and `gradcam_range`, the smallest and the largest value as multiples of the map's mean; `backbone`
        and `backbone_range` of a backbone with spatial attention of its own.
    """
    own, explained = _both(model, images, view)
    factor = min(1.0, LONGEST / max(images.shape[-2:]))
    size = (round(factor * images.shape[-2]), round(factor * images.shape[-1]))
    heats = {"map": own} if own is explained else {"map": own, "gradcam": explained}
    attends = backbone_map(model, normalised(images.to(view.device), view.normalise), view.place.grid)
    if attends is not None:
        heats["backbone"] = attends
    found = {name: _stretched(heat, size) for name, heat in heats.items()}
    return found | {f"{name}_range": _range(heat) for name, heat in heats.items()}


def backbone_map(model: nn.Module, x: Tensor, grid: tuple[int, int]) -> Tensor | None:
    """The mean of the spatial maps that no mechanism of ours forms, `B H W`; None if there are no such maps.

    Args:
        model: the network.
        x: its input.
        grid: H, W of the maps that count, where there are any.
    """
    try:
        with torch.no_grad(), watch(model) as maps:
            model(x)
    except NothingSeen:
        return None
    found = {key: heat for key in maps if key in maps.foreign and (heat := spatial(maps, key)) is not None}
    grids = {key: (heat.shape[1], heat.shape[2]) for key, heat in found.items() if heat[0].numel() > 1}
    if not grids:
        return None
    at = grid if grid in grids.values() else list(grids.values())[-1]
    shares = [_even_sum(maps, key, at) for key, own in grids.items() if own == at]
    return torch.stack([share for share in shares if share is not None]).mean(0)


def _range(heat: Tensor) -> NDArray[np.float32]:
    """The smallest and the largest value of each map as multiples of its mean, [B, 2]; 1 and 1 for an even map."""
    ends = torch.stack([heat.amin((1, 2)), heat.amax((1, 2))], 1) / heat.mean((1, 2))[:, None]
    return torch.where(even(heat)[:, None], 1, ends).float().cpu().numpy()


def _stretched(heat: Tensor, size: tuple[int, int]) -> NDArray[np.float32]:
    heat = torch.where(even(heat)[:, None, None], 0, heat)
    heat = F.interpolate(heat.cpu()[:, None], size, mode="bilinear", align_corners=False)[:, 0]
    low, high = heat.amin((1, 2), keepdim=True), heat.amax((1, 2), keepdim=True)
    return ((heat - low) / (high - low).clamp_min(torch.finfo(heat.dtype).tiny)).float().numpy()


def _both(model: nn.Module, images: Tensor, view: View) -> tuple[Tensor, Tensor]:
    """The row's own heat maps and those of Grad-CAM, each [B, h, w]; Grad-CAM twice if there are no own maps."""
    x, place = normalised(images.to(view.device), view.normalise), view.place
    explained = gradcam.at(model, x, model.get_submodule(place.explained), place.layout, view.score)
    own = own_map(model, x, place)
    return (explained if own is None else own), explained


def own_map(model: nn.Module, x: Tensor, place: Place) -> Tensor | None:
    """The mean of the spatial maps at the row's place, [B, H, W]; None if there are no such maps."""
    if not any(isinstance(module, Attention) for module in model.modules()):
        return None
    with torch.no_grad(), watch(model, foreign=False) as maps:
        model(x)
    found = [heat for key in maps if _belongs(key, place) and (heat := _even_sum(maps, key, place.grid)) is not None]
    return torch.stack(found).mean(0) if found else None


def _belongs(key: str, place: Place) -> bool:
    return any(key.startswith((f"{module}/", f"{module}.")) for module in place.shown)


def _even_sum(maps: Maps, key: str, grid: tuple[int, int]) -> Tensor | None:
    """One spatial map on the grid of the place, with negative weights set to 0, scaled to a sum of 1."""
    heat = spatial(maps, key)
    if heat is None or heat[0].numel() == 1:
        return None
    heat = heat.clamp_min(0)
    if heat.shape[1:] != grid:
        heat = F.interpolate(heat[:, None], grid, mode="bilinear", align_corners=False)[:, 0]
    total = heat.sum((1, 2), keepdim=True)
    return torch.where(total > 0, heat / total.clamp_min(torch.finfo(heat.dtype).tiny), 1 / (grid[0] * grid[1]))


def _parts(indices: Sequence[int]) -> Iterator[list[int]]:
    for start in range(0, len(indices), BATCH):
        yield list(indices[start : start + BATCH])
