"""Choosing images by a seed: the split into train and test, and the smaller set that keeps the classes' shares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")

# What folders of images already divided are called. To test on, the first of these that is there.
TRAIN = ("train", "training")
TEST = ("val", "valid", "validation", "test", "testing")


def divide(labels: Sequence[int], share: float, seed: int) -> tuple[list[int], list[int]]:
    """Splits class by class: positions to train on, positions to test on, each in ascending order.

    A class's split depends on the seed and on nothing in the other classes. Each class of two or more gets at least one
    position on either side.

    Args:
        labels: the class of each position.
        share: the share to test on.
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
    """At most `size` positions, ascending, with the classes' shares kept and no class lost.

    Raises: ValueError if `size` is less than the number of classes.
    """
    if size is None or size >= len(labels):
        return list(range(len(labels)))
    by_class = _by_class(labels)
    if size < len(by_class):
        raise ValueError(
            f"{size} images cannot show all of {len(by_class)} classes; at least {len(by_class)} are needed"
        )
    ranked: list[tuple[float, int]] = []
    for label, positions in by_class.items():
        shuffled = np.random.default_rng([seed, 2, label]).permutation(positions).tolist()
        # How far down its class an image comes. Taking the least of all classes together keeps the shares.
        ranked += [(rank and (rank + 0.5) / len(shuffled), position) for rank, position in enumerate(shuffled)]
    return sorted(position for _, position in sorted(ranked)[:size])


def every_fifth(images: Sequence[T]) -> tuple[list[T], list[T]]:
    """The images to train on and, every fifth of them, those to test on.

    Raises: ValueError if there are fewer than five.
    """
    if len(images) < 5:
        raise ValueError(f"{len(images)} images: every fifth is to test on, so at least 5 are needed")
    return [image for i, image in enumerate(images) if i % 5 != 4], list(images[4::5])


def _by_class(labels: Sequence[int]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {label: [] for label in sorted(set(labels))}
    for position, label in enumerate(labels):
        found[label].append(position)
    return found
