"""The attention that a network has by itself, such as that of timm's transformers, over a photograph.

In the order of the pictures: what all layers together draw from (rollout), where they can be chained; one layer in
full, the last or the one that is named; one picture for each other layer; gates and what else is no attention from
places to places.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from regard.core import Maps
from regard.insight.relevance import relevance
from regard.insight.rollout import rollout
from regard.saved.opening import Network
from regard.viewing import draw, spatial
from regard.viewing.pictures import Picture
from regard.viewing.scaling import Scale
from regard.watching import watch

FACTS = ("axes", "grids", "tokens", "places", "sums")  # of a map, as `Maps` has them


def layers(maps: Maps) -> list[str]:
    """The keys of attention from places to places, in the order in which the layers ran."""
    return [key for key in maps if key in maps.foreign and "Q" in maps.axes[key].split()]


def under(maps: Maps, layer: str | None) -> list[str]:
    """The keys of the maps that a module forms, or a module inside it."""
    return [key for key in maps if layer is not None and key.startswith((f"{layer}/", f"{layer}."))]


def has_place(maps: Maps) -> bool:
    """Whether one of the maps says where on the image."""
    heats = (spatial(maps, key) for key in maps)
    return any(heat is not None and heat[0].numel() > 1 for heat in heats)


def flow(maps: Maps) -> Maps:
    """The rollout of all layers; empty where they cannot be chained."""
    if not layers(maps):
        return Maps()
    try:
        return rollout(maps)
    except ValueError:
        return Maps()


def told(maps: Maps, layer: str | None) -> str:
    """Which of the layers are drawn in full, and how to see another, as text; empty where nothing is left out."""
    found = layers(maps)
    if layer is not None and under(maps, layer):
        return f"The attention of {layer}, one of {len(found)} layers." if len(found) > 1 else ""
    if len(found) < 2:
        return ""
    last = found[-1].rpartition("/")[0]
    chained = "" if flow(maps) else " They cannot be chained to a rollout: windows, pooled keys or several resolutions."
    return f"{len(found)} layers of attention: the last, {last}, in full; --layer names another.{chained}"


def pictures(
    maps: Maps,
    image: Tensor,
    *,
    layer: str | None,
    queries: Sequence[tuple[float, float]] | None,
    scale: Scale,
) -> list[Picture]:
    """Draws the maps of one photograph.

    Args:
        maps: of a network that has attention of its own.
        image: the photograph, `3 H W` in [0, 1].
        layer: the name of the module whose maps alone are drawn, all in full; None, or one without maps, draws the
            last layer in full and gives one picture to each other.
        queries: places whose attention is drawn, as for `regard.draw`.
        scale: as for `regard.draw`.
    """
    chosen = under(maps, layer)
    if chosen:
        return draw(_part(maps, chosen), image, queries=queries, scale=scale)
    found = layers(maps)
    drawn = [
        replace(one, name=one.name.replace("rollout", f"rollout through {len(found)} layers"))
        for one in _brief(flow(maps), image, queries, scale)
    ]
    if found:
        drawn += draw(_part(maps, found[-1:]), image, queries=queries, scale=scale)
    for key in found[:-1]:
        drawn += _brief(_mean(maps, key), image, queries, scale)
    return drawn + draw(_part(maps, [key for key in maps if key not in found]), image, queries=queries, scale=scale)


def relevant(network: Network, pixels: Tensor, number: int, said: str, image: Tensor, scale: Scale) -> list[Picture]:
    """The relevance of a class through all layers; none where they cannot be chained.

    Args:
        network: the network.
        pixels: the photograph, uint8 `3 H W`.
        number: of the class.
        said: what is written of its Grad-CAM map, with its name.
        image, scale: as for `pictures`.
    """
    with torch.enable_grad(), watch(network.model, keep_graph=True) as maps:
        returned = network.model(network.prepared(pixels).requires_grad_())
    try:
        found = relevance(maps, returned, number)
    except ValueError:
        return []
    name = said.replace("Grad-CAM", "relevance through all layers")
    return [replace(one, name=name) for one in _brief(found, image, None, scale)]


def _brief(maps: Maps, image: Tensor, queries: Sequence[tuple[float, float]] | None, scale: Scale) -> list[Picture]:
    """Of each map the picture that stands first, and those of chosen places."""
    drawn = draw(maps, image, queries=queries or [], scale=scale)
    return drawn[:1] + drawn[len(drawn) - len(queries) :] if queries and len(drawn) > len(queries) else drawn[:1]


def _part(maps: Maps, keys: Sequence[str]) -> Maps:
    """Some of the maps, with all that is known of them."""
    part = Maps()
    for key in keys:
        part[key] = maps[key]
    for facts in FACTS:
        known = getattr(maps, facts)
        getattr(part, facts).update({key: known[key] for key in keys if key in known})
    return part


def _mean(maps: Maps, key: str) -> Maps:
    """One map with the mean of its heads in their place, under a name that says so."""
    letters = maps.axes[key].split()
    at = letters.index("h") if "h" in letters else 0
    if not at or maps[key][0].shape[at] == 1:
        return _part(maps, [key])
    mean, name = Maps(), f"{key}, mean of {maps[key][0].shape[at]} heads"
    mean[name] = [look.mean(at, keepdim=True) for look in maps[key]]
    for facts in FACTS:
        known = getattr(maps, facts)
        getattr(mean, facts).update({name: known[key]} if key in known else {})
    return mean
