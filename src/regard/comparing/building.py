"""Building the models of a comparison: one backbone, with the attention of each row at the row's sites.

All rows of one seed start from the same backbone weights: the backbone is built first, from a seed of its own, and what
is attached draws from another.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import nn

from regard import attaching, backbones, catalog
from regard.attaching import siting
from regard.attaching.building import NarrowSite, narrowed
from regard.attaching.layouts import Layout
from regard.attaching.siting import Site
from regard.catalog import rows
from regard.catalog.rows import ALL, NONE, PLAIN, Variant
from regard.comparing import Comparison
from regard.comparing.images import Images
from regard.comparing.plain import PlainBottleneck, widths
from regard.ops.seeds import mixed, seeded

LEAST_GRID = 5  # positions on a side: below that a heat map hardly says where


@dataclass(frozen=True)
class Place:
    """The sites of one row, and the modules where its heat maps are taken.

    Args:
        sites: names of the modules that attention follows, in the order in which they run; of `none`, those of all rows
            together.
        grid: H, W of the place where the row's own maps are looked at: the deepest among its sites whose map still has
            `LEAST_GRID` positions on a side, or else the finest there is.
        looked: the sites with this grid, whose spatial maps count.
        explained: the module whose output Grad-CAM explains, the same for all rows: the end of the backbone's stage
            with the grid of `none`; the last of these sites where there is none, or where class tokens may take over
            from the map at that end.
        layout: how that output holds a map.
        showing: the modules whose spatial maps count, where these are not what is attached to the sites in `looked`.
    """

    sites: tuple[str, ...]
    grid: tuple[int, int]
    looked: tuple[str, ...]
    explained: str
    layout: Layout
    showing: tuple[str, ...] = ()

    @property
    def shown(self) -> tuple[str, ...]:
        """The modules whose spatial maps count."""
        return self.showing or tuple(f"{site}.{attaching.CHILD}" for site in self.looked)


@dataclass(frozen=True)
class Blueprint:
    """Facts about the rows that are determined once, on the bare backbone, before any training.

    Args:
        places: row -> where its attention is; `plain` has that of the largest row.
        widths: of the plain bottleneck at each of its sites.
        parameters: of the bare backbone.
        added: row -> parameters beyond the bare backbone's.
        largest: the row that adds the most parameters.
        notes: row -> what was taken in place of a default that is too large for its narrow sites.
    """

    places: Mapping[str, Place]
    widths: tuple[int, ...]
    parameters: int
    added: Mapping[str, int]
    largest: str
    notes: Mapping[str, str] = field(default_factory=dict)


def survey(settings: Comparison, images: Images) -> Blueprint:
    """Finds the sites and attaches every row once, so that errors occur before any training.

    Raises: LookupError and ValueError as `backbones.build` and `attaching.attach`; the message names the row.
    """
    example = _example(images)
    bare = backbone(settings, images, seed=0)
    named = _sites_by_row(settings, bare, example)
    found = {names: attaching.sites(bare, names, example) for names in dict.fromkeys(named.values())}
    together = attaching.sites(bare, list(dict.fromkeys(name for names in found for name in names)), example)
    stages = siting.stages(bare, example)
    common = _place(together, stages)
    places = {NONE: common}
    for row, names in named.items():
        places[row] = replace(_place(found[names], stages), explained=common.explained, layout=common.layout)
    parameters = _parameters(bare)
    blueprint = Blueprint(places, (), parameters, {}, "")
    added, by_site, notes = {NONE: 0}, {}, {}
    for row in settings.rows:
        model = build(settings, row, 0, images, blueprint)
        added[row] = _parameters(model) - parameters
        by_site[row] = [_attached_parameters(model.get_submodule(site)) for site in places[row].sites]
        given = rows.parse(row).options
        narrow = [
            (name, hook.channels, changed)
            for name, _, hook in attaching.attached(model)
            if (changed := narrowed(given, hook.arguments))
        ]
        if narrow:
            notes[row] = NarrowSite.words(row, narrow)
    largest = max(settings.rows, key=lambda row: added[row])
    chosen = widths([site.channels for site in found[named[largest]]], by_site[largest])
    blueprint = Blueprint({**places, PLAIN: places[largest]}, tuple(chosen), parameters, added, largest, notes)
    plain = _parameters(build(settings, PLAIN, 0, images, blueprint)) - parameters
    return replace(blueprint, added={NONE: 0, PLAIN: plain, **added})


def fitting(settings: Comparison, images: Images) -> tuple[Comparison, dict[str, str]]:
    """Replaces `all` in the settings by every mechanism that fits; returns the reasons for leaving out the others.

    Raises: LookupError and ValueError where the backbone or the sites are wrong rather than a mechanism; before
        anything is attached, so that a module that a user's function does not make anew is left as it was.
    """
    bare = backbone(settings, images, seed=0)
    if not isinstance(settings.backbone, str) and backbone(settings, images, seed=0) is bare:
        raise ValueError(
            f"backbone={settings.backbone_name}: it made the same module twice; a new one each time is accepted"
        )
    asked = [rows.parse(row) for row in settings.rows]
    if all(variant.mechanism != ALL for variant in asked):
        return settings, {}
    example = _example(images)
    kept, left_out = [], {}
    for variant in asked:
        if variant.mechanism != ALL:
            kept.append(str(variant))
            continue
        names = _names(settings, bare, example, variant)
        for entry in catalog.entries():
            row = str(replace(variant, mechanism=entry.name))
            if not entry.drop_in or row in settings.rows or row in kept:
                continue
            try:
                with warnings.catch_warnings(action="ignore", category=NarrowSite):  # `survey` notes it
                    attaching.attach(backbone(settings, images, seed=0), entry.name, after=list(names), example=example)
                kept.append(row)
            except ValueError as error:
                left_out[row] = str(error)
    return replace(settings, attention=tuple(kept)), left_out


def build(settings: Comparison, row: str, seed: int, images: Images, blueprint: Blueprint) -> nn.Module:
    """The untrained model of one row and seed, on the CPU. The caller's random state is left alone.

    Raises: ValueError if the row does not fit its sites; the message names both.
    """
    model = backbone(settings, images, seed)
    if row == NONE:
        return model
    mechanism: str | Callable[..., nn.Module]
    if row == PLAIN:
        mechanism, options = _plain_bottlenecks(blueprint.widths), {}
    else:
        variant = rows.parse(row)
        mechanism, options = variant.mechanism, dict(variant.options)
    with seeded(mixed("attention", row, seed)), warnings.catch_warnings(action="ignore", category=NarrowSite):
        try:
            return attaching.attach(
                model,
                mechanism,
                after=list(blueprint.places[row].sites),
                identity=settings.identity,
                example=_example(images),
                **options,
            )
        except (TypeError, ValueError) as error:
            raise ValueError(f"attention={row!r}: {error}") from error


def attached(row: str, blueprint: Blueprint, model: nn.Module) -> list[str]:
    """Names of the modules and gates that a row has put into its model."""
    if row == NONE:
        return []
    parameters = dict(model.named_parameters())
    gates = [f"{site}.{attaching.ALPHA}" for site in blueprint.places[row].sites]
    return [
        *(f"{site}.{attaching.CHILD}" for site in blueprint.places[row].sites),
        *(gate for gate in gates if gate in parameters),
    ]


def _plain_bottlenecks(widths: Sequence[int]) -> Callable[..., nn.Module]:
    """Returns a function that makes the bottlenecks of the plain row, one for each of its sites in order."""
    remaining = iter(widths)
    return lambda channels: PlainBottleneck(channels, width=next(remaining))


def _sites_by_row(settings: Comparison, bare: nn.Module, example: torch.Tensor) -> dict[str, tuple[str, ...]]:
    """Maps each row with attention to the names of its sites."""
    found = {}
    for row in settings.rows:
        try:
            found[row] = _names(settings, bare, example, rows.parse(row))
        except (LookupError, ValueError) as error:
            if rows.parse(row).places:
                raise type(error)(f"attention={row!r}: {error}") from error
            raise
    return found


def _names(settings: Comparison, bare: nn.Module, example: torch.Tensor, variant: Variant) -> tuple[str, ...]:
    """The sites of one row, in the order in which they run."""
    if not variant.places:
        return tuple(site.name for site in attaching.sites(bare, settings.after, example))
    return tuple(site.name for site in siting.at_places(bare, variant.places, example))


def _example(images: Images) -> torch.Tensor:
    return images.test.images([0])


def outputs(settings: Comparison, images: Images) -> int:
    """The number of outputs of the model: the task's `classes` if it has any, otherwise those of the images."""
    return getattr(settings.task, "classes", None) or len(images.classes)


