"""A paper's network: a trunk, a mechanism, and the places at which it stands.

    y = relu(a(F(x)) + s(x))       "branch", behind the last norm: SE, GE, ECA, CBAM, FcaNet, GSoP, GC, SPPSE    (1)
    y = relu(F₂(a(F₁ x)) + s(x))   "conv", instead of the 3 × 3 convolution: SK                                  (2)
    y = g(x) · F(x) + s(x)         "input", a gate from the block's input: PSE, CPSE, PSPPSE, CPSPPSE            (3)
    y = a(block(x))                "behind" a block: BAM (the last of stages 1 to 3), Non-local                  (4)

The networks of a paper stand in its `network.py`, as the table `NETWORKS`; their names stand in its label.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from regard import catalog
from regard.networks.sites import Backbone, Site

Make = Callable[[Site], nn.Module]
Where = Callable[[Site], bool]


@dataclass(frozen=True, kw_only=True)
class Network:
    """One network of a paper.

    Args:
        backbone: what the mechanism goes into.
        attention: site -> mechanism.
        place: branch, conv, input or behind, as in equations (1) to (4).
        where: which sites have one; None means all.
        head: average, or covariance (GSoP-Net2).
        classes: what the authors told apart: 1000 of ImageNet, 400 of Kinetics, 100 or 10 of CIFAR.
        parameters: the count of the released definition or code with as many classes; None where there is none.
        error: what the authors report, top-1 in percent, where they do.
    """

    backbone: Backbone
    attention: Make
    place: str = "branch"
    where: Where | None = None
    head: str = "average"
    classes: int = 1000
    parameters: int | None = None
    error: float | None = None

    def mechanism(self, site: Site) -> nn.Module | None:
        return self.attention(site) if self.where is None or self.where(site) else None


def family(
    name: str,
    backbones: Mapping[Any, Backbone],
    attention: Make,
    published: Mapping[Any, tuple[int, float] | int | None],
    **others: Any,
) -> dict[str, Network]:
    """Networks that differ in their backbone; of each the published count, and the error where there is one."""
    networks = {}
    for key, fact in published.items():
        parameters, error = fact if isinstance(fact, tuple) else (fact, None)
        networks[name.format(key)] = Network(
            backbone=backbones[key], attention=attention, parameters=parameters, error=error, **others
        )
    return networks


def find(name: str) -> Network:
    """The network called `name`.

    Raises:
        LookupError: there is none; the message names the nearest.
    """
    folder = catalog.networks().get(name)
    if folder is None:
        raise LookupError(f"no network {name!r}; {catalog.nearest(name, catalog.networks())}")
    found: Network = importlib.import_module(f"regard.papers.{folder}.network").NETWORKS[name]
    return found


def of(mechanism: Callable[..., nn.Module], **options: Any) -> Make:
    """One that needs nothing but its channels."""
    return lambda site: mechanism(site.channels, **options)


def ends_stage(site: Site) -> bool:
    return site.block == site.blocks - 1


def ends_stage_1_to_3(site: Site) -> bool:
    return ends_stage(site) and site.stage < 3


def from_stage_2(site: Site) -> bool:
    return site.stage > 0


def before_the_end_of_stage_3(site: Site) -> bool:
    return site.stage == 2 and site.block == site.blocks - 2


def stages_2_and_3(site: Site) -> bool:
    """Ten blocks of ResNet-50."""
    return site.stage in (1, 2)


def every_second(site: Site) -> bool:
    """Five of those."""
    return stages_2_and_3(site) and site.block % 2 == 1


def every_second_then_seventh(site: Site) -> bool:
    """Five blocks of ResNet-101."""
    return every_second(site) if site.stage == 1 else site.stage == 2 and site.block % 7 == 6
