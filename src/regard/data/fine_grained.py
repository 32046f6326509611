"""Datasets for fine-grained classification, known by their files: birds, cars, aircraft and dogs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from regard.data import ImageSet, aircraft, cars, cub, dogs


class _Reader(Protocol):
    """A module that reads one of the layouts."""

    WANTED: str

    def found(self, root: Path) -> bool: ...
    def load(self, root: Path, *, image_size: int = ...) -> ImageSet: ...


READERS: Mapping[str, _Reader] = {
    "CUB-200-2011": cub,
    "Stanford Cars": cars,
    "FGVC-Aircraft": aircraft,
    "Stanford Dogs": dogs,
}
WANTED = "; ".join(f"{reader.WANTED} ({name})" for name, reader in READERS.items())


def found(root: Path) -> str | None:
    """The name of the dataset whose layout a folder has; None if it has none of them."""
    return next((name for name, reader in READERS.items() if reader.found(root)), None)


def load(root: Path, *, image_size: int = 448) -> ImageSet:
    """Loads a dataset in one of the published layouts; FGVC-Aircraft by its variants, without the banners.

    Args:
        root: the folder.
        image_size: output height and width, in pixels.

    Raises: FileNotFoundError if the folder has none of the layouts; the errors of the reader.
    """
    name = found(root)
    if name is None:
        raise FileNotFoundError(f"{root}: {WANTED} are needed")
    return READERS[name].load(root, image_size=image_size)
