"""Drawn scenes: captions that are true, words with their objects, questions with answers, pairs that are held out."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch

from regard.data import scene_sentences as sentences
from regard.data.scene_sentences import Object
from regard.data.scenes import FEATURES, QUESTIONS, scenes
from regard.ops.words import UNKNOWN

TRAIN, TEST = scenes(train_size=7, test_size=11, size=32)
OBJECTS = (
    Object("seven", "red", "large", (0.1, 0.1, 0.4, 0.4)),
    Object("disc", "blue", "small", (0.15, 0.6, 0.4, 0.85)),
    Object("two", "red", "small", (0.7, 0.6, 0.9, 0.8)),
)


def test_there_is_an_item_for_each_caption_image_and_question() -> None:
    assert (len(TRAIN), len(TRAIN.images()), len(TRAIN.questions())) == (35, 7, 42)
    sample = TRAIN[17]
    assert sample["name"] == "000003.png"
    assert sample["image"].shape == (3, 32, 32)
    assert TRAIN.words.decode(sample["words"]) == sample["references"][2]
    assert TRAIN.lengths[17] == len(sample["words"])
    with pytest.raises(IndexError, match="index 35 of 35 items"):
        TRAIN[35]


def test_every_caption_is_true_and_names_its_objects() -> None:
    for scene in range(11):
        for tokens in TEST.captions(scene):
            assert TEST.holds(scene, tokens)
            about = TEST.grounded(scene, tokens)
            kinds = [TEST.objects(scene)[i].kind for i in dict.fromkeys(i for i in about if i is not None)]
            assert sorted(kinds) == sorted(one.kind for one in sentences.told(TEST.objects(scene)))
            assert all(TEST.visual(tokens[place]) for place, i in enumerate(about) if i is not None)


@pytest.mark.parametrize(
    ("text", "true"),
    [
        ("a red seven above a blue disc", True),
        ("you see a blue circle under a large red seven", True),
        ("a red two to the right of a blue disc", True),
        ("a red seven below a blue disc", False),
        ("a green seven above a blue disc", False),
        ("a small red seven above a blue disc", False),
        ("a red seven above a blue square", False),
        ("a red seven and a blue disc", False),
        ("a red seven", False),
    ],
)
def test_a_sentence_is_true_or_not(text: str, true: bool) -> None:
    assert sentences.holds(OBJECTS, text.split()) is true


def test_a_word_is_about_the_one_object_that_fits() -> None:
    assert sentences.grounded(OBJECTS, ["a", "red", "seven", "above", "a", "blue", "circle"]) == [
        None,
        0,
        0,
        None,
        None,
        1,
        1,
    ]
    assert sentences.grounded(OBJECTS, ["a", "green", "two"]) == [None, None, None]


def test_questions_have_ten_answers_and_soft_scores() -> None:
    found = [TEST.questions()[i] for i in range(len(TEST.questions()))]
    kinds = {one["answer_type"] for one in found}
    assert kinds == {"yes/no", "number", "other"}
    for i, one in enumerate(found):
        question = TEST.asked_of(i // QUESTIONS)[i % QUESTIONS]
        assert len(one["ten"]) == 10
        best = max(one["ten"].count(answer) for answer in TEST.answers)
        assert float(one["answers"].max()) == pytest.approx(min(1.0, 0.3 * best))
        assert one["answers"][TEST.answers.index(question.answer)] > 0
        assert UNKNOWN not in one["question"]


def test_the_answers_are_those_of_the_scene() -> None:
    random = np.random.default_rng(3)
    asked = [one for _ in range(40) for one in sentences.questions(OBJECTS, random)]
    known = {" ".join(one.tokens): one.answer for one in asked}
    assert known["how many digits are there"] == "2"
    assert known["how many red objects are there"] == "2"
    assert known["what color is the two"] == "red"
    assert known["what is the large red object"] == "seven"
    assert {one.answer for one in asked if one.kind == "yes/no"} == {"yes", "no"}


def test_regions_are_the_pixels_in_the_boxes() -> None:
    sample = TEST.regions().images()[4]
    count = len(TEST.objects(4))
    assert sample["features"].shape == (count, FEATURES)
    assert torch.equal(sample["features"][:, -4:], sample["boxes"])
    for i, one in enumerate(TEST.objects(4)):
        if one.kind == "disc":
            middle = sample["features"][i, :192].view(3, 8, 8)[:, 4, 4]
            assert torch.allclose(middle, torch.tensor(sentences.COLOURS[one.colour]), atol=0.1)
    moved = TEST.regions(0.3).images()[4]["boxes"]
    assert not torch.equal(moved, sample["boxes"])
    assert (moved - sample["boxes"]).abs().max() < 0.3 * 0.4
    batch = TEST.regions().collate_fn([TEST.regions()[0], TEST.regions()[7]])
    assert set(batch) >= {"words", "words_mask", "features", "features_mask", "boxes", "boxes_mask", "references"}


def test_a_pair_that_is_held_out_is_in_no_training_scene_and_told_in_every_test_scene() -> None:
    pairs = [("seven", "disc"), ("two", "square")]
    train, test = scenes(30, 10, 32, held_out=pairs)
    for scene in range(30):
        assert not any(set(pair) <= {one.kind for one in train.objects(scene)} for pair in pairs)
    for scene in range(10):
        assert {one.kind for one in sentences.told(test.objects(scene))} in [set(pair) for pair in pairs]
    with pytest.raises(ValueError, match=r"held_out=\('seven', 'dog'\): two different kinds of zero"):
        scenes(held_out=[("seven", "dog")])


def test_a_scene_does_not_depend_on_the_others() -> None:
    more, _ = scenes(train_size=50, size=32)
    assert torch.equal(more.image(3), TRAIN.image(3))
    assert more.captions(3) == TRAIN.captions(3)
    other, _ = scenes(train_size=7, size=32, seed=1)
    assert not torch.equal(other.image(3), TRAIN.image(3))
    assert len({TRAIN.digest, TEST.digest, other.digest, TRAIN.images().digest, TRAIN.regions().digest}) == 5
    for view in (TRAIN, TRAIN.regions()):
        assert pickle.loads(pickle.dumps(view)).digest == copy.deepcopy(view).digest == view.digest


@pytest.mark.parametrize(("name", "value"), [("train_size", 0), ("size", 31), ("seed", -1)])
def test_an_argument_out_of_range_is_named(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"{name}={value}"):
        scenes(**{name: value})  # type: ignore[arg-type]
