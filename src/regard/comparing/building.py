"""The models of a comparison: one backbone, and at the same sites in each row what the row is named after.

All rows of one seed start from the same backbone weights: the backbone is built first, from a seed of its own, and what
is attached draws from another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from regard import attaching, backbones, catalog
from regard.attaching import siting
from regard.attaching.layouts import Layout
from regard.attaching.siting import Site
from regard.comparing import ALL, NONE, PLAIN, Comparison
from regard.comparing.plain import PlainBottleneck, widths
from regard.data import ImageSet
from regard.ops.seeds import mixed

LEAST_GRID = 5  # positions on a side: below that a heat map hardly says where


@dataclass(frozen=True)
class Blueprint:
    """What the rows have in common, found once on the bare backbone before any training.

    Args:
        sites: names of the modules that attention follows, in the order in which they run.
        widths: of the plain bottleneck at each site.
        parameters: of the bare backbone.
        added: row -> parameters beyond the bare backbone's.
        grid: H, W of the place where all rows are looked at: the deepest among the sites whose map still has
            `LEAST_GRID` positions on a side, or else the finest there is.
        looked: the sites with this grid, whose spatial maps count.
        explained: the module whose output Grad-CAM explains: the end of the backbone's stage with this grid; the last
            of these sites where there is none, or where class tokens may take over from the map at that end.
        explained_layout: how that output holds a map.
    """

    sites: tuple[str, ...]
    widths: tuple[int, ...]
    parameters: int
    added: dict[str, int]
    grid: tuple[int, int]
    looked: tuple[str, ...]
    explained: str
    explained_layout: Layout


def survey(settings: Comparison, images: ImageSet) -> Blueprint:
    """Finds the sites and attaches every mechanism once, so that what does not fit fails before any training.

    Raises: LookupError and ValueError as `backbones.build` and `attaching.attach`.
    """
    example = images.test[0][0][None]
    bare = _backbone(settings, images, seed=0)
    sites = attaching.sites(bare, settings.after, example)
    grid, looked, explained = _place(sites, siting.stages(bare, example))
    added, by_site = {NONE: 0}, {}
    blueprint = Blueprint(
        tuple(site.name for site in sites), (), _parameters(bare), added, grid, looked, explained.name, explained.layout
    )
    for name in settings.mechanisms:
        model = build(settings, name, 0, images, blueprint)
        added[name] = _parameters(model) - blueprint.parameters
        by_site[name] = [_attached_parameters(model.get_submodule(site.name)) for site in sites]
    largest = max(settings.mechanisms, key=lambda name: added[name])
    chosen = widths([site.channels for site in sites], by_site[largest])
    blueprint = replace(blueprint, widths=tuple(chosen))
    added[PLAIN] = _parameters(build(settings, PLAIN, 0, images, blueprint)) - blueprint.parameters
    return blueprint


def fitting(settings: Comparison, images: ImageSet) -> tuple[Comparison, dict[str, str]]:
    """The settings with `all` replaced by every mechanism that fits, and why each of the others does not.

    Raises: LookupError and ValueError where the backbone or the sites are wrong rather than a mechanism.
    """
    if ALL not in settings.mechanisms:
        return settings, {}
    example = images.test[0][0][None]
    sites = attaching.sites(_backbone(settings, images, seed=0), settings.after, example)
    names, left_out = [], {}
    for name in dict.fromkeys(
        name
        for given in settings.mechanisms
        for name in ([entry.name for entry in catalog.entries() if entry.drop_in] if given == ALL else [given])
    ):
        try:
            attaching.attach(
                _backbone(settings, images, seed=0), name, after=[site.name for site in sites], example=example
            )
            names.append(name)
        except ValueError as error:
            if name in settings.mechanisms:
                raise
            left_out[name] = str(error)
    return replace(settings, attention=tuple(names)), left_out


def build(settings: Comparison, row: str, seed: int, images: ImageSet, blueprint: Blueprint) -> nn.Module:
    """The untrained model of one row and seed, on the CPU. The caller's random state is left alone."""
    model = _backbone(settings, images, seed)
    if row == NONE:
        return model
    remaining = iter(blueprint.widths)
    mechanism: Any = row
    if row == PLAIN:
        mechanism = lambda channels: PlainBottleneck(channels, width=next(remaining))  # noqa: E731
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(mixed("attention", row, seed))
        return attaching.attach(
            model, mechanism, after=list(blueprint.sites), identity=settings.identity, example=images.test[0][0][None]
        )


def _backbone(settings: Comparison, images: ImageSet, seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(mixed("backbone", seed))
        return backbones.build(
            settings.backbone,
            classes=len(images.classes),
            pretrained=settings.pretrained,
            image_size=images.test[0][0].shape[-1],
        )


def _parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _attached_parameters(site: nn.Module) -> int:
    """Of what is attached to a site; its gate, which the plain row gets too, does not count."""
    return _parameters(site.get_submodule(attaching.CHILD))


def _place(sites: Sequence[Site], stages: Sequence[Site]) -> tuple[tuple[int, int], tuple[str, ...], Site]:
    """Grid, sites and end of the stage where all rows are looked at; see `Blueprint`."""
    grids = [(site.shape[2], site.shape[3]) for site in sites]
    deep_enough = [grid for grid in grids if min(grid) >= LEAST_GRID]
    grid = deep_enough[-1] if deep_enough else max(grids, key=lambda grid: grid[0] * grid[1])
    looked = [site for site, own in zip(sites, grids, strict=True) if own == grid]
    ends = [stage for stage in stages if stage.shape[2:] == grid and not stage.layout.prefix]
    return grid, tuple(site.name for site in looked), (ends or looked)[-1]
