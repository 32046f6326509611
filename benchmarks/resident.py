"""Training of small networks on a dataset that lies whole in the memory of the device.

`regard train` reads and augments samples one by one in other processes, which takes small images longer than the
network does. Here a batch is cut from a tensor and changed at once; task, plan and schedule are the library's own.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor, nn

from regard.data.batches import Batch, normalised, permutation
from regard.metrics.metric import figures
from regard.ops.seeds import mixed
from regard.training.plan import Plan, Task, learning_rate, optimizer

Change = Callable[[Tensor, Generator], Tensor]


def fit(
    model: nn.Module,
    task: Task,
    images: Tensor,
    labels: Tensor,
    plan: Plan,
    change: Change | None = None,
    on_epoch: Callable[[int, float], None] | None = None,
) -> None:
    """Trains a model by a plan, whose augmentation is not used.

    Args:
        model: on the device of the images.
        task: gives the loss.
        images: uint8 `N C H W`.
        labels: `N` or `N S`.
        plan: the settings of the training.
        change: `(images, generator) -> images` of a batch in [0, 1], with a generator on the device.
        on_epoch: called with the number of each finished epoch, and its mean loss.
    """
    optimising = optimizer(model, plan)
    per_epoch = math.ceil(len(images) / plan.batch_size)
    steps = per_epoch * plan.epochs
    generator = Generator(images.device).manual_seed(mixed("change", plan.seed))
    torch.manual_seed(mixed("fit", plan.seed))
    model.train()
    total = torch.zeros((), device=images.device)
    for step in range(steps):
        if step % per_epoch == 0:
            order = permutation(plan.seed, step // per_epoch, len(images)).to(images.device).tensor_split(per_epoch)
        for group in optimising.param_groups:
            group["lr"] = learning_rate(plan, step, steps, per_epoch) * group["rate"]
        rows = order[step % per_epoch]
        optimising.zero_grad()
        loss, _ = task.loss(model, _batch(images[rows], labels[rows], plan, generator, change))
        loss.backward()
        if plan.clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), plan.clip)
        optimising.step()
        total = total + loss.detach()
        if (step + 1) % per_epoch == 0 and on_epoch is not None:
            on_epoch((step + 1) // per_epoch, (total / per_epoch).item())
            total.zero_()


@torch.no_grad()
def evaluate(
    model: nn.Module, task: Task, images: Tensor, labels: Tensor, plan: Plan, change: Change | None = None
) -> dict[str, float]:
    """The numbers of the task's metric in evaluation mode; the changes are the same each time."""
    generator = Generator(images.device).manual_seed(mixed("evaluate"))
    torch.manual_seed(mixed("evaluate"))
    metric = task.metric()
    model.eval()
    for rows in torch.arange(len(images), device=images.device).split(1000):
        metric.update(*task.answers(model, _batch(images[rows], labels[rows], plan, generator, change)))
    return figures(metric)


def _batch(images: Tensor, labels: Tensor, plan: Plan, generator: Generator, change: Change | None) -> Batch:
    seen = images.float() / 255
    if change is not None:
        seen = change(seen, generator)
    return Batch(image=normalised(seen, plan.normalise), label=labels)


def kept(out: Path | None, settings: Mapping[str, Any], device: str, results: Sequence[Mapping[str, Any]]) -> None:
    """Prints the last result and writes all of them to `out`, if there is one, so that a run can end at any time."""
    print(json.dumps(results[-1]), flush=True)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"settings": settings, "device": device, "results": results}, indent=1)
        out.write_text(text, encoding="utf-8")
