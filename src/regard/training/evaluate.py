"""A network scored on a dataset, batch by batch: nothing of a batch is kept but what the metric keeps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from regard.data.batches import Batch, Data, Normalisation, in_order, loader, normalised
from regard.metrics.metric import figures
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
    """The task's metric of `model` on `data`, in evaluation mode; `normalise` and `precision` have to be the plan's.

    What a task draws at random follows a seed of its own; the caller's random state is left alone.

    Args:
        model: ends on `device`, in the mode in which it came.
        task: gives the metric.
        data: a map-style dataset: see `data.batches`.
        batch_size: samples in a batch; changes the time, and the numbers only within rounding.
        world: the processes that share the work; every one of them gets the numbers of all.

    Returns: the metric's numbers by name.
    Raises: ValueError if there are no samples.
    """
    if not len(data):
        raise ValueError("no samples to evaluate on")
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
    return figures(first)


def batches(
    data: Data,
    indices: Sequence[int],
    *,
    batch_size: int = 64,
    device: str | torch.device = "cpu",
    normalise: Normalisation | None = None,
    workers: int = 0,
) -> Iterator[Batch]:
    """The samples at `indices`, in this order, in batches on `device` with normalised images."""
    device = torch.device(device)
    for batch in loader(data, in_order(indices, batch_size), device=device, workers=workers):
        batch = batch.to(device, non_blocking=True)
        if normalise is not None:
            batch["image"] = normalised(batch["image"], normalise)
        yield batch


@contextmanager
def evaluating(model: nn.Module, device: torch.device, precision: str = "float32") -> Iterator[None]:
    """The model on `device` and in evaluation mode, without gradients, in the given precision."""
    model.to(device)
    with mode(model, training=False), torch.no_grad(), autocast(device, precision):
        yield


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Autocast to a precision by name; `"float32"` switches it off.

    Raises: ValueError for an unknown one.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision={precision!r}: {' or '.join(PRECISIONS)} is accepted")
    # Switched off, autocast still wants a type that it could cast to.
    return torch.autocast(device.type, PRECISIONS[precision] or torch.bfloat16, enabled=precision != "float32")


@contextmanager
def mode(model: nn.Module, *, training: bool) -> Iterator[None]:
    """The model in one mode, and afterwards every module in the one that it had."""
    before = [(module, module.training) for module in model.modules()]
    model.train(training)
    try:
        yield
    finally:
        for module, was in before:
            module.training = was
