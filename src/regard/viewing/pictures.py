"""A drawn map, and maps drawn over an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from regard.viewing.painting import overlay, png, veiled
from regard.viewing.scaling import Colouring, Ends

SIDE = 320  # pixels of a picture's longer side
PANELS = 16  # heads, scales or steps drawn at most


@dataclass(frozen=True)
class Picture:
    """A drawn map.

    Args:
        name: the key of the map, and which part of it is drawn.
        image: the picture.
        caption: a line of facts: the size of the map and the range of its values.
        ends: the values with the darkest and the lightest colour; None where no colours stand for values.
        span: the smallest and the largest value of the map, where colours stand for values.
    """

    name: str
    image: Image.Image
    caption: str
    ends: Ends | None = None
    span: Ends | None = None

    def png(self) -> bytes:
        """The picture as a PNG file."""
        return png(self.image)


def over(maps: Mapping[Any, Tensor], stage: Image.Image | Sequence[Image.Image], colouring: Colouring) -> list[Picture]:
    """Maps `H W` by their names, over the image or each over its own, with equal colours where they are common."""
    stages = [stage] * len(maps) if isinstance(stage, Image.Image) else stage
    ends = colouring.ends(torch.stack([*maps.values()]))
    low, high = ends or (None, None)
    pictures = []
    for (name, map), below in zip(maps.items(), stages, strict=False):
        facts = f"{map.shape[0]} x {map.shape[1]}; {colouring.words(map)}"
        if colouring.even(map):
            pictures.append(Picture(str(name), veiled(below), facts))
        else:
            drawn = overlay(below, map, low=low, high=high)
            pictures.append(Picture(str(name), drawn, facts, ends or ends_of(map), ends_of(map)))
    return pictures


def ends_of(values: Tensor) -> Ends:
    """The smallest and the largest value."""
    return float(values.min()), float(values.max())


def counted(shown: int, total: int) -> str:
    """How many are drawn, and of how many, where some are not."""
    return str(total) if shown == total else f"{shown} of {total}"
