"""Captions of photographs that are seen through a file of regions with features."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from regard.data.batches import Batch, Sample, padded
from regard.data.bottom_up import BottomUp
from regard.ops.words import PAD

PADDED = {"features": 0.0, "boxes": 0.0}


class RegionCaptions(Dataset[Sample]):
    """A dataset of captions whose samples have `features` and `boxes` of the image in place of the image.

    Args:
        captions: the dataset, with `photos`, `places`, `words` and `longest`, such as `data.captioned.Captioned`.
        regions: of its photographs, by the names of their files.

    Raises: LookupError if a photograph has no regions.
    """

    def __init__(self, captions: Any, regions: BottomUp) -> None:
        self.captions, self.regions = captions, regions
        self.words, self.lengths = captions.words, captions.lengths
        for photo in captions.photos:
            if regions.find(photo.name) is None:
                raise LookupError(f"{regions.path.name} has no regions of {photo.name!r}, which has captions")

    def __len__(self) -> int:
        return len(self.captions.places)

    def __getitem__(self, i: int) -> Sample:
        number, caption = self.captions.places[i]
        photo = self.captions.photos[number]
        return {
            **seen(self.regions, photo.name),
            "words": torch.tensor(self.words.encode(photo.captions[caption], self.captions.longest)),
            "references": [list(one) for one in photo.captions],
            "name": photo.name,
        }

    @staticmethod
    def collate_fn(several: Sequence[Sample]) -> Batch:
        """A batch whose captions and regions are padded, with their masks."""
        return padded(several, fields={"words": PAD, **PADDED})

    @cached_property
    def digest(self) -> str:
        """That of the captions, and of the size and the names of the regions."""
        path = self.regions.path
        size = sum(file.stat().st_size for file in path.iterdir()) if path.is_dir() else path.stat().st_size
        return f"{self.captions.digest}, {len(self.regions)} images with regions, {size} bytes"


def seen(regions: BottomUp, name: str) -> dict[str, Tensor]:
    """The features `N C` and the boxes `N 4` of an image. Raises: as `BottomUp`."""
    found = regions[name]
    return {"features": torch.from_numpy(found.features.copy()), "boxes": found.relative}


def of_images(path: Path) -> Callable[[int], Mapping[str, Tensor]]:
    """A function from the number of an image to its regions. Raises: as `BottomUp`."""
    regions = BottomUp(path)
    return lambda number: seen(regions, str(number))
