"""What a recipe is made of: the network, the datasets, the phases of training."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from torch import nn

from regard.catalog.recipes import Listing
from regard.data.batches import Data
from regard.training.plan import Plan, Task


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
        build: makes the untrained network: a class of the catalogue or a partial of one, whose arguments are written
            beside the weights, so that they can be opened without naming them again.
        train, test: the datasets.
        phases: run one after the other; the task of the last one scores the network.
        task: scores the network in its place.
        prepare: called with the model once before the first phase: for published weights to start from.
        facts: what else result.json says; JSON's types.
        part: name of the part that is scored and looked at, where the network holds others too, as a student beside
            its teacher; `build` is then a partial with what makes that part under the same name.
        tiny: whether it is the twin; `built` sets it.
    """

    build: Callable[[], nn.Module]
    train: Data
    test: Data
    phases: tuple[Phase, ...]
    task: Task | None = None
    prepare: Callable[[nn.Module], None] | None = None
    facts: Mapping[str, object] = field(default_factory=dict)
    part: str = ""
    tiny: bool = False


class Build(Protocol):
    """A recipe's function.

    `data` is the folder of its data set, None for what the project brings. `tiny` makes the tiny variant: the same code
    on the smallest sizes that mean something, on embedded data.
    """

    def __call__(self, data: Path | None = None, *, tiny: bool = False) -> Recipe: ...


def built(listing: Listing, data: Path | None = None, *, tiny: bool = False) -> Recipe:
    """The recipe of a listing.

    Args:
        listing: as `catalog.recipes.get` finds it.
        data: the folder of its data set; None for what the project brings.
        tiny: the tiny variant.

    Raises: ValueError where the recipe needs a folder; what reading it raises.
    """
    module, _, function = listing.target.partition(":")
    build: Build = getattr(importlib.import_module(f"regard.{module}"), function)
    return replace(build(data, tiny=tiny), tiny=tiny)
