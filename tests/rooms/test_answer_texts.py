"""Answers as texts: equal to the official evaluation of VQA, with all that is odd in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from regard.metrics.words.answered import Answered
from regard.metrics.words.answers import CONTRACTIONS, accuracy, processed, target, unmarked

RECORDED = Path(__file__).parent / "golden_metrics" / "vqa_accuracy"


@pytest.mark.parametrize("name", ["set_a", "set_a_rotated"])
def test_recorded_accuracies_and_processed_texts(name: str) -> None:
    with safe_open(RECORDED / f"{name}.safetensors", "pt") as file:
        recorded = json.loads(file.metadata()["data"])
    questions = recorded["data"]
    scores = [accuracy(one["prediction"], one["answers"]) for one in questions]
    assert [100 * score for score in scores] == pytest.approx(recorded["per_question"])
    texts = [{"punct": unmarked(one["prediction"]), "full": processed(one["prediction"])} for one in questions]
    assert texts == recorded["processed_prediction"]
    metric = Answered()
    metric.update(scores, [one["answer_type"] for one in questions])
    found = metric.compute()
    for kind, value in recorded["accuracy"]["perAnswerType"].items():
        assert 100 * found[f"accuracy_{kind.replace('/', '_')}"] == pytest.approx(value)
    assert 100 * found["accuracy"] == pytest.approx(recorded["accuracy"]["overall"])


def test_recorded_targets() -> None:
    with safe_open(RECORDED / "soft_target.safetensors", "pt") as file:
        counts, recorded = file.get_tensor("input.0"), file.get_tensor("output.0")
    assert torch.equal(torch.tensor([target(int(count)) for count in counts], dtype=torch.float64), recorded)
    with pytest.raises(ValueError, match="count=11"):
        target(11)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("1,000 a/b", "1000 ab"),  # a comma between digits: every mark becomes nothing
        ("t-shirt", "t shirt"),
        ("black -white", "black white"),
        ("3.5", "3.5"),
        ("at 12. noon", "at 12 noon"),
        ("Dont", "don't"),
        ("somebody'd", "somebodyd"),  # as the official table has it
        ("The", ""),
        ("an apple, none", "apple 0"),
        (". " * 40, ". " * 8),  # 32 periods are removed
    ],
)
def test_a_text_is_processed_as_the_official_code_does(given: str, text: str) -> None:
    assert processed(given) == " ".join(text.split())


def test_an_apostrophe_that_is_missing_is_put_back() -> None:
    assert (CONTRACTIONS["couldnt've"], CONTRACTIONS["couldn'tve"]) == ("couldn't've", "couldn't've")
    assert "couldntve" not in CONTRACTIONS


def test_texts_are_processed_only_where_the_annotators_differ() -> None:
    assert accuracy("Yes.", ["yes"] * 10) == 0
    assert accuracy("Yes.", ["yes"] * 9 + ["no"]) == pytest.approx(1)
    assert accuracy(" yes\n", ["yes"] * 10) == 1


@pytest.mark.parametrize("count", range(11))
def test_the_target_is_the_accuracy_of_an_answer(count: int) -> None:
    assert target(count) == pytest.approx(accuracy("dog", ["dog"] * count + ["cat"] * (10 - count)))


def test_answers_of_several_annotators_are_needed() -> None:
    with pytest.raises(ValueError, match=r"ten=\['yes'\]"):
        accuracy("yes", ["yes"])
