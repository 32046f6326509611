"""Training that resumes exactly, on one process or on many.

What a step does is a function of the plan and of the step's number, never of what ran before it:

    images      order(seed, epoch), cut into ⌈N / batch_size⌉ parts that differ by at most one image; none is dropped
    augmenting  a generator for each image, seeded from (seed, epoch, index of the image)
    dropout     torch.manual_seed(f(seed, step, rank)) before each step
    step size   learning_rate(plan, step, steps)

So a checkpoint of {model, optimiser, step} is enough to go on, bit by bit, as if nothing had happened (on CUDA as far
as its kernels repeat themselves: see `torch.use_deterministic_algorithms`). Under `torchrun` every batch is split over
the processes, the loss is the mean over the whole batch, and batch norms take their statistics over it: N processes
train the network that one would, within float error (but each has dropout of its own).
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, fields
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Generator, Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from regard.checks import positive
from regard.data.batches import Images, Normalisation, gathered, loaded, normalised
from regard.training import checkpoints
from regard.training.distributed import World, distributed, synchronised_batch_norm

PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}
OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adamw": torch.optim.AdamW,
    "sgd": partial(torch.optim.SGD, momentum=0.9, nesterov=True),
}


class Task(Protocol):
    """What is learned; `loss` is the mean over the images."""

    def loss(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor: ...
    def score(self, logits: Tensor, labels: Tensor) -> dict[str, float]: ...


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything about a training run that changes its result.

    Args:
        epochs: passes over the data.
        batch_size: most images in a batch, over all processes together.
        lr: the highest learning rate.
        weight_decay: for weights of two and more axes; biases, norms and scalars have none.
        optimizer: `"adamw"`, or `"sgd"` (Nesterov momentum 0.9).
        warmup: share of all steps in which the rate rises linearly; it falls to zero along a half cosine after that.
        clip: largest norm of the gradient; None leaves it.
        seed: of the order, the augmentation and dropout. The initial weights are the model's own.
        precision: `"float32"`, or autocast to `"bfloat16"` or `"float16"` (with loss scaling).
        augment: `(image C H W, generator) -> image`, drawing from `generator` alone.
        normalise: (mean, standard deviation) of each channel, applied after `augment`; None leaves images in 0..1.
        channels_last: the memory format of model and images; faster convolutions on many devices.

    Raises: ValueError if a value is out of range.
    """

    epochs: int
    batch_size: int = 64
    lr: float = 1e-3
    weight_decay: float = 0.05
    optimizer: str = "adamw"
    warmup: float = 0.05
    clip: float | None = None
    seed: int = 0
    precision: str = "float32"
    augment: Callable[[Tensor, Generator], Tensor] | None = None
    normalise: Normalisation | None = None
    channels_last: bool = False

    def __post_init__(self) -> None:
        positive("epochs", self.epochs)
        positive("batch_size", self.batch_size)
        for name, good, wanted in (
            ("lr", 0 < self.lr < math.inf, "a number above 0"),
            ("weight_decay", 0 <= self.weight_decay < math.inf, "a number of at least 0"),
            ("optimizer", self.optimizer in OPTIMIZERS, " or ".join(OPTIMIZERS)),
            ("warmup", 0 <= self.warmup < 1, "a share of at least 0 and below 1"),
            ("clip", self.clip is None or self.clip > 0, "a number above 0, or None,"),
            ("precision", self.precision in PRECISIONS, " or ".join(PRECISIONS)),
            ("normalise", not self.normalise or min(self.normalise[1]) > 0, "a standard deviation above 0"),
        ):
            if not good:
                raise ValueError(f"{name}={getattr(self, name)!r}: {wanted} is needed")


class Diverged(ValueError):
    """The loss is no longer a number."""


