"""COCO's objects as label maps: class 0 is what no object covers, the categories follow in the order of their ids.

Where objects overlap, the smaller one is seen. A crowd is a run-length mask of several objects that nobody told apart;
what no other object covers of it is void.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regard.data.augmenting import VOID
from regard.data.coco import Outlines, Part, add_outline, stated_size
from regard.data.images import shown
from regard.data.region_files import listed
from regard.data.texts import parsed, quoted

GROUND = "background"


@dataclass
class Objects:
    """The objects of an image.

    Args:
        width, height: the size of the image, in pixels.
        where: the file of the annotations and the image, for messages.
        found: class and outlines of each object; `VOID` for a crowd.
    """

    width: int
    height: int
    where: str
    found: list[tuple[int, Outlines]] = field(default_factory=list)

    def values(self) -> NDArray[Any]:
        """The label map, uint8 `H W`."""
        labels = np.zeros((self.height, self.width), np.uint8)
        masks = [(label, outlines.mask()) for label, outlines in self.found]
        for label, mask in sorted(masks, key=lambda item: (item[0] != VOID, -int(item[1].sum()))):
            labels[mask] = label
        return labels


def labelled(part: Part) -> tuple[tuple[str, ...], list[tuple[Path, Objects]]]:
    """The names of the classes, and the images of a part that are there, sorted by name, with their objects.

    Raises: ValueError if the annotations are malformed, or name none of the images; OSError if they cannot be read.
    """
    where = shown(part.instances)
    content = parsed(part.instances)
    if not isinstance(content, dict):
        raise ValueError(f"{where}: COCO annotations need an object with images, annotations and categories")
    names: dict[int, str] = {}
    for position, category in enumerate(listed(content, "categories", part.instances)):
        identity, name = category.get("id"), category.get("name")
        if not isinstance(identity, int) or not isinstance(name, str) or identity in names:
            raise ValueError(f"{where} categories[{position}]: an id of its own and a name are needed")
        names[identity] = name
    if not 1 <= len(names) < VOID:
        raise ValueError(f"{where} has {len(names)} categories: 1 to {VOID - 1} are needed")
    classes = {number: label for label, number in enumerate(sorted(names), 1)}
    there = {path.name: path for path in sorted(part.images.iterdir())}
    images: dict[Any, tuple[str, Objects] | None] = {}
    for position, image in enumerate(listed(content, "images", part.instances)):
        name, size = image.get("file_name"), stated_size(image)
        if not isinstance(image.get("id"), int | str) or not isinstance(name, str) or size is None:
            raise ValueError(f"{where} images[{position}]: an image needs id, file_name, width and height")
        own = Path(name).name
        images[image["id"]] = (own, Objects(*size, f"{where}, {shown(name)}")) if own in there else None
    for position, annotation in enumerate(listed(content, "annotations", part.instances)):
        place = f"{where} annotations[{position}]"
        number = annotation.get("image_id")
        if not isinstance(number, int | str) or number not in images:
            raise ValueError(f"{place}: no image has the id {quoted(number)}")
        kind = annotation.get("category_id")
        if not isinstance(kind, int) or kind not in classes:
            raise ValueError(f"{place}: no category has the id {quoted(kind)}")
        if (found := images[number]) is not None:
            outlines = Outlines(found[1].width, found[1].height, place)
            add_outline(outlines, annotation, place)
            found[1].found.append((VOID if annotation.get("iscrowd") else classes[kind], outlines))
    pairs = dict(found for found in images.values() if found is not None)
    if not pairs:
        raise ValueError(f"{where} names none of the {len(there)} images in {shown(part.images)}")
    return (GROUND, *(names[number] for number in sorted(names))), [
        (there[name], pairs[name]) for name in sorted(pairs)
    ]
