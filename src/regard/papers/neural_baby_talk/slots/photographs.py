"""COCO's photographs with captions, objects and regions, for sentences with slots."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor

from regard.checks import number
from regard.data import coco, coco_instances
from regard.data.batches import Sample
from regard.data.images import quiet, shown, whole
from regard.data.object_names import ObjectNames
from regard.data.region_files import listed
from regard.data.texts import parsed, quoted
from regard.metrics.words.object_words import COCO
from regard.metrics.words.tokens import tokenise
from regard.papers.neural_baby_talk.slots.slots import Described

WANTED = "annotations/captions_*.json and instances_*.json of COCO, with its images"
SIDE, SEEN = 576, 512  # pixels on a side of the images that training cuts windows from, and of those for testing
REGIONS = 100  # of an image, at most


def read(folder: Path) -> tuple[list[Described], list[Described], ObjectNames]:
    """The training and the validation images of COCO that have captions and regions, and the names of its classes.

    Regions are those of `annotations/detections_<part>*.json` where there is this file, and otherwise the objects.

    Raises: ValueError if a part or its captions are not there, a file is malformed, a caption belongs to no image, or
        no image has captions and regions; OSError if a file cannot be read.
    """
    parts = coco.parts(folder)
    if len(parts) != 2:
        raise ValueError(f"{shown(folder)}: {WANTED} is needed, of train and of val")
    halves = []
    for part in parts:
        instances = coco_instances.read(part.instances)
        halves.append((part, instances))
    categories = tuple(halves[0][1].categories.values())
    if tuple(halves[1][1].categories.values()) != categories:
        raise ValueError(f"{shown(parts[1].instances)}: the categories of {shown(parts[0].instances)} are needed")
    names = ObjectNames.of({name: COCO.get(name, (name,)) for name in categories})
    found = [_described(*half, side) for half, side in zip(halves, (SIDE, SEEN), strict=True)]
    return found[0], found[1], names


def _described(part: coco.Part, instances: coco_instances.Instances, side: int) -> list[Described]:
    half = part.instances.stem.removeprefix("instances_")
    captions = _captions(part.instances.with_name(f"captions_{half}.json"), instances)
    results = part.instances.with_name(f"detections_{half}.json")
    regions = coco_instances.detected(results, instances) if results.is_file() else instances
    there = {path.name for path in part.images.iterdir()}
    found = []
    for key, one in instances.images.items():
        boxes, classes, scores = (x[:REGIONS] for x in regions.images[key].tensors())
        if key not in captions or not len(boxes) or Path(one.file).name not in there:
            continue
        objects, object_classes, _ = one.tensors()
        image = partial(photograph, part.images / Path(one.file).name, side)
        found.append(Described(one.file, image, objects, object_classes, boxes, classes, scores, tuple(captions[key])))
    if not found:
        raise ValueError(f"{shown(part.images)}: no image has captions and regions in {shown(part.instances.parent)}")
    return found


def _captions(path: Path, instances: coco_instances.Instances) -> dict[Any, list[tuple[str, ...]]]:
    """Number of an image -> the tokens of its captions."""
    where = shown(path)
    if not path.is_file():
        raise ValueError(f"{where}: this file of captions is needed beside {shown(instances.path.name)}")
    content = parsed(path)
    if not isinstance(content, dict):
        raise ValueError(f"{where}: COCO annotations need an object with annotations")
    found: dict[Any, list[tuple[str, ...]]] = defaultdict(list)
    for position, annotation in enumerate(listed(content, "annotations", path)):
        number, caption = annotation.get("image_id"), annotation.get("caption")
        if not isinstance(number, int | str) or number not in instances.images:
            raise ValueError(f"{where} annotations[{position}]: no image has the id {quoted(number)}")
        tokens = tokenise(caption) if isinstance(caption, str) else []
        if not tokens:
            raise ValueError(f"{where} annotations[{position}]: a caption with a word is needed, not {quoted(caption)}")
        found[number].append(tuple(tokens))
    return found


def photograph(path: Path, side: int) -> Tensor:
    """The image of a file, resized to a square: `3 side side`, from 0 to 1."""
    with quiet():
        return whole(path, (side, side)).pixels.float().div_(255)


@dataclass(frozen=True)
class Window:
    """Cuts a random window out of an image, or the middle one, and moves the boxes of regions and objects with it.

    Boxes are cut at its edges; regions and objects outside of it get empty boxes, which overlap nothing.

    Args:
        share: the side of the window as a share of the image's, above 0 and at most 1.

    Raises: ValueError if `share` is out of range.
    """

    share: float

    def __post_init__(self) -> None:
        number("share", self.share, above=0, most=1)

    def __call__(self, sample: Sample, generator: Generator) -> Sample:
        height, width = sample["image"].shape[1:]
        rows, columns = (max(round(side * self.share), 1) for side in (height, width))
        draws = torch.rand(2, generator=generator).tolist()
        top, left = (int(draw * (room + 1)) for draw, room in zip(draws, (height - rows, width - columns), strict=True))
        shift = torch.tensor([left / width, top / height] * 2)
        scale = torch.tensor([columns / width, rows / height] * 2)
        moved = {name: ((sample[name] - shift) / scale).clamp(0, 1) for name in ("boxes", "objects")}
        return {**sample, "image": sample["image"][:, top : top + rows, left : left + columns], **moved}
