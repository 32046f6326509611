"""Whether a row's maps matter: the score of a trained model whose own maps are replaced.

    intact     the maps as they are
    even       see `regard.insight.faithfulness.replacing`
    mean       over the queries, or over the positions of a gate
    images     the mean over the images of a batch
    shuffled   the same weights in another order

All maps of the row are replaced at once, on `REPLACED` test images, spread evenly over the test samples: each of the
five lines costs one pass over these. Of gates without positions the mean is the even map.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from regard.comparing import INTACT, REPLACED, Comparison, kinds
from regard.comparing.images import Part
from regard.core import Attention
from regard.data.batches import Batch, Normalisation
from regard.insight.faithfulness.replacing import queries, replacing
from regard.metrics.metric import figures
from regard.ops.seeds import mixed, seeded
from regard.training.evaluate import batches, evaluating
from regard.training.plan import Task

BATCH = 64  # images in a pass, whose mean map is that over the images

Arrays = dict[str, NDArray[Any]]


def replaced(
    model: nn.Module,
    task: Task,
    data: Part,
    settings: Comparison,
    device: torch.device,
    normalise: Normalisation | None,
) -> tuple[dict[str, float], Arrays]:
    """The measure with each replacement, and what is kept of each image as `NAME.PART`, [n, …].

    Both are empty for a model without maps of its own that act.
    """
    if not any(isinstance(module, Attention) for module in model.modules()):
        return {}, {}
    chosen = np.unique(np.linspace(0, len(data) - 1, min(REPLACED, len(data))).round().astype(int)).tolist()
    # Parts of like size: an image alone would be its own mean.
    count = -(-len(chosen) // BATCH)
    parts = list(batches(data, chosen, batch_size=-(-len(chosen) // count), device=device, normalise=normalise))
    kind = kinds.of(settings)
    with evaluating(model, device):
        with replacing(model, "even", foreign=False) as met:
            even = _scored(model, task, kind, parts)
        if not met:
            return {}, {}
        found = {INTACT: _scored(model, task, kind, parts), "even": even, "mean": even}
        for name in ("mean", "images", "shuffled"):
            if name != "mean" or any(queries(formed) for formed in met.values()):
                with replacing(model, name, foreign=False):
                    found[name] = _scored(model, task, kind, parts)
    arrays = {f"{name}.{part}": values for name, (_, kept) in found.items() for part, values in kept.items()}
    return {name: score for name, (score, _) in found.items()}, arrays


def _scored(model: nn.Module, task: Task, kind: kinds.Kind, parts: Sequence[Batch]) -> tuple[float, Arrays]:
    """The measure of the task, and what is kept of each image."""
    metric = task.metric()
    found: dict[str, list[torch.Tensor]] = {}
    with seeded(mixed("evaluate", 0)):
        for batch in parts:
            given = task.answers(model, batch)
            metric.update(*given)
            each: Mapping[str, torch.Tensor] = kind.each(task, given)
            for name in each.keys() & {"score", "pixels"}:
                found.setdefault(name, []).append(each[name])
    return figures(metric)[task.measure.name], {name: torch.cat(parts).numpy() for name, parts in found.items()}
