"""Metrics beside torchmetrics: theirs work as ours do, and ours give their numbers where both exist."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn
from torchmetrics import Metric as TheirMetric
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassCalibrationError, MulticlassF1Score

from regard.data.batches import Batch
from regard.metrics.classification import Classification, Confusion
from regard.metrics.metric import Measure, figures
from regard.tasks.classify import Classify
from regard.training.evaluate import evaluate

CLASSES = 7


def answers(size: int = 59) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(size, CLASSES, generator=generator)
    labels = torch.randint(CLASSES, (size,), generator=generator)
    logits[torch.arange(size), labels] += 1.5
    return logits, labels


def test_ours_equal_theirs() -> None:
    logits, labels = answers()
    metric = Classification(CLASSES)
    for part in (slice(0, 20), slice(20, 59)):
        metric.update(logits[part], labels[part])
    found = metric.compute()
    theirs = {
        "accuracy": MulticlassAccuracy(CLASSES, average="micro"),
        "top5": MulticlassAccuracy(CLASSES, average="micro", top_k=5),
        "ece": MulticlassCalibrationError(CLASSES, n_bins=15),
    }
    for name, other in theirs.items():
        assert found[name] == pytest.approx(other(logits.softmax(1), labels).item(), abs=1e-6), name
    confusion = Confusion(CLASSES)
    confusion.update(logits, labels)
    f1 = MulticlassF1Score(CLASSES, average="macro")
    assert confusion.compute()["f1"] == pytest.approx(f1(logits.argmax(1), labels).item(), abs=1e-6)


class Stored(torch.utils.data.Dataset[tuple[Tensor, int]]):
    def __init__(self) -> None:
        self.logits, self.labels = answers()

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.logits[index], int(self.labels[index])


@dataclass(frozen=True)
class WithTheirs:
    """A task whose metric is one of torchmetrics."""

    several: bool = False
    measure = Measure("MulticlassAccuracy", "accuracy", unit="%")

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        raise NotImplementedError

    def metric(self) -> TheirMetric | MetricCollection:
        accuracy = MulticlassAccuracy(CLASSES, average="micro")
        return MetricCollection([accuracy, MulticlassF1Score(CLASSES)]) if self.several else accuracy

    def answers(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        return model(batch["image"]), batch["label"]


@pytest.mark.parametrize("several", [False, True])
def test_theirs_score_a_network_as_ours_do(several: bool) -> None:
    data = Stored()
    found = evaluate(nn.Identity(), WithTheirs(several), data, batch_size=8)
    wanted = evaluate(nn.Identity(), Classify(CLASSES), data, batch_size=8)["accuracy"]
    assert found["MulticlassAccuracy"] == pytest.approx(wanted)
    assert set(found) == {"MulticlassAccuracy", *(["MulticlassF1Score"] if several else [])}


def test_theirs_are_brought_together_as_ours_are() -> None:
    logits, labels = answers()
    first, second = WithTheirs().metric(), WithTheirs().metric()
    first.update(logits[:20], labels[:20])
    second.update(logits[20:], labels[20:])
    first.merge_state(second)
    assert figures(first)["MulticlassAccuracy"] == pytest.approx((logits.argmax(1) == labels).double().mean().item())
