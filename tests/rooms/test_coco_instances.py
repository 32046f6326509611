"""COCO's boxes and classes, and a detector's results on its images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from regard.data.coco_instances import detected, read


def written(folder: Path, **changed: Any) -> Path:
    content = {
        "images": [{"id": 7, "file_name": "a.jpg", "width": 20, "height": 10}],
        "categories": [{"id": 3, "name": "dog"}, {"id": 18, "name": "cat"}],
        "annotations": [
            {"image_id": 7, "category_id": 18, "bbox": [5, 2, 10, 4]},
            {"image_id": 7, "category_id": 3, "bbox": [0, 0, 20, 10], "iscrowd": 1},
            {"image_id": 7, "category_id": 3, "bbox": [19, 9, 1.5, 1]},
        ],
        **changed,
    }
    path = folder / "instances.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_boxes_are_shares_of_the_image_and_classes_count_from_one(tmp_path: Path) -> None:
    found = read(written(tmp_path))
    boxes, classes, scores = found.images[7].tensors()
    torch.testing.assert_close(boxes, torch.tensor([[0.25, 0.2, 0.75, 0.6], [0.95, 0.9, 1.0, 1.0]]))
    assert classes.tolist() == [2, 1] and scores.tolist() == [1, 1] and found.categories == {3: "dog", 18: "cat"}


def test_results_are_ranked(tmp_path: Path) -> None:
    each = [
        {"image_id": 7, "category_id": 3 + 15 * i, "bbox": [0, 0, 5, 5], "score": s} for i, s in enumerate((0.25, 0.5))
    ]
    path = tmp_path / "results.json"
    path.write_text(json.dumps(each), encoding="utf-8")
    found = detected(path, read(written(tmp_path)))
    boxes, classes, scores = found.images[7].tensors()
    assert classes.tolist() == [2, 1] and scores.tolist() == [0.5, 0.25] and boxes[0].tolist() == [0, 0, 0.25, 0.5]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"annotations": [{"image_id": 8, "category_id": 3, "bbox": [0, 0, 1, 1]}]},
            r"annotations\[0\]: no image has the id 8",
        ),
        ({"annotations": [{"image_id": 7, "category_id": 4, "bbox": [0, 0, 1, 1]}]}, "no category has the id 4"),
        ({"annotations": [{"image_id": 7, "category_id": 3, "bbox": [0, 0, 1]}]}, "a bbox of x, y, width, height"),
        (
            {"annotations": [{"image_id": 7, "category_id": 3, "bbox": [15, 0, 9, 1]}]},
            "inside the image of 20×10 pixels",
        ),
        ({"categories": [{"id": 3, "name": "dog"}, {"id": 3, "name": "cat"}]}, r"categories\[1\]"),
        ({"images": [{"id": 7, "file_name": "a.jpg"}]}, r"images\[0\]: an image needs id, file_name, width and height"),
    ],
)
def test_malformed_files_are_named(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read(written(tmp_path, **changed))


@pytest.mark.parametrize("result", [{}, {"image_id": 7, "category_id": 3, "bbox": [0, 0, 1, 1], "score": 2}])
def test_malformed_results_are_named(tmp_path: Path, result: dict[str, Any]) -> None:
    path = tmp_path / "results.json"
    path.write_text(json.dumps([result]), encoding="utf-8")
    with pytest.raises(ValueError, match=r"results.json\[0\]: a score from 0 to 1"):
        detected(path, read(written(tmp_path)))
