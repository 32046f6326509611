"""Comparing attention that is attached to a backbone: of a classifier, or of a network for a task of one's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from regard import backbones
from regard import data as images_of
from regard.attaching.restoring import attachments
from regard.catalog import rows
from regard.catalog.rows import NONE, PLAIN
from regard.comparing import Comparison, Trial, building, looking
from regard.comparing.building import Blueprint
from regard.comparing.images import Images, OwnImages, Read, as_they_are
from regard.data.batches import Batch, Data, Normalisation
from regard.saved.description import Attached as Attachments
from regard.saved.description import Trained, plain
from regard.tasks.classify import Classify
from regard.training import freezing
from regard.training.evaluate import evaluating
from regard.training.plan import Task


class Attached:
    """See `kinds.Kind`. Rows are mechanisms after modules of the backbone, as `building` puts them there."""

    def load(
        self, settings: Comparison, datasets: tuple[Data, Data] | None, classes: Sequence[str] | None, read: Read
    ) -> Images:
        if datasets is None:
            if classes is not None:
                raise ValueError(
                    f"classes={classes!r}: accepted with a pair of datasets; {settings.source!r} has its own"
                )
            return images_of.load(
                settings.source,
                image_size=settings.image_size,
                regions=settings.regions,
                train_size=settings.train_size,
                test_size=settings.test_size,
                progress=read,
            )
        as_they_are(settings)
        train, test = datasets
        classify = settings.task is None or isinstance(settings.task, Classify)
        return OwnImages(train, test, name=settings.source, classes=classes, classify=classify)

    def task(self, settings: Comparison, images: Images) -> Task:
        if settings.task is None or isinstance(settings.task, str):
            return Classify(len(images.classes))
        return settings.task

    def chance(self, images: Images) -> float | None:
        labels = images.test.labels
        return max(map(list(labels).count, set(labels))) / len(labels) if labels else None

    def fitting(self, settings: Comparison, images: Images) -> tuple[Comparison, dict[str, str]]:
        return building.fitting(settings, images)

    def survey(self, settings: Comparison, images: Images) -> Blueprint:
        return building.survey(settings, images)

    def build(self, settings: Comparison, row: str, seed: int, images: Images, blueprint: Blueprint) -> nn.Module:
        return building.build(settings, row, seed, images, blueprint)

    def learning(self, row: str, model: nn.Module, blueprint: Blueprint, task: Task) -> Sequence[str]:
        return freezing.learning(model, getattr(task, "classes", 0), building.attached(row, blueprint, model))

    def explained(self, outputs: Any) -> Tensor:
        return looking.overall(outputs)

    def each(self, task: Task, given: Sequence[Any]) -> Mapping[str, Tensor]:
        """`score`, the measure of each image, if the task tells it by a method `each`, which takes what the metric's
        `update` takes (bool where it is yes or no); `label` and `prediction` of a classifier.
        """
        found: dict[str, Tensor] = {}
        own = getattr(task, "each", None)
        if own is not None:
            found["score"] = own(*given).cpu()
        if isinstance(task, Classify):
            logits, labels = (torch.as_tensor(one).cpu() for one in given)
            found |= {"label": labels.int(), "prediction": logits.argmax(1).int()}
        return found

    def answers(self, task: Task, model: nn.Module, batch: Batch) -> Mapping[str, NDArray[Any]]:
        """The predictions and confidences of a classifier; empty for other tasks."""
        if not isinstance(task, Classify):
            return {}
        with evaluating(model, batch["image"].device):
            confidence, prediction = task.logits(model, batch).softmax(1).max(1)
        return {"prediction": prediction.cpu().numpy(), "confidence": confidence.float().cpu().numpy()}

    def truths(self, images: Images, shown: Sequence[int]) -> Mapping[str, NDArray[Any]]:
        return {}

    def facts(self, settings: Comparison, images: Images, blueprint: Blueprint) -> Mapping[str, Any]:
        return {}

    def description(
        self,
        settings: Comparison,
        trial: Trial,
        images: Images,
        model: nn.Module,
        blueprint: Blueprint,
        normalise: Normalisation | None,
    ) -> Trained | None:
        """None for the row `plain`, whose bottlenecks are not of the catalogue, and for a backbone without a name."""
        network = backbones.built(model)
        if trial.row == PLAIN or network is None:
            return None
        return Trained(
            entry=None if trial.row == NONE else rows.parse(trial.row).mechanism,
            normalise=normalise,
            image=tuple(images.test.images([0]).shape[1:]),
            class_names=tuple(images.classes) if settings.task is None else (),
            attached=Attachments(
                backbone=network.name,
                classes=building.outputs(settings, images),
                options=plain(network.arguments),
                sites=attachments(model),
            ),
        )
