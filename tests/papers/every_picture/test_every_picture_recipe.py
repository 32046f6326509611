"""Every Picture Tells a Story from a file of captions to a sentence: features, memory, recipe, look."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from regard import catalog
from regard.cli import app
from regard.papers.every_picture.picture import Picture, detector_loss
from regard.papers.every_picture.recipe import every_picture
from regard.watching import watch


def network(**options: Any) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        sizes = {"objects": 2, "actions": 3, "scenes": 5, "known": 7, "sentences": 2}
        return catalog.create("every_picture", 3, **{**sizes, **options}).eval()


def test_directions_of_an_edge_and_its_strength_do_not_mix() -> None:
    picture = Picture(3, detectors=2)
    image = torch.zeros(2, 3, 12, 20)
    image[0, :, :, 10:] = 0.8  # dark to light, to the right: direction 0
    image[1, :, 6:] = 0.4  # down: direction 2
    cells = picture.cells(image)
    assert cells.shape == (2, 11, 6, 10)
    assert cells[0, :8].sum((1, 2)).argmax() == 0
    assert cells[1, :8].sum((1, 2)).argmax() == 2
    assert cells[0, 8, 0].tolist() == pytest.approx([0] * 5 + [0.8] * 5)
    features, responses = picture(image)
    assert features.shape == (2, picture.width) and responses.shape == (2, 2, 6, 10)
    torch.testing.assert_close(picture.strongest(features)[:, 0], responses.flatten(2).amax(2))


def test_labels_that_are_there_count_as_much_as_those_that_are_not() -> None:
    present = torch.tensor([[True, False, False, False, False]])
    zeros = torch.zeros(1, 5)
    assert detector_loss(zeros, present).item() == pytest.approx((4 + 4) / 5)
    assert detector_loss(torch.tensor([[1.0, -1, -1, -2, -1]]), present).item() == 0


def test_neighbours_are_those_of_the_features_and_of_the_scores() -> None:
    model = network()
    images = torch.rand(7, 3, 16, 24, generator=torch.Generator().manual_seed(1))
    model.standardise([images[:4], images[4:]])
    features = model.described(images)
    torch.testing.assert_close(features.mean(0), torch.zeros(model.picture.width), atol=1e-4, rtol=0)
    model.remember([images[:4], images[4:]])
    objects, actions, scenes = model.labelled(images)
    assert (objects.shape, actions.shape, scenes.shape) == ((7, 2, 3), (7, 3, 3), (7, 5, 3))
    every = model.classifiers(features)
    torch.testing.assert_close(objects[:, :, 0], every[:, :2])
    torch.testing.assert_close(objects[0, :, 1], every.mean(0)[:2])  # fewer images than neighbours: all of them
    model.train()
    torch.testing.assert_close(model.labelled(images)[0][2, :, 2], every[[0, 1, 3, 4, 5, 6], :2].mean(0))
    with pytest.raises(ValueError, match="images: 7 are needed, not 4"):
        model.remember([images[:4]])


def test_an_image_is_told_by_the_sentence_whose_triplet_scores_best() -> None:
    model = network()
    words = {"objects": ("dog", "man"), "actions": ("run", "sit", "eat"), "scenes": tuple("abcde")}
    texts = ("a dog eats at a", "a man runs at e")
    model.sentences.copy_(torch.tensor([[0, 2, 0], [1, 0, 4]]))
    image = torch.rand(1, 3, 16, 16)
    with torch.no_grad(), watch(model) as maps:
        (told,) = model.told(image, words={**words, "sentences": texts})
        table = model(image)[0]
    assert {name: tuple(looks[0].shape) for name, looks in maps.items()} == {
        "detectors": (1, 2, 8, 8),
        "objects": (1, 2),
        "actions": (1, 3),
        "scenes": (1, 5),
    }
    best = 0 if table[0, 2, 0] > table[1, 0, 4] else 1
    o, a, s = torch.unravel_index(table.argmax(), table.shape)
    assert told == f"{texts[best]} <{words['objects'][o]}, {words['actions'][a]}, {words['scenes'][s]}>"


@pytest.mark.parametrize(
    ("options", "told"),
    [({"known": 0}, "known=0"), ({"features": 2}, "features=2: None or 3"), ({"sentences": -1}, "sentences=-1")],
)
def test_arguments_that_do_not_fit_images_are_named(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        network(**options)


CAPTIONS = (
    "a brown dog is running in the snow .",
    "a man is riding near the park .",
    "the dog runs in the snow .",
    "two men are riding in the park .",
)


def written(folder: Path) -> Path:
    """A folder in the layout of Flickr8k, with bright photographs of dogs and dark ones of men."""
    lines, lists = [], {"train": [], "test": []}
    for i in range(8):
        name = f"{i}.jpg"
        Image.new("RGB", (48, 40), (200, 30 * (i % 2), 20) if i % 2 == 0 else (10, 60, 200)).save(folder / name)
        lines += [f"{name}#{n}\t{CAPTIONS[i % 2 + 2 * n]}" for n in range(2)]
        lists["train" if i < 6 else "test"].append(name)
    (folder / "Flickr8k.token.txt").write_text("\n".join(lines), encoding="utf-8")
    for split, names in lists.items():
        (folder / f"Flickr_8k.{split}Images.txt").write_text("\n".join(names), encoding="utf-8")
    return folder


@pytest.mark.slow
def test_labels_of_photographs_are_those_of_their_captions(tmp_path: Path) -> None:
    recipe = every_picture(written(tmp_path), objects=4, actions=4, scenes=4)
    assert {name: codes.tokens for name, codes in recipe.vocabulary.items() if name != "sentences"} == {
        "objects": ("dog", "man"),
        "actions": ("riding", "running"),
        "scenes": ("park", "snow"),
    }
    assert recipe.facts["images read"] == [6, 2]
    assert recipe.train[1]["triplets"].tolist() == [[1, 0, 0], [1, 0, 0]]
    assert recipe.train[0]["image"].shape == (3, 64, 64)
    assert recipe.train[0]["present"].tolist() == [True, False]


@pytest.mark.slow
def test_a_run_finds_images_and_sentences_and_tells_a_photograph(tmp_path: Path) -> None:
    run, photo = tmp_path / "run", tmp_path / "photo.png"
    runner = CliRunner()
    done = runner.invoke(app, ["train", "every-picture", "--tiny", "--epochs", "5", "--out", str(run)])
    assert done.exit_code == 0, done.output
    result = json.loads((run / "result.json").read_text(encoding="utf-8"))
    scores = result["scores"]
    # By chance: the median of 100 images is 50.5; the commonest label of 13 is true of a sixth of the images.
    assert scores["search_median"] < 25
    assert min(scores["objects"], scores["scenes"]) > 0.25
    again = runner.invoke(app, ["eval", "--weights", str(run)])
    assert again.exit_code == 0 and f"search_median: {scores['search_median']:g}" in again.output
    Image.new("RGB", (40, 40), (180, 40, 40)).save(photo)
    looked = runner.invoke(app, ["look", str(photo), "--weights", str(run), "--out", str(tmp_path / "drawn")])
    assert looked.exit_code == 0, looked.output
    assert "photo.png: " in looked.output and looked.output.count("<") == 1
    assert len(list((tmp_path / "drawn").glob("photo-every_picture*.png"))) == 1
