"""The recipe of Neural Baby Talk: its tiny variant from the training to the sentences, and COCO's files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from regard.catalog import recipes
from regard.data.scene_files import write
from regard.data.scenes import scenes
from regard.papers.neural_baby_talk.slots.drawings import drawn, drawn_names
from regard.papers.neural_baby_talk.slots.photographs import Window, read
from regard.saved.opening import open_network
from regard.training import running
from regard.training.evaluate import batches
from regard.training.recipe import built
from regard.training.starting import beginning

LISTING = recipes.get("neural-baby-talk")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn scenes in COCO's layout: five for training and three for testing."""
    place = tmp_path_factory.mktemp("coco") / "coco"
    write(place, *scenes(5, 3, 32))
    return place


@pytest.mark.slow
def test_the_tiny_variant_points_at_what_it_names_and_is_opened_from_its_folder(tmp_path: Path) -> None:
    recipe = built(LISTING, tiny=True)
    untrained = running.evaluate(recipe, recipe.build())
    result = running.train(LISTING, recipe, out=tmp_path)
    assert result["scores"]["cider"] > untrained["cider"] + 0.3
    opened = open_network(weights=tmp_path)
    assert set(opened.vocabulary) == {"words", "classes", "names"}
    task = recipe.phases[-1].task
    (batch,) = batches(recipe.test, range(11), normalise=opened.normalise)
    slots = [slot for sentence in task.written(opened.model, batch) for slot in sentence]
    pointed = [slot for slot in slots if slot.word is None]
    assert len(pointed) > 11  # more than one a sentence
    assert all(slot.of_class == recipe.train.names.owners[slot.name - 1] for slot in pointed)
    assert running.evaluate(recipe, running.load(recipe, tmp_path)) == result["scores"]


def test_written_scenes_are_read_as_they_were_drawn(folder: Path) -> None:
    train, test, names = read(folder)
    wanted = drawn(scenes(5, 3, 32)[0])
    assert (len(train), len(test), names.classes) == (5, 3, drawn_names(scenes(1, 1)[0]).classes)
    for ours, theirs in zip(train, wanted, strict=True):
        assert ours.captions == theirs.captions
        torch.testing.assert_close(ours.boxes, theirs.boxes)
        torch.testing.assert_close(ours.object_classes, theirs.object_classes)
    assert train[0].image().shape == (3, 576, 576) and test[0].image().shape == (3, 512, 512)


def test_detections_are_the_regions_where_there_are_any(folder: Path) -> None:
    path = folder / "annotations" / "detections_train2017.json"
    instances = json.loads((folder / "annotations" / "instances_train2017.json").read_text(encoding="utf-8"))
    first = instances["images"][0]["id"]
    found = [{"image_id": first, "category_id": instances["categories"][2]["id"], "bbox": [8, 8, 16, 8], "score": 0.75}]
    path.write_text(json.dumps(found), encoding="utf-8")
    try:
        (only,), _, _ = read(folder)
    finally:
        path.unlink()
    assert (only.boxes.tolist(), only.classes.tolist(), only.scores.tolist()) == (
        [[0.25, 0.25, 0.75, 0.5]], [3], [0.75],
    )  # fmt: skip
    assert len(only.objects) >= 3


def test_files_of_captions_are_asked_for(folder: Path) -> None:
    path = folder / "annotations" / "captions_val2017.json"
    kept = path.read_text(encoding="utf-8")
    content = json.loads(kept)
    for changed, message in (
        ({"annotations": [{"image_id": 99, "caption": "a"}]}, r"annotations\[0\]: no image has the id 99"),
        (
            {"annotations": [{"image_id": content["images"][0]["id"], "caption": " ."}]},
            "a caption with a word is needed",
        ),
    ):
        path.write_text(json.dumps({**content, **changed}), encoding="utf-8")
        with pytest.raises(ValueError, match=message):
            read(folder)
    path.unlink()
    with pytest.raises(ValueError, match=r"captions_val2017\.json: this file of captions is needed"):
        read(folder)
    path.write_text(kept, encoding="utf-8")


def test_a_window_moves_the_boxes() -> None:
    boxes = torch.tensor([[0.0, 0.0, 1.0, 1.0], [0.5, 0.5, 0.75, 0.75]])
    image = torch.arange(11.0)[:, None] * 100 + torch.arange(13.0)
    sample = {"image": image.expand(3, 11, 13), "boxes": boxes, "objects": boxes[:1], "name": "x"}
    found = Window(0.5)(sample, torch.Generator().manual_seed(1))
    top, left = divmod(int(found["image"][0, 0, 0]), 100)
    rows, columns = found["image"].shape[1:]
    assert (rows, columns) == (6, 6) and (top, left) != (0, 0) and found["name"] == "x"
    inner = torch.tensor([6.5 - left, 5.5 - top, 9.75 - left, 8.25 - top]) / 6
    torch.testing.assert_close(found["boxes"][1], inner.clamp(0, 1))
    assert found["boxes"][0].tolist() == found["objects"][0].tolist() == [0, 0, 1, 1]
    with pytest.raises(ValueError, match=r"share=1.5"):
        Window(1.5)


@pytest.mark.slow
def test_the_recipe_on_cocos_files(folder: Path) -> None:
    recipe = built(LISTING, folder, options={"backbone": "test_resnet", "least": 1, "required": 1})
    (phase,) = recipe.phases
    assert not any(pattern.startswith("encoder") for pattern in phase.trains)  # the trunk stays frozen
    assert (phase.plan.epochs, phase.plan.lr, phase.plan.batch_size) == (30, 5e-4, 100)
    assert (len(recipe.train), len(recipe.test)) == (25, 3) and recipe.claim is None
    assert recipe.train.digest != built(LISTING, folder, options={"least": 1, "visual": False}).train.digest
    sample = phase.plan.augment(recipe.train[0], torch.Generator().manual_seed(0))  # type: ignore[misc]
    assert sample["image"].shape == (3, 512, 512)
    with pytest.raises(ValueError, match="data=None: a folder with annotations/captions_"):
        built(LISTING)


@pytest.mark.slow
def test_classes_and_names_have_the_vectors_of_glove(tmp_path: Path) -> None:
    names = drawn_names(scenes(1, 1)[0])
    known = sorted({word for name in (*names.classes, *names.names) for word in name.split()})
    random = np.random.default_rng(3).normal(size=(len(known), 16)).round(3)
    lines = [
        " ".join([word, *map(str, row)]) for word, row in zip([*known, "zebra"], [*random, random[0]], strict=True)
    ]
    file = tmp_path / "glove.txt"
    file.write_text("\n".join(lines) + "\n")
    recipe = built(LISTING, tiny=True, options={"vectors": str(file)})
    model = recipe.build()
    beginning(recipe).give(model)
    for vectors, texts in ((model.class_vectors, names.classes), (model.naming.vectors, names.names)):
        for row, text in enumerate(texts, 1):
            wanted = torch.tensor(np.mean([random[known.index(word)] for word in text.split()], 0)).float()
            torch.testing.assert_close(vectors[row], wanted)
    file.write_text("\n".join(lines[1:]) + "\n")
    with pytest.raises(ValueError, match=f"no vector of {known[0]!r}"):
        beginning(recipe).give(recipe.build())
    file.write_text("".join(f"{word} 0.5 0.25\n" for word in known))
    with pytest.raises(ValueError, match="2 numbers a word; 16 are needed"):
        beginning(recipe).give(recipe.build())
