"""Objects that captions name and that are not there; METEOR where its program is."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from safetensors import safe_open

from regard.metrics.words import meteor as authors
from regard.metrics.words.chair import Chair
from regard.metrics.words.object_words import COCO, ObjectWords

CASES = sorted((Path(__file__).parent / "golden_metrics" / "captions").glob("*.safetensors"))
WORDS = ObjectWords(COCO)


def said(text: str) -> list[str]:
    return text.split()


def test_objects_that_are_not_there_are_counted() -> None:
    metric = Chair(WORDS)
    metric.update(
        [said("a man with two dogs and a frisbee"), said("a cat on a bench"), said("a red wall")],
        [[said("a person walks a dog")], [said("a kitten sleeps")], [said("a wall")]],
        [["person"], ["bench"], []],
    )
    # Named: person, dog, frisbee; cat, bench; nothing. The frisbee alone is neither annotated nor in a reference.
    assert metric.compute() == {"chair_i": 1 / 5, "chair_s": 1 / 3, "named": 5 / 3, "recall": 1.0}


def test_annotations_are_optional_and_states_are_merged() -> None:
    one, other, both = Chair(WORDS), Chair(WORDS), Chair(WORDS)
    first = ([said("a dog")], [[said("a cat")]])
    second = ([said("a cat and a bus")], [[said("a cat")]])
    one.update(*first)
    other.update(*second)
    both.update(first[0] + second[0], first[1] + second[1])
    one.merge_state(other)
    assert one.compute() == both.compute() == {"chair_i": 2 / 3, "chair_s": 1.0, "named": 1.5, "recall": 0.5}


def test_mistakes_are_named() -> None:
    metric = Chair(WORDS)
    with pytest.raises(ValueError, match="no sentences: at least one is needed"):
        metric.compute()
    with pytest.raises(ValueError, match="objects: 'unicorn' is no category"):
        metric.update([said("a dog")], [[said("a dog")]], [["unicorn"]])
    with pytest.raises(ValueError, match="the objects of 2 images and 1 sentences"):
        metric.update([said("a dog")], [[said("a dog")]], [["dog"], ["cat"]])


def test_meteor_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert authors.missing() == "not computed: Java"
    with pytest.raises(RuntimeError, match="METEOR is not computed: Java"):
        authors.meteor([said("a dog")], [[said("a dog")]])


@pytest.mark.slow
@pytest.mark.skipif(bool(authors.missing()), reason=f"METEOR: {authors.missing()}")
@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_meteor_equals_the_recorded_scores(path: Path) -> None:
    with safe_open(path, "pt") as file:
        pairs = json.loads(file.metadata()["data"])["tokenized"]
        total, each = float(file.get_tensor("output.meteor")), file.get_tensor("output.meteor_each").tolist()
    candidates = [said(one["candidate"]) for one in pairs]
    references = [[said(text) for text in one["references"]] for one in pairs]
    found = authors.meteor(candidates, references)
    assert found[0] == pytest.approx(total, abs=1e-12)
    assert found[1] == pytest.approx(each, abs=1e-12)
