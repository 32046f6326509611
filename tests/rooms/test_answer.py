"""Answering questions: loss, accuracy, and what is refused."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from regard.data.batches import Batch
from regard.metrics.words.answered import Answered
from regard.tasks.answer import Answer


class Fixed(nn.Module):
    """An answering network that returns the logits that it was made with."""

    seen = ("image",)

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits)
        self.given: tuple[object, ...] = ()

    def forward(self, *inputs: Tensor | None) -> Tensor:
        self.given = inputs
        return self.logits


def batch(**more: object) -> Batch:
    scores = torch.tensor([[0.3, 1.0, 0.0], [0.6, 0.0, 0.9]])
    fields = {"image": torch.zeros(2, 3, 5, 5), "question": torch.zeros(2, 7, dtype=torch.int64), "answers": scores}
    return Batch({**fields, **more})


def test_the_loss_is_summed_over_the_answers_and_averaged_over_the_questions() -> None:
    logits = torch.tensor([[0.0, 2.0, -1.0], [1.0, 0.5, 0.25]])
    loss, figures = Answer(3).loss(Fixed(logits), batch())

    def cost(logit: float, score: float) -> float:
        p = 1 / (1 + math.exp(-logit))
        return -score * math.log(p) - (1 - score) * math.log(1 - p)

    pairs = zip(logits.flatten().tolist(), batch()["answers"].flatten().tolist(), strict=True)
    assert loss.item() == pytest.approx(sum(cost(*pair) for pair in pairs) / 2, rel=1e-6)
    assert figures["score"].item() == pytest.approx((1.0 + 0.6) / 2)


def test_accuracy_is_the_score_of_the_likeliest_answer_by_type() -> None:
    task, model = Answer(3), Fixed(torch.tensor([[0.0, 2.0, -1.0], [1.0, 0.5, 2.0]]))
    metric, other = task.metric(), task.metric()
    mask = torch.ones(2, 7, dtype=torch.bool)
    metric.update(*task.answers(model, batch(answer_type=["yes/no", "number"], question_mask=mask)))
    assert model.given[2] is mask
    other.update([0.3, 0.0], ["number", "other"])
    metric.merge_state(other)
    found = metric.compute()
    assert found == pytest.approx(
        {"accuracy": 2.2 / 4, "accuracy_number": 0.6, "accuracy_other": 0.0, "accuracy_yes_no": 1.0}
    )
    metric.reset()
    metric.update(*task.answers(model, batch()))  # no types: one number
    assert metric.compute() == pytest.approx({"accuracy": 0.95})


def test_wrong_answers_are_refused() -> None:
    task = Answer(3)
    with pytest.raises(ValueError, match="choices=0"):
        Answer(0)
    with pytest.raises(ValueError, match=r"the model returns \(2, 4\), and the batch has scores \(2, 3\)"):
        task.loss(Fixed(torch.zeros(2, 4)), batch())
    without = batch()
    del without["question"]
    with pytest.raises(ValueError, match="'question' is needed"):
        task.loss(Fixed(torch.zeros(2, 3)), without)
    without = batch()
    del without["image"]
    with pytest.raises(ValueError, match="'image' is needed"):
        task.loss(Fixed(torch.zeros(2, 3)), without)
    with pytest.raises(ValueError, match=r"scores: 1.2 is not in 0..1"):
        Answered().update([1.2], [""])
    with pytest.raises(ValueError, match="no answers"):
        Answered().compute()
