"""Splits into training and test samples, and stratified subsets, chosen by a seed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")

# Folder names of images that are already split. The first of TEST that exists is used.
TRAIN = ("train", "training")
TEST = ("val", "valid", "validation", "test", "testing")


def divide(labels: Sequence[int], share: float, seed: int) -> tuple[list[int], list[int]]:
    """Splits each class into training and test samples; returns the indices of both, each in ascending order.

    The split of a class depends on the seed, not on other classes. A class of two or more samples has at least one in
    each part.

    Args:
        labels: the class of each sample.
        share: the share of test samples.
        seed: the seed of the split.
    """
    train: list[int] = []
    test: list[int] = []
    for label, positions in _by_class(labels).items():
        shuffled = np.random.default_rng([seed, 1, label]).permutation(positions).tolist()
        count = min(max(1, round(share * len(shuffled))), len(shuffled) - 1)
        test += shuffled[:count]
        train += shuffled[count:]
    return sorted(train), sorted(test)


def limit(labels: Sequence[int], size: int | None, seed: int) -> list[int]:
    """The indices of at most `size` samples, ascending, a stratified subset with at least one sample of every class.

    Raises: ValueError if `size` is less than the number of classes.
    """
    if size is None or size >= len(labels):
        return list(range(len(labels)))
    by_class = _by_class(labels)
    if size < len(by_class):
        raise ValueError(f"{size} images: at least {len(by_class)} are needed, one of each class")
    ranked: list[tuple[float, int]] = []
    for label, positions in by_class.items():
        shuffled = np.random.default_rng([seed, 2, label]).permutation(positions).tolist()
        # The relative rank of a sample within its class. Taking the lowest ranks of all classes keeps the shares.
        ranked += [(rank and (rank + 0.5) / len(shuffled), position) for rank, position in enumerate(shuffled)]
    return sorted(position for _, position in sorted(ranked)[:size])


def every_fifth(images: Sequence[T], where: str) -> tuple[list[T], list[T]]:
    """Splits a sequence: every fifth item is for testing, the others for training.

    Args:
        images: the items.
        where: the folder that they are from, for the message.

    Raises: ValueError if there are fewer than five items.
    """
    if len(images) < 5:
        raise ValueError(f"{where} has {len(images)} images: at least 5 are needed, since every fifth is a test image")
    return [image for i, image in enumerate(images) if i % 5 != 4], list(images[4::5])


def _by_class(labels: Sequence[int]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {label: [] for label in sorted(set(labels))}
    for position, label in enumerate(labels):
        found[label].append(position)
    return found
