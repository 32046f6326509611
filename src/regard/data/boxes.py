"""Images with the boxes of all their objects, for proposals.

A folder has images, in `images/` or anywhere below it, and `boxes.csv` (file, x0, y0, x1, y1; a row for each object) or
`annotations.json` (COCO); or it has `train/` and `test/` (or `val/`) of this layout, or COCO's own (`data.coco`).
Without two parts, every fifth image by name is a test image. Crowds are left out, as in proposals for COCO.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from regard.data import coco, region_files
from regard.data.dividing import every_fifth
from regard.data.images import SUFFIXES, measured, quiet, shown, whole
from regard.data.regions import Box

FILES = ("boxes.csv", "annotations.json")


@dataclass(frozen=True)
class Scene:
    """An image with the boxes of its objects.

    Args:
        path: the image file.
        width, height: the size of the image, in pixels.
        boxes: left, top, right, bottom of each object, in pixels: `n 4`.
    """

    path: Path
    width: int
    height: int
    boxes: NDArray[np.float64]


def read(folder: Path) -> tuple[list[Scene], list[Scene]]:
    """Reads a folder of images with boxes: the training images and the test images.

    Raises: ValueError if there are no boxes, if a box lies outside its image, if the boxes name none of the images, or
        if there are fewer than five images to split; OSError if the folder cannot be read.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {shown(folder)}")
    parts = coco.parts(folder)
    if parts:
        scenes = [_scenes(part.images, part.instances) for part in parts]
        return (scenes[0], scenes[1]) if len(scenes) == 2 else every_fifth(scenes[0], shown(folder))
    for test in ("test", "val"):
        if (folder / "train").is_dir() and (folder / test).is_dir():
            return _scenes(folder / "train", _table(folder / "train")), _scenes(folder / test, _table(folder / test))
    return every_fifth(_scenes(folder, _table(folder)), shown(folder))


def _table(folder: Path) -> Path:
    tables = [folder / name for name in FILES if (folder / name).is_file()]
    if len(tables) != 1:
        raise ValueError(f"{shown(folder)}: one of {' and '.join(FILES)} is needed; {len(tables)} of them were found")
    return tables[0]


def _scenes(folder: Path, table: Path) -> list[Scene]:
    place = folder / "images" if (folder / "images").is_dir() else folder
    files = {
        path.relative_to(folder).as_posix(): ""
        for path in sorted(place.rglob("*"))
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    }
    if not files:
        raise ValueError(f"{shown(folder)} has no images")
    regions, _ = region_files.read(table, files)
    scenes = []
    with quiet():
        for name, region in sorted(regions.items()):
            width, height = measured(folder / name)
            fitting = region.on(width, height)
            objects: dict[str, list[Box]] = defaultdict(list)  # a partly hidden object has several outlines
            for box in (*fitting.boxes, *(polygon.box.clipped(width, height) for polygon in fitting.polygons)):
                objects[box.where].append(box)
            ends = [np.array([[b.x0, b.y0, b.x1, b.y1] for b in found]) for found in objects.values()]
            boxes = np.array([[*end[:, :2].min(0), *end[:, 2:].max(0)] for end in ends])
            scenes.append(Scene(folder / name, width, height, boxes))
    return scenes


class Boxed(Dataset[Mapping[str, Tensor]]):
    """A dataset of images resized to one size, with the boxes of their objects.

    Args:
        scenes: the images and their boxes.
        size: output height and width, in pixels.
    """

    def __init__(self, scenes: Sequence[Scene], size: int) -> None:
        self.scenes = list(scenes)
        self.size = size
        self.most = max((len(scene.boxes) for scene in self.scenes), default=0)

    def __len__(self) -> int:
        return len(self.scenes)

    def __getitem__(self, i: int) -> dict[str, Tensor]:
        """The sample: `image` `3 S S` in 0..1 and `boxes` `M 4` in its pixels, padded with rows of NaN."""
        scene = self.scenes[i]
        with quiet():
            pixels = whole(scene.path, (self.size, self.size)).pixels
        scale = np.array([self.size / scene.width, self.size / scene.height] * 2)
        boxes = torch.full((self.most, 4), torch.nan)
        boxes[: len(scene.boxes)] = torch.from_numpy(scene.boxes * scale).float()
        return {"image": pixels.float().div_(255), "boxes": boxes}
