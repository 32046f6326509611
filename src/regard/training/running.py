"""Training a recipe into a run folder, and evaluating a trained network from its file.

phase-N-NAME/         checkpoint.pt and history.json of each phase
model.safetensors     the trained weights and the description of the network: see `regard.saved.description`
result.json           the scores, the paper's claim and whether they compare, the settings, the versions, the
                      description of the network
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from fnmatch import fnmatchcase
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Generator, nn

from regard.catalog.recipes import Listing
from regard.data import presets
from regard.data.batches import as_sample
from regard.data.contents import digest
from regard.data.visits import Codes
from regard.data.words import Words
from regard.metrics.metric import Metric, figures
from regard.ops.seeds import mixed, seeded
from regard.saved import description as trained
from regard.saved.description import Trained
from regard.saved.digests import sealed_weights
from regard.saved.files import apart, claimed, write_whole
from regard.training.claims import judged
from regard.training.evaluate import measured
from regard.training.freezing import BATCH_NORMS, FREEZE, frozen, learning
from regard.training.loop import fit
from regard.training.memory import advised
from regard.training.plan import Plan
from regard.training.recipe import Phase, Recipe
from regard.training.schedules import Steps
from regard.training.starting import beginning

LESS = "a smaller batch size, fewer workers or the precision bfloat16"  # what needs less memory


def train(
    listing: Listing,
    recipe: Recipe,
    *,
    out: Path,
    device: str = "cpu",
    seed: int = 0,
    workers: int = 0,
    changes: Mapping[str, Any] | None = None,
    freeze: str | None = None,
    weights: Path | None = None,
    random: bool = False,
    on_phase: Callable[[str], None] | None = None,
    on_step: Callable[[int, int, float], None] | None = None,
    on_epoch: Callable[[int, dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Trains all phases of a recipe, evaluates the network and writes the run folder; resumes a run that was stopped.

    Args:
        listing, recipe: the recipe and its listing.
        out: the run folder.
        device: `cpu`, `cuda`, `cuda:1`.
        seed: the seed of the initial weights and the training.
        workers: the number of processes that read samples ahead.
        changes: fields of `training.plan.Plan` to change in every phase, as `{"epochs": 3}`; `augment` may be a name of
            `data.presets`.
        freeze: `backbone` trains only the attention modules and the classifier, of the parameters of a phase.
        weights: a checkpoint file of the trunk, from which it starts in place of the published weights.
        random: starts from random weights where the recipe has published ones.
        on_phase: called with the name of each phase when it begins, on rank 0.
        on_step, on_epoch: as for `training.loop.fit`.

    Returns: the content of result.json.
    Raises: ValueError if the folder has other settings or other weights, or is in the folder of the dataset, if with
        `freeze` the classifier cannot be found, or if `weights` do not fit; OSError if the folder cannot be written, if
        another training is at work in it, or if the published weights cannot be loaded; MemoryError, with advice.
    """
    began = time.perf_counter()
    begins = beginning(recipe, weights=weights, random=random)
    network = describe(
        recipe, name=listing.name, changes=changes
    )  # raises before the training if an argument cannot be written
    apart(out, recipe.source)
    together = torch.distributed.is_initialized()
    # The rank from torchrun, since `fit` joins the process group later and leaves it again: one process writes.
    writes = (torch.distributed.get_rank() if together else int(os.environ.get("RANK", 0))) == 0
    with claimed(out, "regard train") if writes else nullcontext(), advised(LESS):
        if writes:
            _check_own(out, recipe)
        with seeded(mixed("recipe", listing.name, seed)):
            model = recipe.build()
        if not (_folder(out, 1, recipe.phases[0]) / "checkpoint.pt").exists():  # which has its own weights
            begins.give(model)
        content = digest(recipe.train) if writes and recipe.source is not None else None
        history = {}
        for number, phase in enumerate(recipe.phases, 1):
            if on_phase is not None and writes:
                on_phase(phase.name)
            plan = changed(replace(phase.plan, seed=seed), changes)
            if phase.before is not None and not (_folder(out, number, phase) / "checkpoint.pt").exists():
                phase.before(model)
            with only(model, phase), _frozen(freeze, model, phase):
                history[phase.name] = fit(
                    model,
                    phase.task,
                    recipe.train,
                    plan,
                    folder=_folder(out, number, phase),
                    device=device,
                    workers=workers,
                    content=content,
                    start=begins.fact,
                    on_step=on_step,
                    on_epoch=on_epoch,
                )
            if phase.after is not None:
                phase.after(model)
        scores = evaluate(recipe, model, device=device)
        settings = {**(changes or {}), **({} if freeze is None else {"freeze": freeze})}
        settings |= {} if begins.fact is None else {"start": begins.fact}
        result = {
            "recipe": listing.name,
            "system": listing.system,
            "scores": scores,
            "claim": judged(listing, recipe, settings),
            "seed": seed,
            "changes": settings,
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "seconds": time.perf_counter() - began,
            "history": history,
            "facts": recipe.facts,
            "network": None if network is None else network.facts(),
            "versions": {name: version(name) for name in ("regard", "torch", "timm")}
            | {"python": platform.python_version()},
        }
        if writes:
            state = {name: value.detach().cpu().contiguous().clone() for name, value in model.state_dict().items()}
            whole = save(state, None if network is None else network.metadata())
            write_whole(out / trained.NAME, sealed_weights(whole))
            write_whole(out / "result.json", json.dumps(result, indent=1, default=str).encode())
    return result


