"""Tasks: their losses and scores, on cases that can be worked out by hand."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import nn

from regard.data.batches import Batch
from regard.metrics.classification import Classification, Confusion, Errors, expected_calibration_error
from regard.metrics.metric import figures
from regard.papers.attention_transfer.task import Pair, Transfer
from regard.tasks.classify import Classify


def loss_of(task: Any, model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The task's loss on a batch of images and labels."""
    loss, _ = task.loss(model, Batch(image=images, label=labels))
    return loss


def scores_of(metric: Any, logits: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
    """The metric's numbers, filled in two batches and brought together from two metrics."""
    other = copy.deepcopy(metric)
    metric.update(logits[:1], labels[:1])
    if len(labels) > 1:
        other.update(logits[1:], labels[1:])
        metric.merge_state(other)
    return figures(metric)


def two(*confidences: float) -> torch.Tensor:
    """Probabilities of two classes; class 0 has the given one."""
    first = torch.tensor(confidences, dtype=torch.float64)
    return torch.stack([first, 1 - first], 1)


def test_calibration_error_worked_out_by_hand():
    # Ten bins. (0.6, 0.7]: 0.65 right, 0.7 wrong: accuracy 0.5, confidence 0.675. (0.9, 1]: 0.95 right, twice.
    probabilities = two(0.65, 0.7, 0.95, 0.95)
    labels = torch.tensor([0, 1, 0, 0])
    expected = 2 / 4 * abs(0.5 - 0.675) + 2 / 4 * abs(1 - 0.95)
    assert expected_calibration_error(probabilities, labels, bins=10) == pytest.approx(expected)


def test_calibration_error_of_certain_answers_is_the_share_of_wrong_ones():
    probabilities = two(1.0, 1.0, 0.0, 1.0)
    assert expected_calibration_error(probabilities, torch.tensor([0, 0, 1, 0])) == 0
    assert expected_calibration_error(probabilities, torch.tensor([0, 1, 1, 0])) == pytest.approx(0.25)
    assert expected_calibration_error(probabilities, torch.tensor([1, 1, 0, 1])) == pytest.approx(1.0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_confidence_on_a_bound_belongs_to_the_lower_bin(dtype):
    # With five bins 0.6 closes (0.4, 0.6] and 0.8 closes (0.6, 0.8]: apart, |1 - 0.6| and |0 - 0.8| add up;
    # in one bin, or with bins closed on the left, they would partly cancel.
    probabilities = torch.tensor([[0.6, 0.4], [0.8, 0.2], [0.55, 0.45], [0.75, 0.25]], dtype=dtype)
    labels = torch.tensor([0, 1, 0, 1])
    expected = (abs(2 - 0.6 - 0.55) + abs(0 - 0.8 - 0.75)) / 4
    assert expected_calibration_error(probabilities, labels, bins=5) == pytest.approx(expected)


def test_one_bin_compares_the_means_and_over_and_under_confidence_cancel():
    probabilities = two(0.9, 0.6, 0.6, 0.9)
    labels = torch.tensor([1, 0, 0, 0])
    assert expected_calibration_error(probabilities, labels, bins=1) == pytest.approx(0.0)
    assert expected_calibration_error(probabilities, labels, bins=15) == pytest.approx((2 * 0.4 + 0.8) / 4)


def test_calibrated_guesses_have_a_small_error_and_boasting_ones_a_large_one():
    generator = torch.Generator().manual_seed(0)
    confidence = 0.5 + torch.rand(20_000, generator=generator, dtype=torch.float64) / 2
    probabilities = torch.stack([confidence, 1 - confidence], 1)
    labels = (torch.rand(20_000, generator=generator, dtype=torch.float64) > confidence).long()
    assert expected_calibration_error(probabilities, labels) < 0.02
    boasting = probabilities**4 / (probabilities**4).sum(1, keepdim=True)
    assert expected_calibration_error(boasting, labels) > 0.1


@pytest.mark.parametrize(
    ("probabilities", "labels", "message"),
    [
        (torch.tensor([[2.0, -1.0]]), [0], "softmax"),
        (torch.tensor([[0.5, 0.4]]), [0], "sum to 1"),
        (torch.ones(2, 1), [0], r"\(2, 1\) and \(1,\)"),
        (torch.ones(0, 2), [], "N at least 1"),
        (two(0.5), [2], "labels from 2 to 2: from 0 to 1 are needed"),
        (two(0.5), [-1], "labels from -1"),
        (two(0.5, math.nan), [0, 1], "sum to 1"),
    ],
)
def test_calibration_error_refuses_what_is_no_set_of_probabilities(probabilities, labels, message):
    with pytest.raises(ValueError, match=message):
        expected_calibration_error(probabilities, torch.tensor(labels, dtype=torch.long))


def test_score_worked_out_by_hand():
    logits = torch.tensor([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 3.0, 0.0], [0.0, 0.0, 0.5]])
    labels = torch.tensor([0, 1, 2, 2])
    scores = scores_of(Classify(3, label_smoothing=0.3).metric(), logits, labels)
    losses = [-math.log(math.exp(a) / (math.exp(b) + 2)) for a, b in ((2, 2), (1, 1), (0, 3), (0.5, 0.5))]
    assert scores["accuracy"] == 0.75
    assert scores["loss"] == pytest.approx(sum(losses) / 4)
    assert scores["ece"] == pytest.approx(expected_calibration_error(logits.softmax(1), labels))
    assert set(scores) == {"accuracy", "loss", "ece"}
    assert all(type(value) is float for value in scores.values())


def test_top5_counts_the_five_best_of_more_than_five_classes():
    logits = torch.tensor([[6.0, 5, 4, 3, 2, 1], [6.0, 5, 4, 3, 2, 1], [1.0, 2, 3, 4, 5, 6]])
    labels = torch.tensor([4, 5, 5])
    scores = scores_of(Classification(6), logits, labels)
    assert scores["top5"] == pytest.approx(2 / 3) and scores["accuracy"] == pytest.approx(1 / 3)
    assert "top5" not in scores_of(Classification(5), logits[:, :5], torch.tensor([0, 0, 0]))
    errors = scores_of(Classify(6, errors=True).metric(), logits, labels)
    assert errors == pytest.approx({"error": 200 / 3, "top5_error": 100 / 3})


def test_loss_smooths_labels_as_published():
    model = nn.Flatten()
    images = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.5, 0.0]])[:, :, None, None]
    labels = torch.tensor([0, 2])
    logs = model(images).log_softmax(1)
    wanted = -(0.9 * logs[[0, 1], labels] + 0.1 / 3 * logs.sum(1)).mean()
    torch.testing.assert_close(loss_of(Classify(3, label_smoothing=0.1), model, images, labels), wanted)


