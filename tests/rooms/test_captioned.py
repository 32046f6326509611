"""Readers of captioned photographs: COCO's, Karpathy's and Flickr's files, on files made here."""

from __future__ import annotations

import importlib.util
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from regard.data import caption_files, coco_captions, karpathy
from regard.data.captioned import Captioned
from regard.training.captioning import read

CAPTIONS = {
    "a.png": ["A red square, alone.", "One square"],
    "b.png": ["A green square", "The square is green!"],
    "c.png": ["A blue square"],
}
COLOURS = {"a.png": (255, 0, 0), "b.png": (0, 255, 0), "c.png": (0, 0, 255)}


def images(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.new("RGB", (13, 11), COLOURS[name]).save(folder / name)


def written(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")


def coco(folder: Path, change: Callable[[dict[str, Any]], object] = lambda content: None) -> None:
    for half, names in (("train2017", ("a.png", "b.png")), ("val2017", ("c.png",))):
        images(folder / half, *names)
        annotations = [
            {"image_id": 10 + i, "id": 7, "caption": caption}
            for i, name in enumerate(names)
            for caption in CAPTIONS[name]
        ]
        content = {
            "images": [{"id": 10 + i, "file_name": name} for i, name in enumerate(names)],
            "annotations": annotations,
        }
        if half == "train2017":
            change(content)
        written(folder / "annotations" / f"captions_{half}.json", content)


def splits(folder: Path, change: Callable[[dict[str, Any]], object] = lambda content: None) -> None:
    images(folder / "images" / "train2014", "a.png")
    images(folder / "val2014", "b.png", "c.png")
    of = {"a.png": ("train2014", "train"), "b.png": ("val2014", "restval"), "c.png": ("val2014", "test")}
    content = {
        "images": [
            {"filename": name, "filepath": below, "split": split, "sentences": [{"raw": one} for one in CAPTIONS[name]]}
            for name, (below, split) in of.items()
        ]
    }
    content["images"].append({"filename": "absent.png", "split": "val", "sentences": []})
    change(content)
    written(folder / "dataset_coco.json", content)


def flickr(folder: Path, change: Callable[[list[str]], object] = lambda lines: None) -> None:
    images(folder / "Flicker8k_Dataset", *CAPTIONS)
    lines = [f"{name}#{i}\t{caption}" for name, several in CAPTIONS.items() for i, caption in enumerate(several)]
    change(lines)
    written(folder / "Flickr8k.token.txt", "\n".join(lines))
    written(folder / "Flickr8k.lemma.token.txt", "nothing of use")
    written(folder / "Flickr_8k.trainImages.txt", "a.png\nb.png\n\n")
    written(folder / "Flickr_8k.testImages.txt", "c.png")


@pytest.mark.parametrize("layout", [coco, splits, flickr])
def test_a_layout_is_read(layout: Callable[[Path], None], tmp_path: Path) -> None:
    layout(tmp_path)
    train, test = read(tmp_path, image_size=5, least=1, longest=3)
    assert (len(train), len(test)) == (4, 1)
    assert isinstance(train, Captioned)
    words = train.words
    assert test.words == words
    assert words.tokens[4:] == ("square", "a", "green", "alone", "is", "one", "red", "the")
    for i, (name, caption) in enumerate(
        [("a.png", ["a", "red", "square"]), ("a.png", ["one", "square"]), ("b.png", ["a", "green", "square"])]
    ):
        sample = train[i]
        assert (sample["name"], words.decode(sample["words"])) == (name, caption)
        assert sample["image"].shape == (3, 5, 5)
        torch.testing.assert_close(sample["image"][:, 0, 0], torch.tensor(COLOURS[name]) / 255)
    assert train.lengths == [5, 4, 5, 5]
    assert train[0]["references"] == [["a", "red", "square", "alone"], ["one", "square"]]
    assert words.decode(test[0]["words"]) == ["a", "<unk>", "square"]
    batch = train.collate_fn([train[0], train[1]])
    assert batch["words_mask"].tolist() == [[True] * 5, [True] * 4 + [False]]
    assert batch["references"] == [train[0]["references"]] * 2
    assert pickle.loads(pickle.dumps(train))[2]["name"] == "b.png"
    other, _ = read(tmp_path, image_size=5, least=2, longest=3)
    assert train.digest != other.digest
    assert train.digest == read(tmp_path, image_size=5, least=1, longest=3)[0].digest


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["annotations"][3].update(image_id=99), r"annotations\[3\]: no image has the id 99"),
        (lambda c: c["annotations"][1].update(caption=" "), r"annotations\[1\]: a caption is needed, not ' '"),
        (lambda c: c["annotations"][1].update(caption=None), r"annotations\[1\]: a caption is needed, not None"),
        (lambda c: c["annotations"].__delitem__(slice(0, 2)), "image 'a.png' has no caption"),
        (lambda c: [one.update(caption="...") for one in c["annotations"][:2]], "image 'a.png' has no caption"),
        (lambda c: c["images"][1].pop("file_name"), r"images\[1\]: an image needs id and file_name"),
        (lambda c: c["images"][1].update(file_name="d.png"), "there is no file .*d.png"),
        (lambda c: c.pop("annotations"), "need 'annotations'"),
    ],
)
def test_damaged_captions_of_coco_are_refused(change: Any, message: str, tmp_path: Path) -> None:
    coco(tmp_path, change)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        coco_captions.load(tmp_path, image_size=5, least=1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["images"][1].update(split="rest"), r"images\[1\]: split 'rest'; train, restval, test, val"),
        (lambda c: c["images"][0]["sentences"][1].update(raw=""), r"images\[0\]: a caption is needed, not ''"),
        (lambda c: c["images"][0].update(sentences=[]), "image 'a.png' has no caption"),
        (lambda c: c["images"][0].update(sentences=None), r"images\[0\]: an image needs filename, split and sentences"),
        (lambda c: c["images"].pop(2), "the split test has no image"),
        (lambda c: c["images"][2].update(filename="d.png"), "there is no file .*d.png"),
    ],
)
def test_damaged_splits_of_karpathy_are_refused(change: Any, message: str, tmp_path: Path) -> None:
    splits(tmp_path, change)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        karpathy.load(tmp_path, image_size=5, least=1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: lines.__setitem__(2, "b.png A green square"), "line 3: NAME#NUMBER, a tab and a caption"),
        (lambda lines: lines.__setitem__(2, "b.png#0\t "), "line 3: a caption is needed"),
        (lambda lines: lines.pop(), "image 'c.png' has no caption"),
    ],
)
def test_damaged_token_files_are_refused(change: Any, message: str, tmp_path: Path) -> None:
    flickr(tmp_path, change)
    with pytest.raises(ValueError, match=message):
        caption_files.load(tmp_path, image_size=5, least=1)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"annotations/captions_.*json of COCO"):
        read(tmp_path, image_size=5, least=1, longest=3)
    flickr(tmp_path)
    (tmp_path / "Flickr_8k.testImages.txt").unlink()
    with pytest.raises(FileNotFoundError, match="has none: a list of the test images"):
        caption_files.load(tmp_path, image_size=5)
    coco(tmp_path / "coco")
    (tmp_path / "coco" / "annotations" / "captions_val2017.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"has none: one captions_val\*.json is needed"):
        coco_captions.load(tmp_path / "coco", image_size=5)


def test_results_of_coco_go_in_and_out(tmp_path: Path) -> None:
    captions = {42: "a dog runs", 7: "deux œufs"}
    path = tmp_path / "results.json"
    written(path, coco_captions.results(captions))
    assert coco_captions.read_results(path) == captions
    assert [one["image_id"] for one in json.loads(path.read_text(encoding="utf-8"))] == [7, 42]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "results need a list"),
        ([{"image_id": "7", "caption": "a"}], r"results.json\[0\]: image_id, a whole number, and caption"),
        ([{"image_id": 7, "caption": "a"}, 3], r"results.json\[1\]: image_id"),
        ([{"image_id": 7, "caption": "a"}] * 2, r"results.json\[1\]: image 7 has a caption already"),
    ],
)
def test_damaged_results_are_refused(content: object, message: str, tmp_path: Path) -> None:
    written(tmp_path / "results.json", content)
    with pytest.raises(ValueError, match=message):
        coco_captions.read_results(tmp_path / "results.json")


def test_the_page_of_photographs_by_heart(tmp_path: Path) -> None:
    place = Path(__file__).parents[2] / "docs" / "overfit.py"
    spec = importlib.util.spec_from_file_location("docs_overfit", place)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    references = [[["a", "red", "square", "alone"]], [["the", "blue", "disc", "below"]], [["one", "two", "six", "ten"]]]
    found = script.scored([references[0][0], references[1][0], ["one", "two", "six"]], references)
    own, other = script.SENTENCES
    assert found[f"exact {own}"] == pytest.approx(200 / 3)
    assert found[f"exact {other}"] == found[f"CIDEr-D {other}"] == 0
    assert found[f"CIDEr-D {own}"] > 500
    values = {f"{part}: {name}": value for part in ("training", "validation") for name, value in found.items()}
    (tmp_path / "a.json").write_text(json.dumps({"NIC": {"11": values, "12": values}}), encoding="utf-8")
    assert "| NIC | 2 |" in script.page([tmp_path / "a.json"])
    assert "66.7 ± 0.0" in script.page([tmp_path / "a.json"])
