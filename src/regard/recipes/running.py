"""A recipe from its function to a run folder, and a trained network from its file to a score.

phase-N-NAME/         checkpoint.pt and history.json of each phase
model.safetensors     the trained weights
result.json           scores, the paper's claim, the settings, the versions
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from fnmatch import fnmatchcase
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import nn

from regard.checkpoints import write_whole
from regard.recipes import Listing, Phase, Recipe
from regard.training import fit, mixed, predict

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def train(
    listing: Listing,
    recipe: Recipe,
    *,
    out: Path,
    device: str = "cpu",
    seed: int = 0,
    workers: int = 0,
    changes: Mapping[str, Any] | None = None,
    on_phase: Callable[[str], None] | None = None,
    on_step: Callable[[int, int, float], None] | None = None,
    on_epoch: Callable[[int, dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Trains every phase, or goes on where an earlier call stopped; evaluates; writes the run folder.

    Args:
        listing, recipe: what to train.
        out: the run folder.
        device: `cpu`, `cuda`, `cuda:1`.
        seed: of the initial weights and of everything that is drawn in training.
        workers: processes that load images ahead.
        changes: fields of `training.Plan` to change in every phase: `{"epochs": 3}`.
        on_phase, on_step, on_epoch: told what happens, as by `training.fit`.

    Returns: the content of result.json.
    Raises: ValueError if the folder belongs to other settings; OSError if it cannot be written.
    """
    began = time.perf_counter()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(mixed("recipe", listing.name, seed))
        model = recipe.build()
    if recipe.prepare is not None:
        recipe.prepare(model, recipe.train)
    history = {}
    for number, phase in enumerate(recipe.phases, 1):
        if on_phase is not None:
            on_phase(phase.name)
        plan = replace(phase.plan, **{"seed": seed, **(changes or {})})
        with only(model, phase):
            history[phase.name] = fit(
                model,
                phase.task,
                recipe.train,
                plan,
                folder=out / f"phase-{number}-{phase.name}",
                device=device,
                workers=workers,
                on_step=on_step,
                on_epoch=on_epoch,
            )
    scores = evaluate(recipe, model, device=device)
    result = {
        "recipe": listing.name,
        "system": listing.system,
        "scores": scores,
        "claim": None if listing.claim is None else vars(listing.claim),
        "seed": seed,
        "changes": dict(changes or {}),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "seconds": time.perf_counter() - began,
        "history": history,
        "facts": recipe.facts,
        "versions": {name: version(name) for name in ("regard", "torch", "timm")}
        | {"python": platform.python_version()},
    }
    if int(torch.distributed.get_rank() if torch.distributed.is_initialized() else 0) == 0:
        state = {name: value.detach().cpu().contiguous().clone() for name, value in model.state_dict().items()}
        write_whole(out / "model.safetensors", save(state))
        write_whole(out / "result.json", json.dumps(result, indent=1, default=str).encode())
    return result


def evaluate(recipe: Recipe, model: nn.Module, *, device: str = "cpu") -> dict[str, float]:
    """The scores of a trained network on the recipe's test images."""
    model.to(device).eval()
    if recipe.score is not None:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(mixed("evaluate"))
            return recipe.score(model, recipe.test, device)
    last = recipe.phases[-1]
    plan = last.plan
    logits, labels = predict(
        model,
        recipe.test,
        batch_size=plan.batch_size,
        device=device,
        normalise=plan.normalise,
        precision=plan.precision,
    )
    return last.task.score(logits, labels)


def load(recipe: Recipe, weights: Path) -> nn.Module:
    """The recipe's network with trained weights.

    Raises: FileNotFoundError if there is no such file; ValueError if the weights are of another network.
    """
    if not weights.is_file():
        raise FileNotFoundError(f"no file {weights}")
    model = recipe.build()
    try:
        model.load_state_dict(load_file(weights))
    except Exception as error:  # the reader and torch raise several types, none of which names the file
        first = " ".join(str(error).split())[:200]
        raise ValueError(f"{weights} does not fit {type(model).__name__}: {first}") from error
    return model


@contextmanager
def only(model: nn.Module, phase: Phase) -> Iterator[None]:
    """Only the parameters that the phase names learn while the block runs; frozen batch norms keep their statistics.

    Raises: ValueError if a pattern names no parameter.
    """
    names = dict(model.named_parameters())
    for pattern in phase.trains:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise ValueError(f"phase {phase.name!r}: trains={pattern!r} names no parameter of {type(model).__name__}")
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