def test_loss_is_computed_in_float32_at_least():
    images = torch.full((1, 2, 1, 1), 300.0, dtype=torch.bfloat16)
    assert loss_of(Classify(2), nn.Flatten(), images, torch.tensor([0])).dtype == torch.float32
    assert loss_of(Classify(2), nn.Flatten(), images.double(), torch.tensor([0])).dtype == torch.float64


def test_per_class_accuracy_says_none_where_there_is_nothing_to_count():
    logits = torch.eye(4)[[0, 0, 1, 3]]
    metric = Classification(4)
    metric.update(logits, torch.tensor([0, 1, 1, 3]))
    assert metric.per_class == [1.0, 0.5, None, 1.0]
    metric.reset()
    assert metric.per_class == [None] * 4
    with pytest.raises(ValueError, match="no sample"):
        metric.compute()


def test_several_answers_and_several_labels_have_errors_of_their_own():
    metric = Errors()
    right, wrong = torch.eye(3)[[0, 2, 1]], torch.eye(3)[[1, 2, 0]]
    metric.update({"one": right, "two": wrong}, torch.tensor([0, 2, 1]))
    assert metric.compute() == pytest.approx({"one": 0.0, "two": 200 / 3})
    pairs = Errors()
    pairs.update({"both": torch.stack((right, wrong), 1)}, torch.tensor([[0, 1], [2, 1], [1, 0]]))
    assert pairs.compute() == pytest.approx({"both": 100 / 3})


