"""Drawn scenes as files: what is written is what the readers of the published layouts read."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from regard.data import bottom_up, caption_files, coco_captions, coco_instances, karpathy, scene_files, vqa
from regard.data.captioned import Captioned
from regard.data.scenes import scenes
from regard.data.vqa import Questions
from regard.metrics.words.answers import processed, target

TRAIN, TEST = scenes(5, 2, 32, seed=3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scenes") / "written"
    scene_files.write(path, TRAIN, TEST)
    return path


@pytest.mark.parametrize("read", [coco_captions.load, karpathy.load, caption_files.load])
def test_captions_and_images_are_those_of_the_scenes(
    folder: Path, read: Callable[..., tuple[Captioned, Captioned]]
) -> None:
    train, test = read(folder, image_size=32, least=1)
    assert (len(train), len(test)) == (25, 2)
    of_train = [[list(one) for one in TRAIN.captions(scene)] for scene in range(5)]
    assert [train[i]["references"] for i in range(0, 25, 5)] == of_train
    assert [train.words.decode(train[i]["words"]) for i in range(25)] == [one for five in of_train for one in five]
    assert [one["name"] for one in (test[0], test[1])] == ["000000000005.png", "000000000006.png"]
    assert torch.equal(test[1]["image"], TEST.image(1))
    assert test[1]["references"] == [list(one) for one in TEST.captions(1)]


def test_every_fourth_training_scene_is_the_rest_of_the_validation(folder: Path) -> None:
    images = json.loads((folder / "dataset_scenes.json").read_text())["images"]
    assert [one["split"] for one in images] == ["train"] * 3 + ["restval", "train", "test", "test"]
    assert images[3]["sentences"][0]["tokens"] == list(TRAIN.captions(3)[0])


def test_boxes_and_classes_are_those_of_the_objects(folder: Path) -> None:
    found = coco_instances.read(folder / "annotations" / "instances_val2017.json")
    assert tuple(found.categories.values()) == TEST.classes
    for scene in range(2):
        boxes, classes, _ = found.images[5 + scene].tensors()
        assert torch.equal(boxes, torch.tensor([one.box for one in TEST.objects(scene)]))
        assert [TEST.classes[number - 1] for number in classes] == [one.kind for one in TEST.objects(scene)]


def test_questions_are_those_of_the_scenes_with_their_soft_scores(folder: Path) -> None:
    train, test = vqa.load(folder, image_size=32, answers=1)
    assert (len(train), len(test)) == (30, 12)
    there = TEST.questions()
    for i in range(12):
        sample, wanted = test[i], there[i]
        assert test.words.decode([*sample["question"], 2]) == [
            word if word in test.words else "<unk>" for word in TEST.asked_of(i // 6)[i % 6].tokens
        ]
        given = Counter(processed(answer) for answer in wanted["ten"])
        assert sample["answers"].tolist() == pytest.approx([target(given[answer]) for answer in test.answers])
        assert sample["answers"].max() > 0 or not {*given} & {*test.answers}
        assert (sample["ten"], sample["answer_type"]) == (wanted["ten"], wanted["answer_type"])
        assert torch.equal(sample["image"], wanted["image"])
    assert [test[i]["question_id"] for i in (0, 11)] == [30, 41]


def test_regions_are_those_of_the_scenes(folder: Path) -> None:
    file = bottom_up.BottomUp(folder / "regions.tsv")
    assert file.names == tuple(str(number) for number in range(7))
    found = file["000000000006.png"]
    sample = TEST.regions().images()[1]
    assert np.array_equal(found.features, sample["features"])
    assert torch.allclose(found.relative, sample["boxes"], atol=1e-7)
    assert [TEST.classes.index(name) for name in found.classes] == sample["labels"].tolist()
    assert found.scores is not None and set(found.scores.tolist()) == {1.0}

    def regions(number: int) -> dict[str, torch.Tensor]:
        seen = file[str(number)]
        return {"features": torch.from_numpy(seen.features.copy()), "boxes": seen.relative}

    _, test = vqa.load(folder, image_size=32, answers=1, regions=regions)
    batch = test.collate_fn([test[0], test[11]])
    assert torch.equal(batch["features"][1, batch["features_mask"][1]], sample["features"])
    assert "image" not in batch


def test_a_folder_with_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="a new or an empty folder is needed"):
        scene_files.write(tmp_path, TRAIN, TEST)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


# Mistakes in files of questions


def changed(folder: Path, other: Path, place: str, change: Callable[[dict[str, Any]], None]) -> None:
    """Copies the files of questions without the images, and changes those whose name has `place`."""
    for path in folder.glob("*mscoco*.json"):
        content = json.loads(path.read_text())
        if place in path.name:
            change(content)
        (other / path.name).write_text(json.dumps(content))


def first(name: str, **values: object) -> Callable[[dict[str, Any]], None]:
    return lambda content: content[name][0].update(values)


@pytest.mark.parametrize(
    ("place", "change", "message"),
    [
        ("train2017_questions", first("questions", question="?"), r"questions\[0\]: a question with words"),
        ("train2017_questions", first("questions", question_id="7"), r"questions\[0\]: question_id and image_id"),
        ("train2017_questions", first("questions", question_id=7777), "has no answers to question 7777"),
        ("train2017_questions", first("questions", image_id=4), r"questions\[0\]: its image is 4, and in .* it is 0"),
        ("val2017_annotations", first("annotations", answers=[{"answer": "a"}] * 9), "ten answers, texts, are needed"),
        ("val2017_annotations", first("annotations", answers=[{"answer": 3}] * 10), "ten answers, texts, are needed"),
        ("val2017_annotations", first("annotations", answer_type="why"), "answer_type 'why': yes/no, number, other"),
        ("val2017_annotations", first("annotations", question_id=31), "question 31 has answers already"),
        ("val2017_questions", lambda content: content["questions"].pop(), "answers question 41, which .* does not ask"),
        ("val2017_questions", lambda content: content.pop("questions"), "questions"),
    ],
)
def test_a_mistake_in_a_file_of_questions_is_named(
    folder: Path, tmp_path: Path, place: str, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    changed(folder, tmp_path, place, change)
    with pytest.raises(ValueError, match=message):
        vqa.load(tmp_path, image_size=32, answers=1, regions=lambda number: {})


def test_a_missing_image_folder_or_file_of_questions_is_named(folder: Path, tmp_path: Path) -> None:
    changed(folder, tmp_path, "none", lambda content: None)
    with pytest.raises(FileNotFoundError, match="the questions need the folder of their images, train2017/"):
        vqa.load(tmp_path, image_size=32)
    assert vqa.found(tmp_path)
    next(tmp_path.glob("*train*annotations.json")).unlink()
    with pytest.raises(FileNotFoundError, match=r"has none: one \*mscoco_train\*_annotations.json is needed"):
        vqa.load(tmp_path, image_size=32)


def test_answers_of_the_vocabulary_are_those_that_are_common_enough(folder: Path) -> None:
    train, test = vqa.load(folder, image_size=32, answers=2)
    commonest = [processed(one.answer) for one in train.asked]
    assert all(commonest.count(answer) >= 2 for answer in train.answers)
    assert test.answers == train.answers
    assert isinstance(train, Questions)
    assert train.digest != test.digest
    with pytest.raises(ValueError, match="answers=31: no answer is that of so many questions"):
        vqa.load(folder, image_size=32, answers=31)


def test_results_are_read_as_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text(vqa.results({7: "yes", 3: "two dogs"}))
    assert json.loads(path.read_text())[0] == {"question_id": 3, "answer": "two dogs"}
    assert vqa.read_results(path) == {3: "two dogs", 7: "yes"}
    path.write_text('[{"question_id": 3, "answer": "a"}, {"question_id": 3, "answer": "b"}]')
    with pytest.raises(ValueError, match=r"\[1\]: question 3 is answered already"):
        vqa.read_results(path)
    path.write_text('[{"question_id": true, "answer": "a"}]')
    with pytest.raises(ValueError, match=r"\[0\]: question_id, a whole number"):
        vqa.read_results(path)
