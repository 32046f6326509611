"""Runs that take a second: a small network on a few painted images, compared and trained."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn

import regard
from regard.catalog import recipes
from regard.comparing import Silent
from regard.comparing import trial as trials
from regard.comparing.folder import Folder
from regard.data import load
from regard.report import Record, Result
from regard.tasks.classify import Classify
from regard.training import running
from regard.training.plan import Plan
from regard.training.recipe import Phase, Recipe

ROWS = ("none", "plain", "se(reduction=2)")
FAST = {
    "attention": ROWS[2], "seeds": 1, "epochs": 2, "batch_size": 5, "image_size": 19, "after": ("stage.2",),
    "patience": 0.01,
}  # fmt: skip


class Net(nn.Module):
    """A stage and a linear classifier."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stage = nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), nn.BatchNorm2d(6), nn.ReLU())
        self.head = nn.Linear(6, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.stage(x).mean((2, 3)))


class Stopping(Silent):
    """Progress that interrupts the comparison when a row begins, and remembers what there was to do."""

    def __init__(self, row: str = "") -> None:
        self.row = row
        self.missing: list[str] = []

    def begin(self, trials, finished):
        self.missing = [trial.row for trial in trials]

    def trial_started(self, trial):
        if trial.row == self.row:
            raise KeyboardInterrupt


def paint(folder: Path, seed: int = 0) -> Path:
    """A folder of images of two classes; another seed makes others under the same names."""
    random = np.random.default_rng(seed)
    for part, count in (("train", 7), ("val", 5)):
        for label in ("cold", "warm"):
            (folder / part / label).mkdir(parents=True, exist_ok=True)
            for number in range(count):
                pixels = random.integers(0, 256, (23, 29, 3), np.uint8)
                pixels[..., 2 if label == "cold" else 0] //= 3
                Image.fromarray(pixels).save(folder / part / label / f"{number}.png")
    return folder


def compared(out: Path, source: Path, progress: Silent | None = None, **changed: object) -> Result:
    """Compares, or goes on."""
    return regard.compare(source, **{"backbone": Net, "out": out, "progress": progress, **FAST, **changed})


def recipe(source: Path, build: type[nn.Module] = Net) -> Recipe:
    """A recipe of two epochs of 14 images in batches of 5, 5 and 4."""
    found = load(source, image_size=19)
    phase = Phase(name="classify", task=Classify(2), plan=Plan(epochs=2, batch_size=5, lr=0.01))
    return Recipe(build=partial(build, 2), train=found.train, test=found.test, phases=(phase,), source=source)


def trained(out: Path, own: Recipe, **how: object) -> dict:
    """Trains, or goes on: the content of result.json."""
    return running.train(recipes.listings()[0], own, out=out, **how)


def records(out: Path) -> list[Record]:
    """The records of a comparison without what the clock says."""
    return sorted(
        (
            replace(record, seconds=0, history=tuple({**epoch, "seconds": 0} for epoch in record.history))
            for record in Folder(out).records()
        ),
        key=lambda record: record.row,
    )


def assert_same_run(left: Path, right: Path) -> None:
    """Bit by bit: the records, the scores for each image and the weights of two comparisons."""
    assert records(left) == records(right)
    for own in sorted(path.name for path in (right / "trials").iterdir()):
        assert_same_weights(left / "trials" / own, right / "trials" / own)
        with np.load(left / "trials" / own / "images.npz") as a, np.load(right / "trials" / own / "images.npz") as b:
            assert a.files == b.files and all(np.array_equal(a[name], b[name]) for name in b.files)
    with np.load(left / "gallery.npz") as a, np.load(right / "gallery.npz") as b:
        assert a.files == b.files and all(np.array_equal(a[name], b[name]) for name in b.files)


def assert_same_weights(left: Path, right: Path) -> None:
    """Bit by bit: the weights in two folders."""
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (left, right))
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.fixture(scope="session")
def tiny() -> SimpleNamespace:
    """What is above."""
    return SimpleNamespace(
        ROWS=ROWS, Net=Net, Stopping=Stopping, paint=paint, compared=compared, recipe=recipe, trained=trained,
        records=records, assert_same_run=assert_same_run, assert_same_weights=assert_same_weights,
    )  # fmt: skip


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    with trials.threads(1):
        yield


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The folder of a comparison and its images; nobody writes into them."""
    place = tmp_path_factory.mktemp("finished")
    source = paint(place / "images")
    compared(place / "out", source)
    return place / "out", source