def mixed(*parts: object) -> int:
    """A seed that depends on every part, the same on every machine."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=8).digest())


def order(seed: int, epoch: int, size: int) -> Tensor:
    """The order in which epoch `epoch` (from 0) sees the samples: a permutation `[size]`, of these numbers alone."""
    return torch.randperm(size, generator=Generator().manual_seed(mixed("order", seed, epoch)))


def learning_rate(plan: Plan, step: int, steps: int) -> float:
    """The rate of step `step` (from 0) of `steps`: linear warm-up, then half a cosine (arXiv:1608.03983, Eq. 5)."""
    rising = round(plan.warmup * steps)
    if step < rising:
        return plan.lr * (step + 1) / (rising + 1)
    return plan.lr * (1 + math.cos(math.pi * (step - rising) / (steps - rising))) / 2


def batch(data: Images, plan: Plan, step: int, rank: int = 0, ranks: int = 1) -> tuple[Tensor, Tensor, int]:
    """This rank's images and labels of step `step` (from 0), and how many images the whole batch has.

    An epoch is cut evenly: a small last batch would weigh too much, and a batch norm cannot train on one image.
    """
    per_epoch = math.ceil(len(data) / plan.batch_size)
    whole = _order(plan.seed, step // per_epoch, len(data)).tensor_split(per_epoch)[step % per_epoch]
    indices = whole.tensor_split(ranks)[rank].tolist()
    images, labels = gathered(data, indices)
    if plan.augment is not None:
        seeds = [mixed("augment", plan.seed, step // per_epoch, index) for index in indices]
        images = torch.stack([plan.augment(images[i], Generator().manual_seed(seed)) for i, seed in enumerate(seeds)])
    return images, labels, len(whole)


_order = lru_cache(maxsize=2)(order)  # asked for at every step, and shuffling a million numbers takes 10 ms


def fit(
    model: nn.Module,
    task: Task,
    data: Images,
    plan: Plan,
    *,
    folder: Path | str | None = None,
    device: str | torch.device = "cpu",
    evaluate: Images | Callable[[nn.Module], dict[str, float]] | None = None,
    checkpoint_every: int | None = None,
    workers: int = 0,
    on_step: Callable[[int, int, float], None] | None = None,
    on_epoch: Callable[[int, dict[str, Any]], None] | None = None,
) -> list[dict[str, Any]]:
    """Trains `model` in place; goes on from the checkpoint in `folder` if there is one.

    Under `torchrun` every process calls it with the same arguments. The caller's random state is left alone.

    Args:
        model: takes images `B C H W`; ends on `device`, in the mode (training or not) in which it came.
        task: gives the loss.
        data: what to learn.
        plan: how.
        folder: where `checkpoint.pt` and, for reading, `history.json` go; None keeps nothing.
        device: `"cpu"`, `"cuda"`, `"cuda:1"`.
        evaluate: after every epoch, images for `task.score`, or a function of the model that returns numbers.
        checkpoint_every: checkpoints after so many steps, beside the one after each epoch.
        workers: processes that load images ahead.
        on_step: called as `(steps done, steps in all, loss)`, on rank 0.
        on_epoch: called as `(epochs done, record)`, on rank 0, once the epoch is safe on the disk.

    Returns: one record for each epoch, from the first: `epoch` (from 1), `loss` (mean in training), `seconds` (spent
        in training), and with `evaluate` what it gave: `accuracy` and so on, its own loss as `test_loss`.
    Raises: ValueError if the checkpoint has other settings or the images are too few; `Diverged`, a ValueError, if the
        loss is not finite; OSError if the folder cannot be written, at once rather than after the first epoch.
    """
    if checkpoint_every is not None:
        positive("checkpoint_every", checkpoint_every)
    with (
        distributed(device) as world,
        torch.random.fork_rng([world.device] if world.device.type == "cuda" else []),
        _mode(model, training=True),
    ):
        per_epoch = math.ceil(len(data) / plan.batch_size)
        if len(data) < max(2, per_epoch * world.size):
            raise ValueError(
                f"{len(data)} images in {per_epoch} batches are too few to train on with {world.size} process(es): "
                f"each batch needs one image for each process, and two images are the least"
            )
        layout = torch.channels_last if plan.channels_last else torch.preserve_format
        model.to(world.device).to(memory_format=layout)
        optimizer = _optimizer(model, plan)
        scaler = torch.amp.GradScaler(world.device.type, enabled=plan.precision == "float16")
        parts: dict[str, Any] = {"model": model, "optimizer": optimizer, "scaler": scaler}
        settings = _settings(model, task, data, plan)
        path = Path(folder) / "checkpoint.pt" if folder is not None and world.rank == 0 else None
        step, loss_sum, seconds = 0, 0.0, 0.0  # the last two: of the epoch so far
        history: list[dict[str, Any]] = []

        def save() -> None:
            if path is not None:
                facts = {"step": step, "loss_sum": loss_sum, "seconds": seconds, "history": history}
                states = {name: part.state_dict() for name, part in parts.items()}
                checkpoints.save(path, states, {"settings": settings, **facts})

        found = world.first(checkpoints.read(path, settings) if path is not None else None)
        if found is None:
            save()
        else:
            states, facts = found
            for name, part in parts.items():
                part.load_state_dict(states[name])
            step, loss_sum, seconds, history = (facts[k] for k in ("step", "loss_sum", "seconds", "history"))

        steps = per_epoch * plan.epochs
        parallel = model if world.size == 1 else DistributedDataParallel(model)
        batches = partial(batch, data, plan, rank=world.rank, ranks=world.size)
        clock = time.perf_counter()
        for images, labels, whole in loaded(batches, range(step, steps), world.device, workers):
            torch.manual_seed(mixed("step", plan.seed, step, world.rank))
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(plan, step, steps)
            optimizer.zero_grad()
            images = normalised(images.to(world.device, non_blocking=True), plan.normalise).to(memory_format=layout)
            together = synchronised_batch_norm() if world.size > 1 else nullcontext()
            with _autocast(world.device, plan.precision), together:
                loss = task.loss(parallel, images, labels.to(world.device))
            share = loss * (len(images) / whole)
            value = world.total(share).item()
            if not math.isfinite(value):
                raise Diverged(
                    f"the loss is {value} at step {step + 1} of {steps} (epoch {step // per_epoch + 1}): a lr below "
                    f"{plan.lr}, clip=1 or precision='float32' may help"
                )
            scaler.scale(share * world.size).backward()  # times size, because the ranks' gradients are averaged
            if plan.clip is not None:
                scaler.unscale_(optimizer)
                nn.utils.clip_grad_norm_(model.parameters(), plan.clip)
            scaler.step(optimizer)
            scaler.update()
            step, loss_sum, seconds = step + 1, loss_sum + value * whole, seconds + time.perf_counter() - clock
            if on_step is not None and world.rank == 0:
                on_step(step, steps, value)
            if step % per_epoch == 0:
                record = {"epoch": step // per_epoch, "loss": loss_sum / len(data), "seconds": seconds}
                record |= _evaluated(model, task, evaluate, plan, world, workers)
                history = [*history, json.loads(json.dumps(record, default=float))]  # what a resumed run would read
                loss_sum = seconds = 0.0
                save()
                if path is not None:
                    readable = json.dumps({"settings": settings, "history": history}, indent=1)
                    checkpoints.write_whole(path.with_name("history.json"), readable.encode())
                if on_epoch is not None and world.rank == 0:
                    on_epoch(step // per_epoch, history[-1])
            elif checkpoint_every is not None and step % checkpoint_every == 0:
                save()
            clock = time.perf_counter()
        optimizer.zero_grad()
    return history


def predict(
    model: nn.Module,
    data: Images,
    *,
    batch_size: int = 64,
    device: str | torch.device = "cpu",
    normalise: Normalisation | None = None,
    precision: str = "float32",
    workers: int = 0,
    indices: Sequence[int] | None = None,
) -> tuple[Tensor, Tensor]:
    """The model's answers in evaluation mode; `normalise` and `precision` have to be the plan's.

    Args:
        model: ends on `device`, in the mode in which it came.
        indices: of the images to look at; None means all.

    Returns: logits `N K` and labels `N`, on the CPU.
    Raises: ValueError if there are no images.
    """
    indices = range(len(data)) if indices is None else indices
    if not len(indices):
        raise ValueError("no images to predict on")
    device = torch.device(device)
    model.to(device)
    starts = range(0, len(indices), positive("batch_size", batch_size))
    batches = [list(indices[start : start + batch_size]) for start in starts]
    answers = []
    with _mode(model, training=False), torch.no_grad():
        for images, labels in loaded(partial(gathered, data), batches, device, workers):
            with _autocast(device, precision):
                logits = model(normalised(images.to(device, non_blocking=True), normalise))
            answers.append((logits.to(torch.promote_types(logits.dtype, torch.float32)).cpu(), labels))
    all_logits, all_labels = zip(*answers, strict=True)
    return torch.cat(all_logits), torch.cat(all_labels)


def _evaluated(model: nn.Module, task: Task, evaluate: Any, plan: Plan, world: World, workers: int) -> dict[str, float]:
    if evaluate is None:
        return {}
    if not hasattr(evaluate, "__getitem__"):
        with _mode(model, training=False), torch.no_grad():
            return dict(evaluate(model))
    look = partial(predict, model, evaluate, device=world.device, batch_size=plan.batch_size, workers=workers)
    mine = range(len(evaluate))[world.rank :: world.size]
    answers = look(normalise=plan.normalise, precision=plan.precision, indices=mine) if mine else None
    logits, labels = zip(*[answer for answer in world.gathered(answers) if answer is not None], strict=True)
    scores = task.score(torch.cat(logits), torch.cat(labels))
    return {("test_loss" if name == "loss" else name): value for name, value in scores.items()}


def _settings(model: nn.Module, task: Task, data: Images, plan: Plan) -> dict[str, str]:
    """All that a checkpoint has to agree with, in words."""
    facts = {field.name: getattr(plan, field.name) for field in fields(plan)}
    state = [(name, tuple(value.shape), value.dtype) for name, value in model.state_dict().items()]
    facts["model"] = f"{type(model).__name__} of {len(state)} tensors ({mixed(state) % 16**6:06x})"
    facts["data"] = f"{len(data)} images ({mixed(list(getattr(data, 'labels', ()))) % 16**6:06x})"
    facts["task"] = task
    return {name: re.sub(r" at 0x[0-9a-fA-F]+", "", str(value)) for name, value in facts.items()}


def _optimizer(model: nn.Module, plan: Plan) -> torch.optim.Optimizer:
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    decayed = {"params": [p for p in learned if p.ndim > 1], "weight_decay": plan.weight_decay}
    others = {"params": [p for p in learned if p.ndim <= 1], "weight_decay": 0.0}
    return OPTIMIZERS[plan.optimizer]([group for group in (decayed, others) if group["params"]], lr=plan.lr)


def _autocast(device: torch.device, precision: str) -> torch.autocast:
    if precision not in PRECISIONS:
        raise ValueError(f"precision={precision!r}: {' or '.join(PRECISIONS)} is needed")
    # Switched off, autocast still wants a type that it could cast to.
    return torch.autocast(device.type, PRECISIONS[precision] or torch.bfloat16, enabled=precision != "float32")


@contextmanager
def _mode(model: nn.Module, *, training: bool) -> Iterator[None]:
    """The model in one mode, and afterwards every module in the one that it had."""
    before = [(module, module.training) for module in model.modules()]
    model.train(training)
    try:
        yield
    finally:
        for module, was in before:
            module.training = was
