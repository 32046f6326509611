"""Classification of clips at every frame, with a penalty on how often each place was looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from regard.data.batches import Batch
from regard.papers.action_attention.network import Watched
from regard.tasks.classify import fitting
from regard.tasks.clips import ClassifyClips


@dataclass(frozen=True)
class ClassifyFrames(ClassifyClips):
    """Classification of clips into K classes, trained at every frame; batches have `image` and `label`."""

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Equation (7) of `network`, with means over frames and places; the figure `entropy` has no penalty.

        Shapes: image `B C T H W`, label `B`.
        Raises: ValueError if the model returns another number of classes.
        """
        watched: Watched = model(batch["image"], steps=True)
        said = watched.log_probabilities
        label = batch["label"][:, None].expand(-1, said.shape[1]).flatten()
        logits = fitting(said.flatten(0, 1), len(label), self.classes)
        entropy = functional.cross_entropy(logits, label, label_smoothing=self.label_smoothing)
        own: Any = model if hasattr(model, "penalty") else model.module  # in `DistributedDataParallel`
        return entropy + own.penalty(watched.weights), {"entropy": entropy}
