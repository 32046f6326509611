"""A paper's network: a trunk, a mechanism, and the places at which it stands.

    y = relu(a(F(x)) + s(x))       "branch", behind the last norm: SE, GE, ECA, CBAM, FcaNet, GSoP, GC, SPPSE    (1)
    y = relu(F₂(a(F₁ x)) + s(x))   "conv", instead of the 3 × 3 convolution: SK                                  (2)
    y = g(x) · F(x) + s(x)         "input", a gate from the block's input: PSE, CPSE, PSPPSE, CPSPPSE            (3)
    y = a(block(x))                "behind" a block: BAM (the last of stages 1 to 3), Non-local                  (4)

The networks of a paper stand in its `network.py`, as the table `NETWORKS`; their names stand in its label.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from torch import nn

from regard import catalog
from regard.networks.sites import Backbone, Site

Make = Callable[[Site], nn.Module]
Where = Callable[[Site], bool]
Key = TypeVar("Key", int, str)  # by which a trunk is known: its depth, or its name


@dataclass(frozen=True, kw_only=True)
class Network:
    """One network of a paper.

    Args:
        backbone: what the mechanism goes into.
        attention: site -> mechanism; None for a network without attention.
        place: branch, conv, input or behind, as in equations (1) to (4).
        where: which sites have one; None means all.
        head: average, or covariance (GSoP-Net2).
        classes: number of classes: 1000 of ImageNet, 400 of Kinetics, 100 or 10 of CIFAR.
        parameters: the count of the released definition or code with as many classes; None where there is none.
        error: top-1 error in percent that the authors report; None where they report none.
    """

    backbone: Backbone
    attention: Make | None = None
    place: str = "branch"
    where: Where | None = None
    head: str = "average"
    classes: int = 1000
    parameters: int | None = None
    error: float | None = None

    def mechanism(self, site: Site) -> nn.Module | None:
        """The mechanism at a site, or None where the paper has none."""
        if self.attention is None or not (self.where is None or self.where(site)):
            return None
        return self.attention(site)


def family(
    name: str,
    trunks: Mapping[Key, Backbone],
    attention: Make | None,
    published: Mapping[Key, tuple[int, float] | int | None],
    *,
    place: str = "branch",
    where: Where | None = None,
    classes: int = 1000,
) -> dict[str, Network]:
    """Networks that differ in their trunk alone.

    Args:
        name: of each network; its `{}` is replaced by the key of the trunk.
        trunks: key -> trunk; only those in `published` are taken.
        attention: site -> mechanism; None for networks without attention.
        published: key -> the published count of parameters, or count and error, or None.
        place, where, classes: as in `Network`.
    """
    networks = {}
    for key, fact in published.items():
        parameters, error = fact if isinstance(fact, tuple) else (fact, None)
        networks[name.format(key)] = Network(
            backbone=trunks[key],
            attention=attention,
            place=place,
            where=where,
            classes=classes,
            parameters=parameters,
            error=error,
        )
    return networks


def of(mechanism: Callable[..., nn.Module], **options: Any) -> Make:
    """Site -> a mechanism that needs only the number of channels, and `options`, in networks of any width."""
    return lambda site: mechanism(site.channels, **{**options, **narrow(mechanism, site.channels, **options)})


def narrow(mechanism: Callable[..., nn.Module], channels: int, **options: Any) -> dict[str, Any]:
    """The reduction that leaves a hidden channel, as an argument, where that of the paper leaves none.

    Only a network narrower than the paper's has such a site. The paper's reduction is the mechanism's default, or among
    the `options`.
    """
    usual = inspect.signature(mechanism).parameters.get("reduction")
    paper = options.get("reduction", 1 if usual is None else usual.default)
    return {"reduction": channels} if channels < paper else {}


def ends_stage(site: Site) -> bool:
    """Whether the block is the last of its stage."""
    return site.block == site.blocks - 1


def ends_stage_1_to_3(site: Site) -> bool:
    """Whether the block is the last of stage 1, 2 or 3."""
    return ends_stage(site) and site.stage < 3


def find(name: str) -> Network:
    """The network called `name`.

    Raises:
        LookupError: there is none; the message names the nearest.
    """
    folder = catalog.networks().get(name)
    if folder is None:
        raise LookupError(f"name={name!r}: no network is called so; {catalog.nearest(name, catalog.networks())}")
    found: Network = importlib.import_module(f"regard.papers.{folder}.network").NETWORKS[name]
    return found
