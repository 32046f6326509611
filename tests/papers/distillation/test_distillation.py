"""Distillation: the loss against torch's own, and wrong arguments."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

import regard


def test_the_loss_is_that_of_the_paper() -> None:
    student, teacher, labels = torch.randn(5, 7), torch.randn(5, 7), torch.randint(7, (5,))
    module = regard.create("distillation", temperature=3.0, alpha=0.25)
    soft = F.kl_div((student / 3).log_softmax(1), (teacher / 3).softmax(1), reduction="batchmean") * 9
    hard = F.cross_entropy(student, labels)
    torch.testing.assert_close(module(student, teacher, labels), 0.25 * soft + 0.75 * hard)
    torch.testing.assert_close(module(student, teacher, F.one_hot(labels, 7).float()), 0.25 * soft + 0.75 * hard)
    torch.testing.assert_close(module(student, teacher), soft)
    torch.testing.assert_close(module(student, student + 2), torch.tensor(0.0))


@pytest.mark.parametrize(("wrong", "says"), [({"temperature": 0}, "temperature=0"), ({"alpha": 1.5}, "alpha=1.5")])
def test_wrong_settings_are_named(wrong: dict[str, float], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        regard.create("distillation", **wrong)


def test_scores_of_different_classes_are_refused() -> None:
    with pytest.raises(ValueError, match="must agree"):
        regard.create("distillation")(torch.randn(5, 7), torch.randn(5, 3), torch.randint(3, (5,)))
