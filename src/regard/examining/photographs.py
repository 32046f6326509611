"""A batch of photographs for an examination: which files, as the network needs them, and their classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from regard.attaching.tracing import evaluating
from regard.backbones import declared_size, normalisation
from regard.data import images
from regard.data.batches import Normalisation, normalised
from regard.examining.evidence import Loss, outputs_of

SIDE = 224  # pixels of the images of a network that declares no size


@dataclass(frozen=True)
class Preparation:
    """How a network takes photographs.

    Args:
        size: height and width.
        channels: 3, or 1 for the mean of the colours.
        normalise: mean and standard deviation of each channel; None keeps 0..1.
    """

    size: tuple[int, int]
    channels: int = 3
    normalise: Normalisation | None = None

    @classmethod
    def of(cls, model: nn.Module, side: int | None) -> Preparation:
        """That of any network: the size and the normalisation that it declares, or 224 pixels and ImageNet's.

        Raises: ValueError if its first convolution takes neither 1 nor 3 channels.
        """
        declared = declared_size(model)
        first = next((one for one in model.modules() if isinstance(one, nn.Conv2d)), None)
        channels = declared[0] if declared else first.in_channels if first is not None else 3
        if channels not in (1, 3):
            raise ValueError(f"the network takes {channels} channels: 3, or 1 for grey, are needed for photographs")
        size = (side, side) if side else declared[1:] if declared else (SIDE, SIDE)
        return cls((size[0], size[1]), channels, normalisation(model))

    def batch(self, paths: Sequence[Path]) -> Tensor:
        """The photographs as one batch `B C H W`, the whole image resized.

        Raises: UnreadableImage, a ValueError, if a file cannot be read.
        """
        with images.quiet():
            pixels = torch.stack([images.whole(path, self.size).pixels for path in paths]).float() / 255
        return normalised(pixels.mean(1, keepdim=True) if self.channels == 1 else pixels, self.normalise)


def files(place: Path, limit: int) -> list[Path]:
    """The image files in a folder and those below it, evenly spaced in the order of their names; or the one file.

    Raises:
        FileNotFoundError: there is no such file or folder.
        ValueError: there is no image in it.
    """
    if place.is_file():
        return [place]
    if not place.is_dir():
        raise FileNotFoundError(f"no file or folder {str(place)!r}")
    found = [path for path in sorted(place.rglob("*")) if path.suffix.lower() in images.SUFFIXES and path.is_file()]
    found = [path for path in found if not path.name.startswith(".")]
    if not found:
        raise ValueError(f"{place} holds no images")
    if len(found) <= limit:
        return found
    return [found[i * (len(found) - 1) // max(1, limit - 1)] for i in range(limit)]


def class_loss(
    model: nn.Module, batch: Tensor, paths: Sequence[Path], place: Path, names: Sequence[str] = ()
) -> tuple[Loss | None, str]:
    """The cross-entropy with the class folders, and a word about it; None where they are not classes of the network.

    Args:
        model: the network.
        batch: the photographs.
        paths: their files.
        place: the folder that they are in.
        names: the names of the network's classes; where they are not known, the folders are the classes in the order
            of their names, if the network gives as many scores as there are folders.
    """
    if place.is_file():
        return None, "no loss: one image has no class folder"
    folders = sorted(child.name for child in place.iterdir() if child.is_dir() and not child.name.startswith("."))
    if not folders or any(path.parent == place for path in paths):
        return None, "no loss: the photographs are in no class folders"
    classes = [*names] or folders
    if unknown := next((folder for folder in folders if folder not in classes), None):
        return None, f"no loss: {unknown!r} is no class of the network"
    with evaluating(model):
        scores = outputs_of(model(batch[:1]))
    outputs = scores[0].shape[1] if scores and scores[0].dim() == 2 else 0
    if outputs != len(classes):
        return None, f"no loss: {len(classes)} class folders, and {outputs} scores of classes"
    labels = torch.tensor([classes.index(path.relative_to(place).parts[0]) for path in paths])
    return _cross_entropy(labels), f"loss: cross-entropy with the {len(folders)} class folders"


def _cross_entropy(labels: Tensor) -> Callable[[Any], Tensor]:
    def loss(returned: Any) -> Tensor:
        return functional.cross_entropy(outputs_of(returned)[0], labels)

    return loss
