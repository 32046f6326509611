"""Training that resumes exactly, on one process or on many.

The inputs of a step are functions of the plan and the number of the step, not of earlier steps:

    batches         plan.order.batches(data, batch_size, seed, epoch), each split over the processes
    augmentation    a generator for each sample, seeded by (seed, epoch, index of the sample)
    dropout         torch.manual_seed(f(seed, step, rank)) before each step
    learning rate   learning_rate(plan, step, steps)

So a checkpoint of {model, optimizer, running average, step} suffices to resume with bit-equal results (on CUDA if its
kernels are deterministic: see `torch.use_deterministic_algorithms`). Under `torchrun` every batch is split over the
processes, the loss is the mean over the whole batch, and batch norms use the statistics of the whole batch: N processes
train the same network as one, within float error (but each has its own dropout).
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from regard.checks import positive
from regard.data.batches import Data, loader
from regard.ops.seeds import mixed
from regard.saved.files import write_whole
from regard.training import checkpoints
from regard.training.averaging import Average
from regard.training.distributed import World, distributed, synchronised_batch_norm
from regard.training.evaluate import autocast, mode, prepared
from regard.training.evaluate import evaluate as scored
from regard.training.plan import Plan, Task, learning_rate, optimizer

Record = dict[str, Any]  # JSON values: the entry of an epoch in history.json


class Diverged(ValueError):
    """The loss is NaN or infinite."""


def fit(
    model: nn.Module,
    task: Task,
    data: Data,
    plan: Plan,
    *,
    folder: Path | str | None = None,
    device: str | torch.device = "cpu",
    evaluate: Data | Callable[[nn.Module], Mapping[str, float]] | None = None,
    checkpoint_every: int | None = None,
    workers: int = 0,
    content: str | None = None,
    start: str | None = None,
    on_step: Callable[[int, int, float], None] | None = None,
    on_epoch: Callable[[int, Record], None] | None = None,
) -> list[Record]:
    """Trains `model` in place; resumes from the checkpoint in `folder` if there is one.

    Under `torchrun` every process calls it with the same arguments. The caller's random state is unchanged.

    Args:
        model: the network that `task` calls; it is moved to `device`, and its mode (training or evaluation) is
            restored.
        task: gives the loss and the metric.
        data: the training dataset, map-style: see `data.batches`.
        plan: the settings of the training.
        folder: the folder of `checkpoint.pt` and of `history.json`, its readable copy; None writes nothing.
        device: `"cpu"`, `"cuda"`, `"cuda:1"`.
        evaluate: a dataset for the task's metric, or a function of the model that returns numbers by name; evaluated
            after every epoch.
        checkpoint_every: the number of steps between checkpoints, in addition to the one after each epoch.
        workers: the number of processes that read samples ahead.
        content: a digest of the dataset, which a run that resumes must share; None takes `data.digest` if there is one.
        start: what the initial weights are, as text, which a run that resumes must share; None says nothing.
        on_step: called as `(finished steps, all steps, loss)`, on rank 0.
        on_epoch: called as `(finished epochs, record)`, on rank 0, after the checkpoint is written.

    Returns: one record for each epoch, from the first: `epoch` (from 1), `loss` and the task's figures (means over the
        training samples), `seconds` (of training), and the numbers of `evaluate`, as `test_<name>` if training has a
        figure of the same name.
    Raises: ValueError if the checkpoint has other settings or there are too few samples; `Diverged`, a ValueError, if
        the loss is not finite; OSError, before the first step, if the folder cannot be written.
    """
    if checkpoint_every is not None:
        positive("checkpoint_every", checkpoint_every)
    with (
        distributed(device) as world,
        torch.random.fork_rng([world.device] if world.device.type == "cuda" else []),
        mode(model, training=True),
    ):
        per_epoch = _steps_per_epoch(data, plan, world)
        layout = torch.channels_last if plan.channels_last else torch.preserve_format
        model.to(world.device).to(memory_format=layout)
        optimising = optimizer(model, plan)
        scaler = torch.amp.GradScaler(world.device.type, enabled=plan.precision == "float16")
        parts: dict[str, Any] = {"model": model, "optimizer": optimising, "scaler": scaler}
        average = None if plan.ema is None else Average(model, plan.ema)
        if average is not None:
            parts["average"] = average
        settings = _settings(model, task, data, plan, content) | ({} if start is None else {"start": start})
        path = Path(folder) / "checkpoint.pt" if folder is not None and world.rank == 0 else None
        step, seconds, seen = 0, 0.0, 0  # seconds and samples of the epoch so far
        sums: dict[str, float] = {}  # of the epoch so far: the loss and the task's figures, over its samples
        history: list[Record] = []

        def save() -> None:
            if path is not None:
                facts = {"step": step, "sums": sums, "seen": seen, "seconds": seconds, "history": history}
                states = {name: part.state_dict() for name, part in parts.items()}
                checkpoints.save(path, states, {"settings": settings, **facts})

        def copy_history() -> None:
            if path is not None:
                readable = json.dumps({"settings": settings, "history": history}, indent=1)
                write_whole(path.with_name("history.json"), readable.encode())

        found = world.first(checkpoints.read(path, settings) if path is not None else None)
        if found is None:
            save()
        else:
            states, facts = found
            for name, part in parts.items():
                part.load_state_dict(states[name])
            step, sums, seen, seconds, history = (facts[k] for k in ("step", "sums", "seen", "seconds", "history"))
            if history:
                copy_history()  # which a process that died after its checkpoint did not write

        steps = per_epoch * plan.epochs
        parallel = model if world.size == 1 else DistributedDataParallel(model)
        keys, wholes = _keys(data, plan, range(step, steps), per_epoch, world)
        batches = loader(data, keys, augment=plan.augment, seed=plan.seed, device=world.device, workers=workers)
        clock = time.perf_counter()
        for batch, whole in zip(batches, wholes, strict=True):
            torch.manual_seed(mixed("step", plan.seed, step, world.rank))
            for group in optimising.param_groups:
                group["lr"] = learning_rate(plan, step, steps, per_epoch) * group["rate"]
            optimising.zero_grad()
            batch = prepared(batch, world.device, plan.normalise, channels_last=plan.channels_last)
            together = synchronised_batch_norm() if world.size > 1 else nullcontext()
            with autocast(world.device, plan.precision), together:
                loss, figures = task.loss(parallel, batch)
            share = batch.size / whole
            means = _over_ranks({"loss": loss, **figures}, share, world)
            if not math.isfinite(means["loss"]):
                raise Diverged(
                    f"the loss is {means['loss']} at step {step + 1} of {steps} (epoch {step // per_epoch + 1}): try a "
                    f"lr below {plan.lr}, clip=1 or precision='float32'"
                )
            # times size, since DistributedDataParallel averages the gradients
            scaler.scale(loss * share * world.size).backward()
            if plan.clip is not None:
                scaler.unscale_(optimising)
                nn.utils.clip_grad_norm_(model.parameters(), plan.clip)
            scaler.step(optimising)
            scaler.update()
            if average is not None:
                average.update(model)
            step, seconds = step + 1, seconds + time.perf_counter() - clock
            sums, seen = {name: sums.get(name, 0.0) + mean * whole for name, mean in means.items()}, seen + whole
            if on_step is not None and world.rank == 0:
                on_step(step, steps, means["loss"])
            if step % per_epoch == 0:
                means = {name: total / seen for name, total in sums.items()}
                record: Record = {"epoch": step // per_epoch, **means, "seconds": seconds}
                with average.swapped(model) if average is not None else nullcontext():
                    scores = _evaluated(model, task, evaluate, plan, world, workers)
                record |= {(f"test_{name}" if name in record else name): value for name, value in scores.items()}
                history = [*history, json.loads(json.dumps(record, default=float))]  # as a resumed run reads it
                sums, seen, seconds = {}, 0, 0.0
                save()
                copy_history()
                if on_epoch is not None and world.rank == 0:
                    on_epoch(step // per_epoch, history[-1])
            elif checkpoint_every is not None and step % checkpoint_every == 0:
                save()
            clock = time.perf_counter()
        optimising.zero_grad()
        if average is not None:
            average.copy_to(model)
    return history


def _steps_per_epoch(data: Data, plan: Plan, world: World) -> int:
    if len(data) < 2:
        raise ValueError(f"data has {len(data)} samples: at least 2 are needed for training")
    first = plan.order.batches(data, plan.batch_size, plan.seed, 0)
    if min(map(len, first)) < world.size:
        raise ValueError(
            f"data has {len(data)} samples in {len(first)} batches: at least one sample per batch for each of "
            f"{world.size} process(es) is needed"
        )
    return len(first)


def _keys(
    data: Data, plan: Plan, steps: range, per_epoch: int, world: World
) -> tuple[Iterator[list[tuple[int, int]]], Iterator[int]]:
    """For each step, the (epoch, index) of the samples of this rank, and the size of the whole batch."""

    def whole_batches() -> Iterator[tuple[int, list[int]]]:
        known: tuple[int, list[list[int]]] = (-1, [])
        for step in steps:
            epoch = step // per_epoch
            if epoch != known[0]:
                known = epoch, plan.order.batches(data, plan.batch_size, plan.seed, epoch)
            yield epoch, known[1][step % per_epoch]

    def keys() -> Iterator[list[tuple[int, int]]]:
        for epoch, indices in whole_batches():
            mine = torch.tensor(indices).tensor_split(world.size)[world.rank].tolist()
            yield [(epoch, index) for index in mine]

    return keys(), (len(indices) for _, indices in whole_batches())


def _over_ranks(values: Mapping[str, Tensor], share: float, world: World) -> dict[str, float]:
    """Means over the whole batch, read from the device in one transfer."""
    parts = torch.stack([value.detach().double() * share for value in values.values()])
    return dict(zip(values, world.total(parts).tolist(), strict=True))


def _evaluated(
    model: nn.Module,
    task: Task,
    evaluate: Data | Callable[[nn.Module], Mapping[str, float]] | None,
    plan: Plan,
    world: World,
    workers: int,
) -> Mapping[str, float]:
    if evaluate is None:
        return {}
    if callable(evaluate):
        with mode(model, training=False), torch.no_grad():
            return dict(evaluate(model))
    return scored(
        model,
        task,
        evaluate,
        batch_size=plan.batch_size,
        device=world.device,
        normalise=plan.normalise,
        precision=plan.precision,
        workers=workers,
        world=world,
    )


def _settings(model: nn.Module, task: Task, data: Data, plan: Plan, content: str | None) -> dict[str, str]:
    """The settings that a checkpoint must have in common with a run that resumes from it, as text."""
    facts: dict[str, object] = {field.name: getattr(plan, field.name) for field in fields(plan)}
    state = [(name, tuple(value.shape), value.dtype) for name, value in model.state_dict().items()]
    facts["model"] = f"{type(model).__name__} of {len(state)} tensors ({mixed(state) % 16**6:06x})"
    labels: Iterable[object] = getattr(data, "labels", ())
    facts["data"] = f"{len(data)} samples ({mixed(list(labels)) % 16**6:06x})"
    content = getattr(data, "digest", None) if content is None else content
    if content is not None:
        facts["content of the data"] = content
    facts["task"] = task
    facts["learning"] = f"{sum(parameter.requires_grad for parameter in model.parameters())} parameters"
    return {name: re.sub(r" at 0x[0-9a-fA-F]+", "", str(value)) for name, value in facts.items()}