def backbone(settings: Comparison, images: Images, seed: int) -> nn.Module:
    """The bare backbone. Raises: ValueError if the user's function makes no new module."""
    classes = outputs(settings, images)
    make = settings.backbone
    with seeded(mixed("backbone", seed)):
        if isinstance(make, str):
            shape = _example(images).shape
            return backbones.build(
                make, classes=classes, pretrained=settings.pretrained, image_size=shape[-1], in_chans=shape[1]
            )
        model = make(classes)
    if not isinstance(model, nn.Module):
        raise ValueError(
            f"backbone={settings.backbone_name}: it made a {type(model).__name__}; a new nn.Module is accepted"
        )
    if any(isinstance(hook, attaching.AttentionHook) for m in model.modules() for hook in m._forward_hooks.values()):
        raise ValueError(
            f"backbone={settings.backbone_name}: what it made has attention already; a new bare model is accepted"
        )
    return model


def _parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _attached_parameters(site: nn.Module) -> int:
    """The number of parameters attached to a site, without the gate, which the plain row has as well."""
    return _parameters(site.get_submodule(attaching.CHILD))


def _place(sites: Sequence[Site], stages: Sequence[Site]) -> Place:
    """The place of a row with these sites; see `Place`."""
    grids = [(site.shape[2], site.shape[3]) for site in sites]
    deep_enough = [grid for grid in grids if min(grid) >= LEAST_GRID]
    grid = deep_enough[-1] if deep_enough else max(grids, key=lambda grid: grid[0] * grid[1])
    looked = [site for site, own in zip(sites, grids, strict=True) if own == grid]
    ends = [stage for stage in stages if stage.shape[2:] == grid and not stage.layout.prefix]
    end = (ends or looked)[-1]
    return Place(tuple(site.name for site in sites), grid, tuple(site.name for site in looked), end.name, end.layout)