def test_confusions_give_accuracy_and_the_mean_of_f1():
    logits = torch.eye(3)[[0, 0, 1, 1, 1]]
    scores = scores_of(Confusion(3), logits, torch.tensor([0, 1, 1, 1, 0]))
    assert scores == pytest.approx({"accuracy": 3 / 5, "f1": (2 / 4 + 4 / 6) / 2})  # the third class does not occur


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"classes": 1}, "classes=1"),
        ({"classes": 2.0}, "classes=2.0"),
        ({"classes": 3, "label_smoothing": 1.0}, "label_smoothing=1.0"),
        ({"classes": 3, "label_smoothing": -0.1}, "label_smoothing=-0.1"),
        ({"classes": 3, "label_smoothing": float("nan")}, "label_smoothing=nan"),
        ({"classes": 3, "label_smoothing": "a little"}, "label_smoothing='a little'"),
        ({"classes": 3, "errors": "false"}, "errors='false'"),
        ({"classes": "3"}, "classes='3'"),
    ],
)
def test_bad_arguments_are_refused_by_name(arguments, message):
    with pytest.raises(ValueError, match=message):
        Classify(**arguments)


def test_a_model_with_another_output_is_refused_with_what_it_returned():
    images = torch.zeros(2, 4, 1, 1)
    with pytest.raises(ValueError, match=r"returns \(2, 4\): 3 logits for each image"):
        loss_of(Classify(3), nn.Flatten(), images, torch.tensor([0, 1]))
    with pytest.raises(ValueError, match="returns tuple"):
        loss_of(Classify(3), lambda x: (x, x), images, torch.tensor([0, 1]))
    with pytest.raises(ValueError, match="labels from 0 to 7"):
        Classification(4).update(images.flatten(1), torch.tensor([0, 7]))


def test_logits_that_are_no_numbers_have_no_score():
    logits = torch.zeros(3, 2)
    logits[1, 0] = math.nan
    with pytest.raises(ValueError, match="1 of 3 rows of logits hold NaN"):
        Classification(2).update(logits, torch.tensor([0, 1, 1]))
    logits[1, 0] = -math.inf  # a class that is ruled out
    assert scores_of(Classification(2), logits, torch.tensor([0, 1, 1]))["accuracy"] == pytest.approx(2 / 3)


def pair(width: int = 3) -> Pair:
    def network() -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(nn.Flatten(), nn.Linear(4, width))

    return Pair(network(), network())


def test_transfer_is_computed_in_the_precision_of_the_model():
    images, labels = torch.rand(2, 1, 2, 2, dtype=torch.float64), torch.tensor([0, 2])
    model = pair().double()
    wanted = nn.functional.cross_entropy(model(images), labels)
    torch.testing.assert_close(loss_of(Transfer(classes=3), model, images, labels), wanted, rtol=0, atol=0)
    for given in ({"alpha": 0.5}, {"gamma": 1.0}):
        assert loss_of(Transfer(classes=3, **given), model, images, labels).dtype == torch.float64


@pytest.mark.parametrize("given", [{}, {"alpha": 0.5}, {"gamma": 1.0}])
def test_a_pair_of_other_classes_is_refused(given):
    with pytest.raises(ValueError, match=r"returns \(2, 3\): 4 logits for each image"):
        loss_of(Transfer(classes=4, **given), pair(), torch.rand(2, 1, 2, 2), torch.tensor([0, 2]))


def test_a_layer_that_does_not_run_is_named():
    model = pair()
    for half in (model.student, model.teacher):
        half.add_module("list", nn.ModuleList([nn.Identity()]))
        half.forward = lambda x, half=half: half[1](half[0](x))
    with pytest.raises(ValueError, match="layers: 'list' of Sequential: a module with an output"):
        loss_of(Transfer(classes=3, beta=1.0, layers=("list",)), model, torch.rand(2, 1, 2, 2), torch.tensor([0, 2]))
