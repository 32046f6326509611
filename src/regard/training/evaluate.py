"""Evaluation of a network on a dataset, batch by batch: only the state of the metric is kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from regard.data.batches import Batch, Data, Normalisation, in_order, loader, normalised
from regard.metrics.metric import Metric, figures
from regard.ops.seeds import mixed
from regard.training.distributed import World
from regard.training.plan import PRECISIONS, Task


def evaluate(
    model: nn.Module,
    task: Task,
    data: Data,
    *,
    batch_size: int = 64,
    device: str | torch.device = "cpu",
    normalise: Normalisation | None = None,
    precision: str = "float32",
    workers: int = 0,
    world: World | None = None,
) -> dict[str, float]:
    """Evaluates the task's metric of `model` on `data`, in evaluation mode: its numbers by name.

    Arguments and Raises as for `measured`.
    """
    metric = measured(
        model, task, data, batch_size=batch_size, device=device, normalise=normalise, precision=precision,
        workers=workers, world=world,
    )  # fmt: skip
    return figures(metric)


def measured(
    model: nn.Module,
    task: Task,
    data: Data,
    *,
    batch_size: int = 64,
    device: str | torch.device = "cpu",
    normalise: Normalisation | None = None,
    precision: str = "float32",
    workers: int = 0,
    world: World | None = None,
) -> Metric:
    """Updates the task's metric by all of `data`, in evaluation mode.

    The random numbers of a task have a fixed seed; the caller's random state is unchanged.

    Args:
        model: the network; it is moved to `device`, and its mode (training or evaluation) is restored.
        task: gives the metric.
        data: a map-style dataset: see `data.batches`.
        batch_size: the number of samples in a batch; affects the speed, and the result only by rounding.
        device: the device of the evaluation.
        normalise, precision: as in the training plan.
        workers: the number of processes that read samples ahead.
        world: the processes that share the work; each of them returns the result of all.

    Raises: ValueError if the dataset is empty.
    """
    if not len(data):
        raise ValueError("data has no samples: at least 1 is needed")
    device = torch.device(device)
    world = World(device) if world is None else world
    metric = task.metric()
    mine = range(len(data))[world.rank :: world.size]
    with torch.random.fork_rng([device] if device.type == "cuda" else []), evaluating(model, device, precision):
        torch.manual_seed(mixed("evaluate", world.rank))
        for batch in batches(data, mine, batch_size=batch_size, device=device, normalise=normalise, workers=workers):
            metric.update(*task.answers(model, batch))
    first, *others = world.gathered(metric)
    for other in others:
        first.merge_state(other)
    found: Metric = first
    return found


def batches(
    data: Data,
    indices: Sequence[int],
    *,
    batch_size: int = 64,
    device: str | torch.device = "cpu",
    normalise: Normalisation | None = None,
    workers: int = 0,
) -> Iterator[Batch]:
    """Yields the samples at `indices`, in this order, as batches on `device` with normalised images."""
    device = torch.device(device)
    for batch in loader(data, in_order(indices, batch_size), device=device, workers=workers):
        yield prepared(batch, device, normalise)


def prepared(
    batch: Batch, device: torch.device, normalise: Normalisation | None, *, channels_last: bool = False
) -> Batch:
    """Moves a batch to the device, normalises its images and brings them to a memory format."""
    batch = batch.to(device, non_blocking=True)
    if normalise is not None:
        batch["image"] = normalised(batch["image"], normalise)
    if channels_last and batch["image"].ndim == 4:
        batch["image"] = batch["image"].to(memory_format=torch.channels_last)
    return batch


@contextmanager
def evaluating(model: nn.Module, device: torch.device, precision: str = "float32") -> Iterator[None]:
    """Moves the model to `device`; in the block it is in evaluation mode, without gradients, in the given precision."""
    model.to(device)
    with mode(model, training=False), torch.no_grad(), autocast(device, precision):
        yield


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Autocast to a precision by name; `"float32"` disables it.

    Raises: ValueError for an unknown precision.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision={precision!r}: {' or '.join(PRECISIONS)} is accepted")
    # Even disabled, autocast needs a type that it supports.
    return torch.autocast(device.type, PRECISIONS[precision] or torch.bfloat16, enabled=precision != "float32")


@contextmanager
def mode(model: nn.Module, *, training: bool) -> Iterator[None]:
    """Sets the mode of the model (training or evaluation), and restores the mode of every module after the block."""
    before = [(module, module.training) for module in model.modules()]
    model.train(training)
    try:
        yield
    finally:
        for module, was in before:
            module.training = was
