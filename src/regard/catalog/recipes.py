"""The recipes: which systems can be trained, on which data, and what the papers report.

A recipe is a function in `papers/<paper>/recipe.py`, called with the folder of its dataset; its listing stands in the
paper's label, which imports no torch, so that the command line can list all recipes at once. Every recipe has a tiny
variant, which trains in seconds on the embedded data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache

from regard import catalog

# Dataset -> its classes, training samples and test samples, by which a score is known to be on it; of Cityscapes those
# with public labels.
DATASETS = {
    "MNIST": (10, 60_000, 10_000),
    "CIFAR-10": (10, 50_000, 10_000),
    "CIFAR-100": (100, 50_000, 10_000),
    "CUB-200-2011": (200, 5_994, 5_794),
    "ImageNet": (1_000, 1_281_167, 50_000),
    "Kinetics-400": (400, 246_535, 19_761),
    "HMDB-51": (51, 3_570, 1_530),  # the first split
    "Cityscapes": (19, 2_975, 500),
    "PASCAL VOC 2012": (21, 10_582, 1_449),  # with the masks of SBD
    "Market-1501": (751, 12_936, 19_281),  # without junk; the query and the gallery
    "COCO captions": (0, 566_747, 5_000),  # Karpathy's splits; captions to train on, images to test on, and no classes
    "MSVD": (0, 48_774, 670),  # captions to train on, clips to test on; the first from memory
}


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A number that the paper reports for the network and the dataset of the recipe.

    Args:
        measure: the name under which the recipe scores it.
        value: the paper's number, in the same unit.
        data: the dataset, a key of `DATASETS`; a score on another one does not compare.
        where: its place in the paper.
        unlike: how the paper's network differs from the recipe's, if it does; then no score compares.
    """

    measure: str
    value: float
    data: str
    where: str
    unlike: str = ""

    def __str__(self) -> str:
        return f"{self.measure} {self.value:g} on {self.data} ({self.where})"


@dataclass(frozen=True, kw_only=True)
class Training:
    """The training of a network by its authors: by stochastic gradient descent with momentum 0.9, without Nesterov's.

    Args:
        networks: glob patterns over the names of the networks.
        epochs, batch: the passes over the data, and the images in a step.
        lr: the highest learning rate.
        weight_decay: of all parameters.
        falls: the epochs after which the rate is multiplied by `factor`; empty for half a cosine.
        factor: see `falls`.
        warmup: the epochs in which the rate rises linearly.
        smoothing: of the labels, from 0 (none) to below 1.
        where: its place in the paper or the released code.
    """

    networks: tuple[str, ...]
    epochs: int
    batch: int
    lr: float
    weight_decay: float
    falls: tuple[int, ...] = ()
    factor: float = 0.1
    warmup: int = 0
    smoothing: float = 0.0
    where: str


@dataclass(frozen=True, kw_only=True)
class Listing:
    """One recipe in the table.

    Args:
        name: what `regard train` calls it.
        target: `papers.<paper>.recipe:function`, below `regard`.
        system: the catalogue's name of what it trains.
        summary: one line.
        data: what has to be in the folder that it is given; empty where it brings its own.
        claim: what the paper reports, where it does.
    """

    name: str
    target: str
    system: str
    summary: str
    data: str = ""
    claim: Claim | None = None


@cache
def listings() -> tuple[Listing, ...]:
    """Every recipe, by the year and the folder of its paper."""
    folders = dict.fromkeys(entry.folder for entry in catalog.entries())
    labels = catalog.labels()
    return tuple(listing for folder in folders for listing in getattr(labels[folder], "RECIPES", ()))


@cache
def trainings() -> Mapping[str, Training]:
    """Networks known by name -> how their authors trained them, for those of which it is known."""
    labels = catalog.labels()
    return {
        name: training
        for name, folder in catalog.networks().items()
        for training in getattr(labels[folder], "TRAININGS", ())
        if any(fnmatchcase(name, pattern) for pattern in training.networks)
    }


def get(name: str) -> Listing:
    """The recipe called `name`.

    Raises:
        LookupError: there is none; the message names the nearest.
    """
    for listing in listings():
        if listing.name == name:
            return listing
    raise LookupError(f"no recipe {name!r}; {catalog.nearest(name, (listing.name for listing in listings()))}")
