"""Regions with their features: the published TSV, NPZ files, and what is wrong in them."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import pytest
import torch

from regard.data.bottom_up import BottomUp, Seen, write

BOXES = np.array([[1, 2, 11, 12], [0, 0, 40, 30], [5, 5, 6, 7]], np.float32)


def seen(name: str = "42", *, width: int = 5, boxes: np.ndarray = BOXES) -> Seen:
    features = np.arange(len(boxes) * width, dtype=np.float32).reshape(len(boxes), width)
    return Seen(name, 40, 30, boxes, features)


def line(*columns: object) -> str:
    return "\t".join(map(str, columns)) + "\n"


def coded(values: np.ndarray) -> str:
    return base64.b64encode(values.astype("<f4").tobytes()).decode()


def test_what_is_written_is_read_by_id_and_by_the_file_names_of_coco(tmp_path: Path) -> None:
    path = tmp_path / "f.tsv"
    assert write(path, [seen("42"), seen("7", boxes=BOXES[:1])]) == 2
    assert [file.name for file in tmp_path.iterdir()] == ["f.tsv"]
    read = BottomUp(path)
    assert read.names == ("42", "7")
    for name in ("42", "photos/000000000042.jpg", "COCO_val2014_000000000042.jpg"):
        assert np.array_equal(read[name].features, seen().features)
    assert read["42.png"].features.shape == (3, 5)
    assert torch.allclose(read["42.png"].relative[0], torch.tensor([1 / 40, 2 / 30, 11 / 40, 12 / 30]))
    with pytest.raises(LookupError, match="has no image '8'; it has 2, such as '42'"):
        read["8"]


def test_a_line_is_what_the_released_tool_writes(tmp_path: Path) -> None:
    path = tmp_path / "f.tsv"
    path.write_text(line(42, 40, 30, 3, coded(BOXES), coded(seen().features)))
    assert np.array_equal(BottomUp(path)["42"].boxes, BOXES)


SCORES = np.array([0.25, 1, 0.5], np.float32)


def test_the_classes_of_regions_may_stand_beside_them(tmp_path: Path) -> None:
    path = tmp_path / "f.tsv"
    named = Seen("42", 40, 30, BOXES, seen().features, ("dog", "teddy bear", "café"), SCORES)
    write(path, [named, seen("7")])
    first, second = BottomUp(path)["42"], BottomUp(path)["7"]
    assert (first.classes, second.classes) == (named.classes, ())
    assert first.scores is not None and first.scores.tolist() == SCORES.tolist()
    assert second.scores is None
    facts = {"x": seen().features, "bbox": BOXES, "image_w": 40, "image_h": 30}
    np.savez(tmp_path / "42.npz", **facts, classes=np.array(named.classes), scores=SCORES)
    assert BottomUp(tmp_path)["42"].classes == named.classes


@pytest.mark.parametrize(
    ("further", "match"),
    [
        (('["a", "b"]', coded(SCORES)), "2 classes and 3 scores for 3 boxes: one of each a box"),
        (('["a", "b", "c"]', coded(SCORES * 2)), "scores from 0 to 1"),
        (("a", coded(SCORES)), "classes have to be a JSON list of names"),
        (("[]", coded(SCORES)), "classes have to be a JSON list of names"),
        (('["a", "b", "c"]',), "7 columns: the 6 columns .* and classes and scores may follow"),
    ],
)
def test_damaged_classes_are_named(tmp_path: Path, further: tuple[str, ...], match: str) -> None:
    path = tmp_path / "f.tsv"
    path.write_text(line(42, 40, 30, 3, coded(BOXES), coded(seen().features), *further))
    with pytest.raises(ValueError, match=match):
        BottomUp(path)["42"]


def test_a_folder_of_npz_files_is_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "42.npz", x=seen().features, bbox=BOXES, image_w=40, image_h=30, num_bbox=3)
    assert np.array_equal(BottomUp(tmp_path)["42"].features, seen().features)
    np.savez(tmp_path / "43.npz", x=seen().features)
    with pytest.raises(ValueError, match=r"43\.npz has x: x, bbox, image_w and image_h are needed"):
        BottomUp(tmp_path)["43"]
    (tmp_path / "44.npz").write_bytes(b"no")
    with pytest.raises(ValueError, match=r"44\.npz: an NPZ file of numbers is needed"):
        BottomUp(tmp_path)["44"]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (line(42, 40, 30), "line 1: 3 columns: the 6 columns image_id"),
        (line(42, 40, 30, 3, "?", coded(BOXES)), "image 42: whole numbers and base64 of float32 are needed"),
        (line(42, 40, 30, 2, coded(BOXES), coded(BOXES)), "12 numbers of boxes and 12 of features for 2 boxes"),
        (line(42, 0, 30, 3, coded(BOXES), coded(BOXES)), "0 x 30 pixels: a size above 0"),
        (
            line(42, 30, 20, 3, coded(BOXES), coded(BOXES)),
            r"box 1 is \[0.0, 0.0, 40.0, 30.0\]: left, top, right, bottom",
        ),
        (line(42, 40, 30, 3, coded(BOXES * np.nan), coded(BOXES)), "have to be finite"),
    ],
)
def test_a_damaged_line_is_named(tmp_path: Path, text: str, match: str) -> None:
    path = tmp_path / "f.tsv"
    path.write_text(text)
    with pytest.raises(ValueError, match=match):
        BottomUp(path)["42"]


def test_features_of_another_width_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "f.tsv"
    write(path, [seen("1"), seen("2", width=4)])
    read = BottomUp(path)
    assert read["1"].features.shape == (3, 5)
    with pytest.raises(ValueError, match="image 2 has 4 features a region, others 5"):
        read["2"]


def test_an_empty_file_is_refused_and_a_failure_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "f.tsv").write_text("\n")
    with pytest.raises(ValueError, match="no image: a TSV of 6 columns or a folder of NPZ files"):
        BottomUp(tmp_path / "f.tsv")

    def failing() -> list[Seen]:
        yield seen()  # type: ignore[misc]
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        write(tmp_path / "g.tsv", failing())
    assert [file.name for file in tmp_path.iterdir()] == ["f.tsv"]
