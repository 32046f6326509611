"""One trial: train, evaluate, see where it looks. The same in this process, in a worker and on a cluster."""

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
from regard.comparing import Comparison, Trial, building, looking, measuring
from regard.comparing.building import Blueprint
from regard.data import ImageSet, Split
from regard.data.batches import Normalisation
from regard.saved import description as trained
from regard.tasks.classify import Classify
from regard.training.evaluate import batches, evaluating
from regard.training.loop import fit
from regard.training.plan import Plan

SHOWN = 8  # images in the gallery


@dataclass(frozen=True)
class Outcome:
    """What a trial brings home.

    Args:
        line: its line of results.jsonl.
        arrays: per test image, bool or float [N]: `correct`, and for those whose object is known `energy` and so on;
            `gallery.map`, `gallery.prediction` and `gallery.confidence` of the gallery's images.
        weights: the trained model's state as a safetensors file.
    """

    line: dict[str, Any]
    arrays: dict[str, NDArray]
    weights: bytes


def run(
    settings: Comparison,
    trial: Trial,
    images: ImageSet,
    blueprint: Blueprint,
    *,
    folder: Path | None,
    device: torch.device,
    on_step: Callable[[int, int], None],
) -> Outcome:
    """Runs one trial, from its last checkpoint where `folder` holds one.

    Args:
        folder: for checkpoints; None keeps none.
        device: where to run.
        on_step: told (steps done, steps in all).
    """
    began = time.perf_counter()
    model = building.build(settings, trial.mechanism, trial.seed, images, blueprint)
    task, normalise = Classify(len(images.classes)), backbones.normalisation(model)
    plan = Plan(
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        lr=settings.lr,
        seed=trial.seed,
        normalise=normalise,
        channels_last=device.type == "cpu",  # a fifth faster there, of a small ResNet's training
    )
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
    metric, answers = task.metric(), []
    with evaluating(model, device):
        for batch in batches(
            images.test, range(len(images.test)), batch_size=settings.batch_size, device=device, normalise=normalise
        ):
            answers.append(task.logits(model, batch).cpu())
            metric.update(answers[-1], batch["label"])
    logits, labels = torch.cat(answers), torch.tensor(images.test.labels)
    model.eval()
    view = (blueprint, normalise, device)
    shown = gallery_choice(images.test)
    shown_images = images.test.images(shown)
    located, chance = looking.locate(model, images.test, *view)
    found = metric.compute()
    means = {name: float(values.mean()) for name, values in located.items()}
    line = {
        "mechanism": trial.mechanism,
        "seed": trial.seed,
        **{name: found[name] for name in ("accuracy", "ece", "loss")},
        **{name: means.get(name) for name in ("energy", "pointing", "energy_gradcam", "pointing_gradcam")},
        "chance_energy": chance,
        "through": looking.through(model, shown_images, *view),
        "history": [{name: epoch[name] for name in ("epoch", "loss", "accuracy", "seconds")} for epoch in history],
        "parameters": measuring.parameters(model),
        "seconds": time.perf_counter() - began,
    }
    confidence, prediction = logits[shown].softmax(1).max(1)
    arrays = {
        "correct": (logits.argmax(1) == labels).numpy(),
        **located,
        "gallery.map": looking.heat_maps(model, shown_images, *view),
        "gallery.prediction": prediction.numpy(),
        "gallery.confidence": confidence.float().numpy(),
    }
    return Outcome(line, arrays, _weights(model, description(settings, trial, images, blueprint, normalise)))


def description(
    settings: Comparison, trial: Trial, images: ImageSet, blueprint: Blueprint, normalise: Normalisation
) -> trained.Trained | None:
    """What is written beside the weights, so that `regard look` opens them; nothing of a row without attention."""
    if trial.mechanism not in settings.mechanisms:
        return None
    return trained.Trained(
        entry=trial.mechanism,
        normalise=normalise,
        image=tuple(images.test[0][0].shape),
        attached=trained.Attached(
            backbone=settings.backbone,
            classes=len(images.classes),
            after=blueprint.sites,
            identity=settings.identity,
        ),
    )


def gallery_choice(data: Split) -> list[int]:
    """Which images are shown: the classes in turn, in each the images whose object is known first."""
    by_class: dict[int, list[int]] = {}
    for i, label in enumerate(data.labels):
        by_class.setdefault(label, []).append(i)
    queues = [by_class[label][:SHOWN] for label in sorted(by_class)[:SHOWN]]
    for queue in queues:
        queue.sort(key=lambda i: data.region(i) is None)
    in_turn = [queue[turn] for turn in range(SHOWN) for queue in queues if turn < len(queue)]
    return in_turn[:SHOWN]


def gallery_images(data: Split) -> dict[str, NDArray]:
    """What the gallery shows whatever the row: images, regions, labels."""
    chosen = gallery_choice(data)
    images = (data.images(chosen) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    regions = [data.region(i) for i in chosen]
    nowhere = torch.zeros(images.shape[1:3], dtype=torch.bool)
    return {
        "images": images,
        "regions": torch.stack([nowhere if region is None else region for region in regions]).numpy(),
        "has_region": np.array([region is not None for region in regions]),
        "labels": np.array([data.labels[i] for i in chosen]),
    }


@contextmanager
def threads(number: int) -> Iterator[None]:
    """Runs the block on this many threads: the same number everywhere makes the same sums, bit by bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _weights(model: nn.Module, what: trained.Trained | None) -> bytes:
    state: Mapping[str, torch.Tensor] = model.state_dict()
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}
    return save(tensors, None if what is None else what.metadata())
