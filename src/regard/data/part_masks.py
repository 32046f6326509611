"""Masks of the parts of a person beside a dataset of persons, as the authors of IAUnet laid them out.

seg_part4/Market1501_train_seg_part4/STEM/{head,upper_clothes,lower_clothes,shoes}.png, and foreground.png where the
whole person is marked. STEM is the name of the image without its suffix. A pixel that is not zero belongs to the part.

IAUnet: Global Context-Aware Feature Learning for Person Re-Identification. Hou, Ma, Chang, Gu, Shan, Chen. TNNLS 2020,
arXiv:2009.01035, makes them with a parser of persons, LIP_JPPNet.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from regard.data.images import read_mask, shown

PARTS = ("head", "upper_clothes", "lower_clothes", "shoes")
WHOLE = "foreground"
FOLDER = "seg_part4"


def beside(folder: Path, part: str) -> Path | None:
    """The folder of the masks of a dataset: the one in seg_part4/ whose name has `part` in it; None without masks.

    Args:
        folder: the dataset.
        part: `train` or `test`.

    Raises: ValueError if there are several.
    """
    place = folder / FOLDER
    found = sorted(path for path in place.iterdir() if part in path.name and path.is_dir()) if place.is_dir() else []
    if len(found) > 1:
        raise ValueError(f"{shown(place)}: one folder with {part!r} in its name is needed, not {len(found)}")
    return found[0] if found else None


def checked(masks: Path, stems: list[str]) -> None:
    """Checks that every image has the masks of its four parts.

    Raises: ValueError with the first file that is missing, and how many images lack one.
    """
    lost = [
        masks / stem / f"{part}.png" for stem in stems for part in PARTS if not (masks / stem / f"{part}.png").is_file()
    ]
    if lost:
        count = len({path.parent for path in lost})
        raise ValueError(f"{shown(lost[0])}: this mask is missing, and {count} of {len(stems)} images lack one")


def read(masks: Path, stem: str, size: tuple[int, int]) -> tuple[Tensor, Tensor | None]:
    """The masks of an image, resized: uint8 `4 H W` with 255 inside a part, and the whole person, or None.

    To be called inside `images.quiet()`.

    Raises: UnreadableImage for a file that is damaged.
    """
    parts = torch.stack([_resized(masks / stem / f"{part}.png", size) for part in PARTS])
    whole = masks / stem / f"{WHOLE}.png"
    return parts, _resized(whole, size) if whole.is_file() else None


def _resized(path: Path, size: tuple[int, int]) -> Tensor:
    inside = Image.fromarray(read_mask(path).astype(np.uint8) * 255)
    if inside.size != size[::-1]:
        inside = inside.resize(size[::-1], Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(inside))
