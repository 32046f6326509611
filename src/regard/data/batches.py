"""Images and labels: gathered into batches, loaded ahead, normalised."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Generator, Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

Normalisation = tuple[Sequence[float], Sequence[float]]


class Images(Protocol):
    """Labelled images in 0..1; where it has `labels` and `images(indices) -> B C H W` as well, these are used."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> tuple[Tensor, int]: ...


def gathered(data: Any, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
    """The images and labels of these indices.

    Raises: ValueError if the images differ in size.
    """
    if hasattr(data, "images"):
        return data.images(indices), torch.tensor([data.labels[index] for index in indices])
    samples = [data[index] for index in indices]
    for index, (image, _) in zip(indices, samples, strict=True):
        if image.shape != samples[0][0].shape:
            sizes = f"{tuple(image.shape)}, image {indices[0]} has {tuple(samples[0][0].shape)}"
            raise ValueError(f"image {index} has shape {sizes}: images must be of one size to form a batch")
    return tuple(default_collate(samples))


def normalised(images: Tensor, normalise: Normalisation | None) -> Tensor:
    """`(images - mean) / std` for each channel of `B C H W`; the images themselves where `normalise` is None."""
    if normalise is None:
        return images
    mean, std = (images.new_tensor(values)[:, None, None] for values in normalise)
    return (images - mean) / std


class _Called(Dataset[Any]):
    """A function, for `DataLoader` to call ahead."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function

    def __getitem__(self, item: Any) -> Any:
        return self.function(item)


def loaded(function: Callable[[Any], Any], items: Sequence[Any], device: torch.device, workers: int) -> DataLoader[Any]:
    """`function(item)` for each item; with `workers`, so many processes work ahead. Draws no random numbers."""
    own = Generator()  # or it draws from the caller's
    pin = device.type == "cuda"
    return DataLoader(_Called(function), None, sampler=items, num_workers=workers, pin_memory=pin, generator=own)