def _folder(out: Path, number: int, phase: Phase) -> Path:
    """The folder of a phase in the run folder, from 1."""
    return out / f"phase-{number}-{phase.name}"


def _check_own(out: Path, recipe: Recipe) -> None:
    """Raises: ValueError if the run folder holds weights that this recipe did not write."""
    if (out / trained.NAME).exists() and not _folder(out, 1, recipe.phases[0]).exists():
        raise ValueError(f"{out} holds {trained.NAME} of something else; choose another --out")


def changed(plan: Plan, changes: Mapping[str, Any] | None) -> Plan:
    """The plan with the changes of `train`; if they change the optimizer, the plan's options are dropped.

    If they change the epochs, the epochs after which the rate falls change in proportion.

    Raises: ValueError if a value is out of range.
    """
    changes = dict(changes or {})
    if isinstance(changes.get("augment"), str):
        changes["augment"] = presets.get(changes["augment"])
    if changes.get("optimizer", plan.optimizer) != plan.optimizer:
        changes.setdefault("options", {})
    made = replace(plan, **changes)
    if made.epochs != plan.epochs and isinstance(plan.schedule, Steps) and "schedule" not in changes:
        at = tuple(epoch * made.epochs / plan.epochs for epoch in plan.schedule.at)
        made = replace(made, schedule=replace(plan.schedule, at=at))
    return made


def _frozen(freeze: str | None, model: nn.Module, phase: Phase) -> AbstractContextManager[None]:
    """The block in which `freeze` holds. Raises: ValueError for an unknown word, or if the classifier is not found."""
    if freeze is None:
        return nullcontext()
    if freeze not in FREEZE:
        raise ValueError(f"freeze={freeze!r}: {', '.join(FREEZE)} is accepted")
    classes = getattr(phase.task, "classes", None)
    if classes is None:
        task = type(phase.task).__name__
        raise ValueError(
            f"freeze={freeze!r}: a task with classes is needed; the task of phase {phase.name!r} is {task}"
        )
    try:
        return frozen(model, learning(model, classes))
    except ValueError as error:
        raise ValueError(f"freeze={freeze!r}: {error}") from error


def describe(recipe: Recipe, *, name: str | None = None, changes: Mapping[str, Any] | None = None) -> Trained | None:
    """The description of the recipe's network and its inputs; None if `build` is not an entry of the catalogue.

    Args:
        recipe: the recipe.
        name: the name of the recipe.
        changes: changes of its plans, as for `train`.

    Raises: ValueError if an argument is not a JSON value.
    """
    build = recipe.build.keywords[recipe.part] if recipe.part else recipe.build  # type: ignore[attr-defined]
    made = trained.arguments(build)
    if made is None:
        return None
    plan = changed(recipe.phases[-1].plan, changes)
    sample = as_sample(recipe.train[0])
    if plan.augment is not None:
        sample = plan.augment(sample, Generator().manual_seed(0))
    return Trained(
        entry=made[0],
        arguments=made[1],
        normalise=plan.normalise,
        image=tuple(sample["image"].shape) if "image" in sample else None,
        prefix=f"{recipe.part}." if recipe.part else "",
        class_names=recipe.class_names,
        vocabulary=_tokens(recipe.vocabulary),
        recipe=name,
        tiny=recipe.tiny,
        options=recipe.options,
    )


