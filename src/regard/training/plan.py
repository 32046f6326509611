"""The settings of a training run: everything that changes its result."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from regard.checks import positive
from regard.data.batches import Augment, Batch, Normalisation, Order, Shuffled
from regard.metrics.metric import Measure, Metric
from regard.training.schedules import Cosine, Schedule

PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}
OPTIMIZERS: Mapping[str, type[torch.optim.Optimizer]] = {
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adadelta": torch.optim.Adadelta,
    "adamax": torch.optim.Adamax,
    "rmsprop": torch.optim.RMSprop,
}
USUAL: Mapping[str, Mapping[str, Any]] = {"sgd": {"momentum": 0.9, "nesterov": True}}


class Task(Protocol):
    """A training objective: the loss of a model on a batch, and the metric that scores the model."""

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The loss, a mean over the samples, and figures to report with it, also means."""
        ...

    def metric(self) -> Metric:
        """A new metric, without samples."""
        ...

    def answers(self, model: nn.Module, batch: Batch) -> tuple[object, ...]:
        """The arguments of the metric's `update` for a batch; called in evaluation mode and without gradients."""
        ...

    @property
    def measure(self) -> Measure:
        """The main number of the metric."""
        ...


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The settings of a training run: everything that changes its result.

    Args:
        epochs: the number of passes over the dataset.
        batch_size: the most samples in a batch, over all processes together.
        lr: the highest learning rate.
        weight_decay: for parameters of two or more axes; by default none for biases, norms and scalars.
        optimizer: a name of `OPTIMIZERS`.
        options: other arguments of the optimizer, by torch's names; the default of `"sgd"` is Nesterov momentum 0.9.
        schedule: the schedule of the learning rate; see `training.schedules`.
        warmup: the share of all steps in which the rate rises linearly before the schedule begins.
        rates: glob pattern over parameter names -> factor of the learning rate; the first matching pattern counts.
        decays: glob pattern over parameter names -> factor of the weight decay, also for biases; the first matching
            pattern counts.
        clip: the largest norm of the gradient; None does not clip.
        ema: the decay of the running average of the weights, which is evaluated and returned; None uses the weights.
        seed: the seed of the order, the augmentation and dropout. It does not affect the initial weights.
        precision: `"float32"`, or autocast to `"bfloat16"` or `"float16"` (with loss scaling).
        order: the order of the samples and their batches.
        augment: `(sample, generator) -> sample`, which draws from `generator` only.
        normalise: (mean, standard deviation) of each channel of `image`, applied after `augment`; None does not
            normalise.
        channels_last: use this memory format for the model and `image`; convolutions are faster on many devices.

    Raises: ValueError if a value is out of range.
    """

    epochs: int
    batch_size: int = 64
    lr: float = 1e-3
    weight_decay: float = 0.05
    optimizer: str = "adamw"
    options: Mapping[str, Any] = field(default_factory=dict)
    schedule: Schedule = field(default_factory=Cosine)
    warmup: float = 0.05
    rates: Mapping[str, float] = field(default_factory=dict)
    decays: Mapping[str, float] = field(default_factory=dict)
    clip: float | None = None
    ema: float | None = None
    seed: int = 0
    precision: str = "float32"
    order: Order = field(default_factory=Shuffled)
    augment: Augment | None = None
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
            ("rates", all(0 <= rate < math.inf for rate in self.rates.values()), "factors of at least 0"),
            ("decays", all(0 <= decay < math.inf for decay in self.decays.values()), "factors of at least 0"),
            ("clip", self.clip is None or self.clip > 0, "a number above 0 or None"),
            ("ema", self.ema is None or 0 < self.ema < 1, "a decay above 0 and below 1 or None"),
            ("precision", self.precision in PRECISIONS, " or ".join(PRECISIONS)),
            ("normalise", not self.normalise or min(self.normalise[1]) > 0, "a standard deviation above 0"),
        ):
            if not good:
                raise ValueError(f"{name}={getattr(self, name)!r}: {wanted} is needed")
        known = inspect.signature(OPTIMIZERS[self.optimizer]).parameters.keys() - {"params", "lr", "weight_decay"}
        for name in self.options:
            if name not in known:
                accepted = ", ".join(sorted(known))
                raise ValueError(f"options={dict(self.options)!r}: {self.optimizer} accepts {accepted}")


def learning_rate(plan: Plan, step: int, steps: int, per_epoch: int = 1) -> float:
    """The learning rate of step `step` (from 0) of `steps`, with `per_epoch` steps in an epoch."""
    rising = round(plan.warmup * steps) if plan.schedule.warms_up else 0
    if step < rising:
        return plan.lr * (step + 1) / (rising + 1)
    at = step if plan.schedule.every == "step" else max(step // per_epoch * per_epoch, rising)
    return plan.lr * plan.schedule.factor((at - rising) / (steps - rising), at, at / per_epoch)


def optimizer(model: nn.Module, plan: Plan) -> torch.optim.Optimizer:
    """The plan's optimizer for the trainable parameters; the key `rate` of a group is its factor of the learning rate.

    Raises: ValueError if a pattern of `rates` or `decays` matches no parameter.
    """
    named = dict(model.named_parameters())
    for what, patterns in (("rates", plan.rates), ("decays", plan.decays)):
        for pattern in patterns:
            if not any(fnmatchcase(name, pattern) for name in named):
                raise ValueError(f"{what}: {pattern!r} matches no parameter of {type(model).__name__}")
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    learned = [(name, parameter) for name, parameter in named.items() if parameter.requires_grad]
    for matrices in (True, False):
        for name, parameter in learned:
            if (parameter.ndim > 1) == matrices:
                decay = _first(plan.decays, name, float(matrices)) * plan.weight_decay
                groups.setdefault((_first(plan.rates, name, 1.0), decay), []).append(parameter)
    make: Callable[..., torch.optim.Optimizer] = OPTIMIZERS[plan.optimizer]
    parts = [{"params": own, "weight_decay": decay, "rate": rate} for (rate, decay), own in groups.items()]
    return make(parts, lr=plan.lr, **{**USUAL.get(plan.optimizer, {}), **plan.options})


def _first(patterns: Mapping[str, float], name: str, usual: float) -> float:
    return next((factor for pattern, factor in patterns.items() if fnmatchcase(name, pattern)), usual)
