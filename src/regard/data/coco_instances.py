"""Boxes and classes of objects: COCO's `instances_*.json`, and the results of a detector in COCO's form.

    instances    {"images": [{"id", "file_name", "width", "height"}], "categories": [{"id", "name"}],
                  "annotations": [{"image_id", "category_id", "bbox": [x, y, width, height], "iscrowd"}]}
    results      [{"image_id", "category_id", "bbox": [x, y, width, height], "score"}]

Classes are numbered from 1 in the order of the categories. Crowds are left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from regard.data.coco import stated_size
from regard.data.images import shown
from regard.data.region_files import listed, numbers
from regard.data.texts import parsed, quoted

Key = int | str


@dataclass
class Objects:
    """The objects of an image.

    Attributes:
        file: the name of the image's file.
        width, height: of the image, in pixels.
        boxes: x0, y0, x1, y1 of each, from 0 to 1.
        classes: of each, from 1.
        scores: of each; 1 for true objects.
    """

    file: str
    width: int
    height: int
    boxes: list[list[float]] = field(default_factory=list)
    classes: list[int] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)

    def tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        """Boxes `n 4`, classes `n` and scores `n`."""
        return torch.tensor(self.boxes).reshape(-1, 4), torch.tensor(self.classes).long(), torch.tensor(self.scores)


@dataclass(frozen=True)
class Instances:
    """The objects of all images of a file.

    Attributes:
        path: the file.
        categories: number of a category in the file -> its name, in the order of the file.
        images: number of an image -> its objects.
    """

    path: Path
    categories: Mapping[int, str]
    images: Mapping[Key, Objects]

    @property
    def classes(self) -> dict[int, int]:
        """Number of a category in the file -> its class, from 1."""
        return {category: number for number, category in enumerate(self.categories, 1)}


def read(path: Path) -> Instances:
    """Reads `instances_*.json`.

    Raises: ValueError if it is malformed, a box lies outside its image, or an image or a category is not there; OSError
        if it cannot be read.
    """
    where = shown(path)
    content = parsed(path)
    if not isinstance(content, dict):
        raise ValueError(f"{where}: COCO annotations need an object with images, categories and annotations")
    images: dict[Key, Objects] = {}
    for position, image in enumerate(listed(content, "images", path)):
        name, size = image.get("file_name"), stated_size(image)
        if not isinstance(image.get("id"), int | str) or not isinstance(name, str) or size is None:
            raise ValueError(f"{where} images[{position}]: an image needs id, file_name, width and height")
        images[image["id"]] = Objects(name, *size)
    categories: dict[int, str] = {}
    for position, category in enumerate(listed(content, "categories", path)):
        number, name = category.get("id"), category.get("name")
        if not isinstance(number, int) or not isinstance(name, str) or number in categories:
            raise ValueError(f"{where} categories[{position}]: a category needs a name, and an id of its own")
        categories[number] = name
    found = Instances(path, categories, images)
    for position, annotation in enumerate(listed(content, "annotations", path)):
        if not annotation.get("iscrowd"):
            _add(found, found.classes, annotation, f"{where} annotations[{position}]", 1.0)
    return found


def detected(path: Path, instances: Instances) -> Instances:
    """Reads the results of a detector on the images of `instances`, best first for each image.

    Raises: ValueError if it is malformed, or names an image or a category that is not there; OSError.
    """
    where = shown(path)
    content = parsed(path)
    if not isinstance(content, list) or not all(isinstance(one, dict) for one in content):
        raise ValueError(f"{where}: results need a list of objects with image_id, category_id, bbox and score")
    blank = {number: Objects(one.file, one.width, one.height) for number, one in instances.images.items()}
    found = Instances(path, instances.categories, blank)
    for position, result in enumerate(content):
        score = result.get("score")
        if isinstance(score, bool) or not isinstance(score, int | float) or not 0 <= score <= 1:
            raise ValueError(f"{where}[{position}]: a score from 0 to 1 is needed, not {quoted(score)}")
        _add(found, found.classes, result, f"{where}[{position}]", float(score))
    for one in blank.values():
        order = sorted(range(len(one.scores)), key=lambda i, one=one: -one.scores[i])  # type: ignore[misc]
        for name in ("boxes", "classes", "scores"):
            setattr(one, name, [getattr(one, name)[i] for i in order])
    return found


def _add(found: Instances, classes: Mapping[int, int], given: Mapping[str, Any], where: str, score: float) -> None:
    number, category = given.get("image_id"), given.get("category_id")
    if not isinstance(number, int | str) or number not in found.images:
        raise ValueError(f"{where}: no image has the id {quoted(number)}")
    if not isinstance(category, int) or category not in classes:
        raise ValueError(f"{where}: no category has the id {quoted(category)}")
    image, box = found.images[number], given.get("bbox")
    if not isinstance(box, list) or not numbers(box) or len(box) != 4 or not all(map(math.isfinite, box)):
        raise ValueError(f"{where}: a bbox of x, y, width, height is needed, not {quoted(box)}")
    x, y, width, height = map(float, box)
    ends = [x, y, x + width, y + height]
    sides = (image.width, image.height) * 2
    if width < 0 or height < 0 or min(x, y) < -1 or any(end > side + 1 for end, side in zip(ends, sides, strict=True)):
        size = f"{image.width}×{image.height}"
        raise ValueError(f"{where}: a bbox inside the image of {size} pixels is needed, not {quoted(box)}")
    image.boxes.append([min(max(end / side, 0.0), 1.0) for end, side in zip(ends, sides, strict=True)])
    image.classes.append(classes[category])
    image.scores.append(score)