def _tokens(vocabulary: Words | Mapping[str, Words | Codes] | None) -> tuple[str, ...] | dict[str, tuple[str, ...]]:
    """The word of each row, or those of several vocabularies by name."""
    if isinstance(vocabulary, Words):
        return vocabulary.tokens
    return {name: words.tokens for name, words in (vocabulary or {}).items()} or ()


def recorded(weights: Path) -> tuple[str, bool, dict[str, Any]]:
    """The name of the recipe that trained the weights, whether it was the tiny variant, and its options.

    Args:
        weights: the file, or the run folder.

    Raises: FileNotFoundError if there is no such file; ValueError if it does not name a recipe; the errors of
        `trained.read`.
    """
    path = trained.located(weights)
    found = trained.read(path)
    if found is None or found.recipe is None:
        raise ValueError(f"{path} does not name its recipe: give the name of the recipe")
    return found.recipe, found.tiny, dict(found.options)


def changes_of(weights: Path) -> dict[str, Any]:
    """The changes of `train`, from the result.json beside the weights; none if there is no such file, or it is damaged.

    Args:
        weights: the file, or the run folder.
    """
    try:
        content = json.loads((trained.located(weights).parent / "result.json").read_text(encoding="utf-8"))
        return dict(content["changes"])
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return {}


def evaluate(recipe: Recipe, model: nn.Module, *, device: str = "cpu") -> dict[str, float]:
    """Evaluates a trained network on the recipe's test dataset; see `metric`."""
    return figures(metric(recipe, model, device=device))


def metric(recipe: Recipe, model: nn.Module, *, device: str = "cpu") -> Metric:
    """The metric of a trained network, updated by the recipe's test dataset.

    A dataset of large samples, such as many views of a video, has `at_once`: the most of them in a batch.
    """
    last = recipe.phases[-1]
    model.eval()
    return measured(
        model,
        recipe.task or last.task,
        recipe.test,
        batch_size=min(last.plan.batch_size, getattr(recipe.test, "at_once", last.plan.batch_size)),
        device=device,
        normalise=last.plan.normalise,
        precision=last.plan.precision,
    )


def load(recipe: Recipe, weights: Path) -> nn.Module:
    """Builds the recipe's network and loads trained weights.

    Args:
        recipe: the recipe.
        weights: the file, or the run folder.

    Raises: FileNotFoundError if there is no such file; ValueError if the weights are of another network or were trained
        with another normalisation; the errors of `trained.read`.
    """
    weights = trained.located(weights)
    found, own = trained.read(weights), describe(recipe)
    if found is not None and own is not None:
        theirs, ours = (
            {"entry": x.entry, **x.arguments, "normalise": x.normalise, "vocabulary": x.vocabulary}
            for x in (found, own)
        )
        for name in {**theirs, **ours}:
            was, now = (trained.plain(x.get(name)) for x in (theirs, ours))
            if was != now:
                told = (
                    "another vocabulary than the recipe's"
                    if name == "vocabulary"
                    else f"{name}={was!r}, and the recipe has {name}={now!r}"
                )
                raise ValueError(
                    f"{weights} was trained with {told}: the recipe, the dataset and --tiny of the training are needed"
                )
    model = recipe.build()
    try:
        model.load_state_dict(load_file(weights))
    except Exception as error:  # the reader and torch raise several types, and none names the file
        first = " ".join(str(error).split())[:200]
        raise ValueError(f"{weights} does not fit {type(model).__name__}: {first}") from error
    return model


@contextmanager
def only(model: nn.Module, phase: Phase) -> Iterator[None]:
    """Trains only the parameters of the phase in the block; frozen batch norms keep their statistics.

    Raises: ValueError if a pattern matches no parameter.
    """
    names = dict(model.named_parameters())
    for pattern in phase.trains:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise ValueError(f"phase {phase.name!r}: trains={pattern!r} matches no parameter of {type(model).__name__}")
    before = {name: parameter.requires_grad for name, parameter in names.items()}
    frozen = []
    for name, parameter in names.items():
        learns = any(fnmatchcase(name, pattern) for pattern in phase.trains)
        parameter.requires_grad_(before[name] and learns)
    for module in model.modules():
        own = list(module.parameters(recurse=False))
        if isinstance(module, BATCH_NORMS) and own and not any(parameter.requires_grad for parameter in own):
            frozen.append((module, module.momentum))
            module.momentum = 0.0
    try:
        yield
    finally:
        for name, parameter in names.items():
            parameter.requires_grad_(before[name])
        for module, momentum in frozen:
            module.momentum = momentum
