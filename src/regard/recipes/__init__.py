"""The systems of the papers, trained: what with, how, and what the paper reports.

    recipe = recipes.get("ram-mnist").load()(data=Path("mnist"))
    result = running.train(recipe, out=Path("run"))

This file holds the words and imports no torch, so that a command line can list them at once. A recipe is a function in
a file of this room, called with the folder of its data set; every recipe has a tiny twin, which trains in seconds on
data that the project brings.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from regard import catalog

if TYPE_CHECKING:
    from torch import nn

    from regard.batches import Images
    from regard.training import Plan, Task


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What the paper reports.

    Args:
        measure: the name under which the recipe scores it.
        value: the paper's number, in the same unit.
        where: its place in the paper.
    """

    measure: str
    value: float
    where: str

    def __str__(self) -> str:
        return f"{self.measure} {self.value:g} ({self.where})"


@dataclass(frozen=True, kw_only=True)
class Listing:
    """One recipe in the table.

    Args:
        name: what `regard train` calls it.
        target: `file:function` in this room.
        system: the catalogue's name of what it trains.
        summary: one line.
        data: what has to be in the folder that it is given; empty where it brings its own.
        claim: what the paper reports, where it does.
    """

    name: str
    target: str
    system: str
    summary: str
    data: str = ""
    claim: Claim | None = None

    def load(self) -> Build:
        """The function; this is what imports torch."""
        module, _, function = self.target.partition(":")
        found: Build = getattr(importlib.import_module(f"{__name__}.{module}"), function)
        return found


class Build(Protocol):
    """A recipe's function.

    `data` is the folder of its data set, None for what the project brings. `tiny` makes the twin: the same code on the
    smallest sizes that mean something, on embedded data.
    """

    def __call__(self, data: Path | None = None, *, tiny: bool = False) -> Recipe: ...


@dataclass(frozen=True, kw_only=True)
class Phase:
    """One stretch of training.

    Args:
        name: names its folder of checkpoints.
        task: gives the loss.
        plan: how.
        trains: glob patterns of the parameters that learn; the others, and the batch norms without a learning
            parameter, stay as they are.
    """

    name: str
    task: Task
    plan: Plan
    trains: tuple[str, ...] = ("*",)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything to train and evaluate one system.

    Args:
        build: the untrained network.
        train, test: the images.
        phases: run one after the other.
        score: model, test images and device -> numbers; by default what the last phase's task scores.
        prepare: model and training images -> None, called once before the first phase; for statistics that the network
            needs from the data.
    """

    build: Callable[[], nn.Module]
    train: Images
    test: Images
    phases: tuple[Phase, ...]
    score: Callable[[nn.Module, Images, Any], dict[str, float]] | None = None
    prepare: Callable[[nn.Module, Images], None] | None = None
    facts: dict[str, Any] = field(default_factory=dict)


LISTINGS: tuple[Listing, ...] = ()


def get(name: str) -> Listing:
    """The recipe called `name`.

    Raises: LookupError if there is none; the message names the nearest.
    """
    for listing in LISTINGS:
        if listing.name == name:
            return listing
    raise LookupError(f"no recipe {name!r}; {catalog.nearest(name, tuple(listing.name for listing in LISTINGS))}")
