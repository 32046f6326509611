"""The parts of a recipe: the network, the datasets and the phases of training."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn

from regard.catalog.recipes import Claim, Listing
from regard.data.batches import Data
from regard.data.visits import Codes
from regard.data.words import Words
from regard.training.plan import Plan, Task


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A phase of training, with its task, its plan and the parameters that it trains.

    Args:
        name: the name of the phase, and of its folder of checkpoints.
        task: gives the loss.
        plan: the settings of the training.
        trains: glob patterns of the parameters that are trained; the others are frozen, and so are batch norms without
            a trained parameter.
        before, after: called with the network before the first step and after the last one, for what is computed and
            not learned by gradients, such as statistics of the training data. A phase that resumes has what `before`
            computed; `after` is called again with what the phase has trained, and has to do the same.
    """

    name: str
    task: Task
    plan: Plan
    trains: tuple[str, ...] = ("*",)
    before: Callable[[nn.Module], None] | None = None
    after: Callable[[nn.Module], None] | None = None


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that is needed to train and evaluate one system.

    Args:
        build: makes the untrained network: a class of the catalogue, or a partial of one, whose arguments are saved
            with the weights, so that these can be opened without further arguments.
        train, test: the training and the test dataset.
        phases: the phases in their order; the task of the last one scores the network.
        task: scores the network, in place of the last phase's task.
        start: gives the trunk of the model its first weights before a training begins: those of a checkpoint of the
            whole trunk, by name, or with None the published ones; None for a network that starts at random.
        facts: other content of result.json; JSON values.
        class_names: the names of the classes, in the order of the outputs, which are saved with the weights.
        vocabulary: the words of a network that reads or writes sentences, or several vocabularies by name, such as the
            codes of visits, which are saved with the weights.
        part: the name of the submodule that is the trained network, if `build` makes others too, as a student with its
            teacher; `build` is then a partial with a keyword argument of this name that makes the submodule.
        claim: what the paper reports, where it depends on the recipe's options; it goes before the listing's.
        tiny: whether this is the tiny variant; `built` sets it.
        source: the folder that the datasets are read from; None for embedded data. `built` sets it.
        options: the options that were given; `built` sets them.
    """

    build: Callable[[], nn.Module]
    train: Data
    test: Data
    phases: tuple[Phase, ...]
    task: Task | None = None
    start: Callable[[nn.Module, Mapping[str, Tensor] | None], None] | None = None
    facts: Mapping[str, object] = field(default_factory=dict)
    class_names: tuple[str, ...] = ()
    vocabulary: Words | Mapping[str, Words | Codes] | None = None
    part: str = ""
    claim: Claim | None = None
    tiny: bool = False
    source: Path | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


class Build(Protocol):
    """The function of a recipe.

    `data` is the folder of the dataset; None uses embedded data. `tiny` makes the tiny variant: the same code with a
    small network on embedded data, which trains in seconds. Further keyword arguments are the recipe's options.
    """

    def __call__(self, data: Path | None = None, *, tiny: bool = False, **options: Any) -> Recipe: ...


def built(
    listing: Listing, data: Path | None = None, *, tiny: bool = False, options: Mapping[str, Any] | None = None
) -> Recipe:
    """Builds the recipe of a listing.

    Args:
        listing: a listing from `catalog.recipes.get`.
        data: the folder of the dataset; None uses embedded data.
        tiny: build the tiny variant.
        options: the recipe's options, JSON values, for example `{"network": "se_resnet50"}`; the others have their
            defaults.

    Raises: ValueError if the recipe needs a folder and `data` is None, or has no such option; the errors of reading the
        folder.
    """
    module, _, function = listing.target.partition(":")
    build: Build = getattr(importlib.import_module(f"regard.{module}"), function)
    given = dict(options or {})
    known = taken(build)
    for name in given:
        if name not in known:
            what = f"its options are {', '.join(known)}" if known else "it has no options"
            raise ValueError(f"{name}={given[name]!r} is no option of the recipe {listing.name}: {what}")
    return replace(build(data, tiny=tiny, **given), tiny=tiny, source=data, options=given)


def taken(build: Build) -> tuple[str, ...]:
    """The names of a recipe's options: the keyword arguments of its function that it leaves to the user."""
    fixed = build.keywords if isinstance(build, partial) else {}
    names = inspect.signature(build).parameters
    return tuple(name for name in names if name not in ("data", "tiny", *fixed))
