"""Datasets whose images, classes and parts are given by lists: what their readers share."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from regard.data import ImageSet, Skipped
from regard.data.folder import Checked
from regard.data.images import shown
from regard.data.layout import Photo
from regard.data.regions import Box, Region
from regard.data.texts import quoted


def assembled(
    root: Path,
    photos: Sequence[Sequence[Photo]],
    classes: Sequence[str],
    regions: Mapping[str, Region],
    *,
    image_size: int,
    sources: Sequence[str] = (),
) -> ImageSet:
    """Makes the dataset of listed files; those that cannot be read are left out and listed in `skipped`.

    Args:
        root: the folder.
        photos: the training and the test files.
        classes: the names of the classes, in the order of the labels.
        regions: file name -> the region of the object.
        image_size: output height and width, in pixels.
        sources: the files from which the regions were read.

    Raises: ValueError if a region is outside its image, or a class lacks training or test images.
    """
    checked = Checked(image_size, None)
    checked.check([photo for part in photos for photo in part])
    train, test = (
        checked.split([photo for photo in part if photo not in checked.damaged], classes, regions) for part in photos
    )
    for what, part in (("train", train), ("test", test)):
        if lone := sorted(set(range(len(classes))) - set(part.labels)):
            raise ValueError(f"{shown(root)}: class {quoted(classes[lone[0]])} has no {what} images")
    damaged = tuple(Skipped(shown(photo.name), reason) for photo, reason in checked.damaged.items())
    return ImageSet(shown(root), tuple(classes), train, test, damaged, tuple(sources))


def inclusive(ends: Sequence[float], where: str) -> Box:
    """The box from the first to the last pixel, which are counted from 1: left, top, right, bottom.

    Raises: ValueError if these are not four finite numbers in order.
    """
    if len(ends) != 4 or not all(map(math.isfinite, ends)) or not (ends[0] <= ends[2] and ends[1] <= ends[3]):
        found = " ".join(f"{end:g}" for end in ends)
        raise ValueError(f"{where}: the first and the last column and row are needed, not {quoted(found)}")
    return Box(ends[0] - 1, ends[1] - 1, ends[2], ends[3], where)
