"""One trial: training, evaluation and heat maps; the same in this process, in a worker and on a cluster."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import nn

from regard import backbones
from regard.comparing import Comparison, Trial, faithfulness, kinds, looking, mattering, measuring
from regard.comparing.building import Blueprint
from regard.comparing.images import Images, OwnImages, Part
from regard.data import presets
from regard.data.batches import Normalisation
from regard.metrics.metric import figures
from regard.ops.seeds import mixed, seeded
from regard.report import Record
from regard.saved import description as trained
from regard.tasks.classify import Classify
from regard.training import freezing
from regard.training.evaluate import batches, evaluating
from regard.training.loop import fit
from regard.training.plan import Plan, Task

SHOWN = 24  # images in the gallery

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Outcome:
    """The result of a trial.

    Args:
        record: its line of results.jsonl.
        arrays: per test image [N, …]: what `kinds.Kind.each` keeps, and for those whose object is known `energy` and so
            on; `gallery.map`, `gallery.prediction` and so on of the gallery's images, `replaced.even.score` and so on
            of those on which the maps are replaced, `faithful.own map.deletion.road` and so on of the gallery's.
        weights: the trained model's state as a safetensors file.
    """

    record: Record
    arrays: Arrays
    weights: bytes


def normalisation(model: nn.Module, images: Images) -> Normalisation | None:
    """The normalisation of the images: that of the backbone, or None if they are normalised already."""
    return None if isinstance(images, OwnImages) and not images.unit else backbones.normalisation(model)


def plan_of(settings: Comparison, seed: int, normalise: Normalisation | None) -> Plan:
    """The training plan of all rows of a seed.

    Raises: LookupError for an unknown `augment`; ValueError if a value is out of range.
    """
    assert settings.lr is not None and settings.weight_decay is not None
    return Plan(
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        optimizer=settings.optimizer,
        lr=settings.lr,
        weight_decay=settings.weight_decay,
        augment=presets.get(settings.augment) if isinstance(settings.augment, str) else settings.augment,
        seed=seed,
        normalise=normalise,
        channels_last=settings.device == "cpu",  # a fifth faster there, of a small ResNet's training
    )


def run(
    settings: Comparison,
    trial: Trial,
    images: Images,
    blueprint: Blueprint,
    *,
    folder: Path | None,
    device: torch.device,
    on_step: Callable[[int, int], None],
) -> Outcome:
    """Runs one trial, from its last checkpoint if `folder` has one.

    Args:
        folder: for checkpoints; None keeps none.
        device: where to run.
        on_step: told (steps done, steps in all).
    """
    began = time.perf_counter()
    kind = kinds.of(settings)
    model = kind.build(settings, trial.row, trial.seed, images, blueprint)
    task, normalise = kind.task(settings, images), normalisation(model, images)
    plan = plan_of(settings, trial.seed, normalise)
    with _learning(settings, trial, model, blueprint, task):
        history = fit(
            model,
            task,
            images.train,
            plan,
            folder=folder,
            device=device,
            evaluate=images.test,
            on_step=lambda done, total, loss: on_step(done, total),
        )
    scores, each = _scored(model, task, images.test, settings, device, normalise)
    model.eval()
    view = looking.View(blueprint.places[trial.row], normalise, device, kind.explained)
    shown = gallery_choice(images.test)
    shown_images = images.test.images(shown)
    located, chance = looking.locate(model, images.test, view)
    means = {name: float(values.mean()) for name, values in located.items()}
    replaced, each_replaced = mattering.replaced(model, task, images.test, settings, device, normalise)
    curves = {}
    if settings.faithful:
        curves = faithfulness.tested(model, images.test, shown, view, classes=isinstance(task, Classify))
    measure = task.measure
    record = Record(
        row=trial.row,
        seed=trial.seed,
        measure=measure,
        score=scores[measure.name],
        scores=scores,
        through=looking.through(model, shown_images, view),
        history=tuple(
            {
                "epoch": epoch["epoch"],
                "loss": epoch["loss"],
                "score": epoch[f"test_{measure.name}" if f"test_{measure.name}" in epoch else measure.name],
                "seconds": epoch["seconds"],
            }
            for epoch in history
        ),
        parameters=measuring.parameters(model),
        seconds=time.perf_counter() - began,
        chance_energy=chance,
        replaced=replaced,
        **means,
    )
    (shown_batch,) = batches(images.test, shown, batch_size=len(shown), device=device, normalise=normalise)
    arrays = {
        **each,
        **located,
        **{f"replaced.{name}": values for name, values in each_replaced.items()},
        **{f"faithful.{name}": values for name, values in curves.items()},
        **{f"gallery.{name}": maps for name, maps in looking.heat_maps(model, shown_images, view).items()},
        **{f"gallery.{name}": values for name, values in kind.answers(task, model, shown_batch).items()},
    }
    described = kind.description(settings, trial, images, model, blueprint, normalise)
    return Outcome(record, arrays, _weights(model, described))


def gallery_choice(data: Part) -> list[int]:
    """Chooses the images of the gallery: classes in turn, and in each class images with a known object first."""
    by_class: dict[int, list[int]] = {}
    for i, label in enumerate(data.labels or [0] * len(data)):
        by_class.setdefault(label, []).append(i)
    queues = [by_class[label][:SHOWN] for label in sorted(by_class)[:SHOWN]]
    for queue in queues:
        queue.sort(key=lambda i: data.region(i) is None)
    in_turn = [queue[turn] for turn in range(SHOWN) for queue in queues if turn < len(queue)]
    return in_turn[:SHOWN]


def gallery_images(data: Part) -> dict[str, NDArray[Any]]:
    """The parts of the gallery that all rows share: images, names, regions, labels (-1 if the task has no classes)."""
    chosen = gallery_choice(data)
    images = (_visible(data.images(chosen)) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    regions = [data.region(i) for i in chosen]
    nowhere = torch.zeros(images.shape[1:3], dtype=torch.bool)
    return {
        "images": images,
        "names": np.array([data.name(i) for i in chosen]),
        "regions": torch.stack([nowhere if region is None else region for region in regions]).numpy(),
        "has_region": np.array([region is not None for region in regions]),
        "labels": np.array([data.labels[i] if data.labels else -1 for i in chosen]),
    }


def _visible(images: torch.Tensor) -> torch.Tensor:
    """Images with three channels in 0..1, for display: takes the mean of other channels and stretches other ranges."""
    if images.shape[1] != 3:
        images = images.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    if images.min() >= 0 and images.max() <= 1:
        return images
    low, high = images.amin((1, 2, 3), keepdim=True), images.amax((1, 2, 3), keepdim=True)
    return (images - low) / (high - low).clamp_min(torch.finfo(images.dtype).tiny)


@contextmanager
def threads(number: int) -> Iterator[None]:
    """Runs the block with this number of threads; the same number gives the same sums, bit by bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _learning(settings: Comparison, trial: Trial, model: nn.Module, blueprint: Blueprint, task: Task) -> Iterator[None]:
    """Freezes what the settings say while the block runs."""
    if settings.freeze is None:
        yield
        return
    with freezing.frozen(model, kinds.of(settings).learning(trial.row, model, blueprint, task)):
        yield


def _scored(
    model: nn.Module,
    task: Task,
    data: Part,
    settings: Comparison,
    device: torch.device,
    normalise: Normalisation | None,
) -> tuple[dict[str, float], dict[str, NDArray[Any]]]:
    """The numbers of the task's metric on the test images, and what is kept of each image, [N, …], by name."""
    metric, kind = task.metric(), kinds.of(settings)
    parts: dict[str, list[torch.Tensor]] = {}
    with seeded(mixed("evaluate", 0)), evaluating(model, device):
        for batch in batches(
            data, range(len(data)), batch_size=settings.batch_size, device=device, normalise=normalise
        ):
            given = task.answers(model, batch)
            metric.update(*given)
            for name, values in kind.each(task, given).items():
                parts.setdefault(name, []).append(values)
    found = figures(metric)
    if task.measure.name not in found:
        raise ValueError(
            f"the measure {task.measure.name!r} of the task is not in its metric: it has {', '.join(found)}"
        )
    return found, {name: torch.cat(part).numpy() for name, part in parts.items()}


def _weights(model: nn.Module, what: trained.Trained | None) -> bytes:
    state: Mapping[str, torch.Tensor] = model.state_dict()
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}
    return save(tensors, None if what is None else what.metadata())
