"""Comparing attention mechanisms on one backbone and one dataset: score, cost and attended regions.

A comparison is a set of trials, one for each row and seed. A row is a mechanism with its options and its place, written
as `rows` describes. Every trial with one seed starts from the same backbone weights and sees the same batches in the
same order, so that two trials differ by the attention alone. Two reference rows come by themselves: `none`, the bare
backbone, and `plain`, ordinary convolutions with as many parameters as the largest row, at that row's sites, so that a
gain is not just capacity. In a comparison of segmentation a row is a head on a dilated backbone, or a mechanism in one
(`comparing.segmenting`), and the two references are plain convolutional heads.

This file defines the settings, the progress protocol and the public functions. It imports no torch, so that the command
line shows its defaults at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from regard.catalog import rows
from regard.catalog.rows import REFERENCES
from regard.report import Record, Result

if TYPE_CHECKING:
    from torch import nn

    from regard.data.batches import Augment, Data
    from regard.training.plan import Task

# The embedded default: six rows, three seeds and the measurements in about five minutes on two cores.
SOURCE = "digits"
BACKBONE = "test_resnet"
ATTENTION = ("se", "eca", "cbam", "gc")
SCENES = "far-cue"  # the embedded default of a segmentation
HEADS = ("gc", "cca", "cca(recurrence=2)", "pam", "apnb", "ocr")
SEEDS = 3
EPOCHS = 8
BATCH_SIZE = 16
OPTIMIZER = "adamw"
AUGMENTS = ("none", "light", "timm")  # the names of `data.presets`
AUGMENT = AUGMENTS[0]
FREEZE = ("backbone",)
SEGMENT = "segment"
REPLACED = 128  # test images on which a row's own maps are replaced, to see whether they matter
INTACT = "intact"  # the name of the maps as they are
TASKS = (SEGMENT,)  # tasks by name; None classifies


@dataclass(frozen=True)
class Usual:
    """The default rates of an optimizer.

    Args:
        lr: peak learning rate from random weights, in batches of about 16.
        fine: the same from published weights: a tenth, so that the first steps, driven by a classifier that knows
            nothing yet, do not wash out the features that the weights were chosen for.
        weight_decay: decoupled in AdamW, where it can be large; an L2 term in the others.
    """

    lr: float
    fine: float
    weight_decay: float


USUAL: Mapping[str, Usual] = {
    "adamw": Usual(0.003, 0.0003, 0.05),
    "sgd": Usual(0.03, 0.003, 1e-4),
    "adam": Usual(0.003, 0.0003, 0.0),
    "adadelta": Usual(1.0, 0.1, 0.0),
    "adamax": Usual(0.003, 0.0003, 0.0),
    "rmsprop": Usual(0.001, 0.0001, 0.0),
}

Make = Callable[[int], "nn.Module"]  # number of classes -> an untrained model


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The settings that determine the results of a comparison; each run folder has one of these.

    Args:
        source: `digits`, `faces`, `frames` or a folder of images; `far-cue` or a folder of images with label maps for a
            segmentation; what own datasets are called.
        backbone: a timm model's name, or a function that makes a new model of a number of classes.
        attention: rows as `rows.parse` reads them; `none` and `plain` are added in front. `all` stands for every
            mechanism that can be attached and fits the backbone at these sites.
        seeds: how many; they are 0, 1, ...
        epochs: passes over the training images.
        image_size: side in pixels; None keeps the dataset's own.
        batch_size: images a step.
        optimizer: a name in `USUAL`.
        lr: the peak learning rate; None takes that of `USUAL`: `fine` for published weights that learn, else `lr`.
        weight_decay: None takes that of `USUAL`.
        augment: `none`, `light` or `timm`, see `data.presets`; or a function (sample, generator) -> sample.
        freeze: `backbone`: only what is attached and the classifier learn; None: everything does.
        pretrained: start from the published weights of the backbone.
        after: glob patterns of the modules to attach to, for rows without a place of their own; None takes the defaults
            of the backbone's family.
        identity: attach so that the first forward pass is the bare backbone's.
        regions: file or folder with boxes or masks of the objects in a folder of images.
        train_size, test_size: at most that many images; None takes all (of what is drawn, as many as it comes with).
        task: what is learned and scored: None classifies, `segment` finds the class of every pixel; or a task of one's
            own.
        faithful: also test the rows' maps by deletion and insertion, as `regard.faithful` does.
        device: kind of device the trials run on, `cpu` or `cuda`.

    Raises:
        LookupError: a row names no mechanism.
        ValueError: a number out of range, a row that cannot be read, or none to compare.
    """

    source: str = SOURCE
    backbone: str | Make = BACKBONE
    attention: tuple[str, ...] = ATTENTION
    seeds: int = SEEDS
    epochs: int = EPOCHS
    image_size: int | None = None
    batch_size: int = BATCH_SIZE
    optimizer: str = OPTIMIZER
    lr: float | None = None
    weight_decay: float | None = None
    augment: str | Augment = AUGMENT
    freeze: str | None = None
    pretrained: bool = False
    after: tuple[str, ...] | None = None
    identity: bool = False
    regions: str | None = None
    train_size: int | None = None
    test_size: int | None = None
    task: str | Task | None = None
    faithful: bool = False
    device: str = "cpu"

    def __post_init__(self) -> None:
        for name in ("seeds", "epochs", "batch_size", "image_size", "train_size", "test_size"):
            value = getattr(self, name)
            if value is None and name.endswith("_size") and name != "batch_size":
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name}={value!r}: a whole number of at least 1 is accepted")
        if self.optimizer not in USUAL:
            raise ValueError(f"optimizer={self.optimizer!r}: {', '.join(USUAL)} are accepted")
        if isinstance(self.augment, str) and self.augment not in AUGMENTS:
            raise ValueError(f"augment={self.augment!r}: {', '.join(AUGMENTS)} are accepted")
        if self.freeze is not None and self.freeze not in FREEZE:
            raise ValueError(f"freeze={self.freeze!r}: {', '.join(FREEZE)} is accepted")
        if isinstance(self.task, str) and self.task not in TASKS:
            raise ValueError(f"task={self.task!r}: {', '.join(TASKS)}, or none to classify, is accepted")
        if self.segments and not isinstance(self.backbone, str):
            raise ValueError("backbone: the name of a network of timm's is accepted with task='segment'")
        if self.segments and self.augment == "timm":
            raise ValueError("augment='timm': none, light or a function that moves label maps is accepted")
        if self.segments and self.identity:
            raise ValueError("identity=True: accepted without task='segment', whose heads start from nothing")
        if self.segments and self.after is not None:
            raise ValueError(
                f"after={self.after!r}: accepted without task='segment'; a row has its place, as in se@layer4"
            )
        if self.pretrained and not isinstance(self.backbone, str):
            raise ValueError("pretrained=True: accepted for a backbone by name; your function decides on its weights")
        usual = USUAL[self.optimizer]
        if self.lr is None:
            object.__setattr__(self, "lr", usual.fine if self.pretrained and not self.freeze else usual.lr)
        if self.weight_decay is None:
            object.__setattr__(self, "weight_decay", usual.weight_decay)
        for name, value, least in (("lr", self.lr, "above 0"), ("weight_decay", self.weight_decay, "of at least 0")):
            if value is None or not (value > 0 or (value == 0 and name == "weight_decay")):
                raise ValueError(f"{name}={value!r}: a number {least} is accepted")
        asked = rows.rows(self.attention, heads=self.segments)
        named = [str(row) for row in asked if row.mechanism not in REFERENCES]
        if not named:
            raise ValueError("attention names no mechanism to compare with none and plain, for example se,cbam")
        object.__setattr__(self, "attention", (*REFERENCES, *named))

    @property
    def segments(self) -> bool:
        """Whether the comparison is one of segmentation, where every pixel has a class."""
        return self.task == SEGMENT

    @property
    def rows(self) -> tuple[str, ...]:
        """The rows with attention: all but the two references."""
        return self.attention[len(REFERENCES) :]

    @property
    def trials(self) -> tuple[Trial, ...]:
        """All trials, ordered by seed, so that the first results already cover all rows."""
        return tuple(Trial(row, seed) for seed in range(self.seeds) for row in self.attention)

    def facts(self) -> dict[str, object]:
        """The settings as JSON values; functions and tasks are given by their names."""
        return {field.name: _plain(getattr(self, field.name)) for field in fields(self)}

    @property
    def backbone_name(self) -> str:
        """The name of the backbone for display."""
        return self.backbone if isinstance(self.backbone, str) else str(_plain(self.backbone)).rpartition(".")[2]


def _plain(value: object) -> object:
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, partial):
        return f"{_plain(value.func)} with {value.args} {value.keywords}"
    if callable(value) and hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))


@dataclass(frozen=True)
class Trial:
    """One row trained with one seed."""

    row: str
    seed: int

    def __str__(self) -> str:
        return f"{self.row}-{self.seed}"

    @property
    def folder(self) -> str:
        """The name of its folder: `str(trial)` if that is safe on every file system."""
        return f"{rows.folder(self.row)}-{self.seed}"


class Progress(Protocol):
    """Callbacks of a running comparison, called in the process and thread that called `compare`."""

    def phase(self, text: str) -> None:
        """Called when a new phase begins, for example "measuring costs"."""

    def begin(self, trials: Sequence[Trial], finished: int) -> None:
        """Called with the trials still to run and the number of trials that an earlier call finished."""

    def trial_started(self, trial: Trial) -> None: ...

    def step(self, trial: Trial, done: int, total: int) -> None:
        """Called when `done` of the trial's `total` training steps are finished; not after every step."""

    def trial_finished(self, trial: Trial, record: Record) -> None: ...

    def failed(self, trial: Trial, error: str) -> None: ...


class Silent:
    """A `Progress` that does nothing; a base class for those that need only some of the callbacks."""

    def phase(self, text: str) -> None:
        pass

    def begin(self, trials: Sequence[Trial], finished: int) -> None:
        pass

    def trial_started(self, trial: Trial) -> None:
        pass

    def step(self, trial: Trial, done: int, total: int) -> None:
        pass

    def trial_finished(self, trial: Trial, record: Record) -> None:
        pass

    def failed(self, trial: Trial, error: str) -> None:
        pass


def compare(
    source: str | Path | tuple[Data, Data] | None = None,
    *,
    backbone: str | Make = BACKBONE,
    attention: str | Sequence[str] | None = None,
    seeds: int = SEEDS,
    epochs: int = EPOCHS,
    image_size: int | None = None,
    batch_size: int = BATCH_SIZE,
    optimizer: str = OPTIMIZER,
    lr: float | None = None,
    weight_decay: float | None = None,
    augment: str | Augment = AUGMENT,
    freeze: str | None = None,
    pretrained: bool = False,
    after: Sequence[str] | str | None = None,
    identity: bool = False,
    regions: str | Path | None = None,
    train_size: int | None = None,
    test_size: int | None = None,
    classes: Sequence[str] | None = None,
    task: str | Task | None = None,
    faithful: bool = False,
    out: str | Path = "regard-report",
    ray: str | None = None,
    workers: int | None = 1,
    device: str = "cpu",
    patience: float = 1.0,
    progress: Progress | None = None,
) -> Result:
    """Trains and measures every row, or resumes a comparison that was interrupted.

        result = regard.compare("photos/", backbone="resnet18", attention="se, cbam(order=parallel)@layer3+layer4")
        print(result)
        result.report()

        regard.compare((train, test), backbone=lambda classes: MyNet(classes), attention="se, eca", out="mine")

    Own datasets are torch's map-style ones: an item is `(image, label)` or a mapping with `image` and `label`, where
    known also `region` (bool `H W`, where the object is). An image is a PIL image or a tensor `C H W`, uint8 or
    floating; all are of one size. Images in 0..1 are normalised as the backbone wants them; others are taken to be
    normalised already. A dataset has to give the same sample each time: what is drawn at random goes into `augment`.
    With `task="segment"` an item is a mapping with `image` and `mask`, whole numbers `H W` where 255 is void.

    Args:
        source: `digits`, `faces`, `frames`, a folder of images, or a pair of datasets to train and to test on; with
            `task="segment"` `far-cue`, a folder of images with label maps, or a pair of datasets. None takes `digits`
            or `far-cue`.
        backbone, attention, seeds, epochs, image_size, batch_size, optimizer, lr, weight_decay, augment, freeze,
            pretrained, after, identity, regions, train_size, test_size, task, faithful: see `Comparison`. No
            `attention` takes `ATTENTION`, and with `task="segment"` `HEADS`.
        classes: names of the classes of own datasets; by default the dataset's `classes`, or the labels' numbers.
        out: the run folder, created where needed; the same settings continue what is there, more `seeds` extend it.
        ray: address of an existing Ray cluster that runs the trials ("auto", "host:port"); None runs them here.
        workers: local processes; 1 runs the trials in this one. None takes one for each core that torch may use (on
            CUDA: for each device), at most one a trial. With several, a script needs the usual
            `if __name__ == "__main__":`, and datasets and functions have to be picklable.
        device: `cpu` or `cuda`.
        patience: about how many seconds each latency is measured for.
        progress: receives callbacks while the comparison runs.

    Returns: the verdict, rows, records and sentences; `out` holds run.json, results.jsonl, costs.json and gallery.npz.

    Raises:
        LookupError: an unknown backbone or mechanism, with the nearest names; no site matches `after` or a place.
        TypeError: an item of a dataset is no sample.
        ValueError: arguments or data that do not fit; `out` is in the folder of the images, belongs to a comparison
            with other settings or images, or holds a damaged file, which is named.
        OSError: `out` cannot be written or has too little space, or another comparison is at work in it.
        MemoryError: with what needs less.
        RuntimeError: a trial failed; the others are kept and the same call tries again.
        ImportError: `ray` was given and Ray is not installed.
    """
    if source is None:
        source = SCENES if task == SEGMENT else SOURCE
    if attention is None:
        attention = HEADS if task == SEGMENT else ATTENTION
    datasets = None if isinstance(source, str | Path) else tuple(source) if isinstance(source, tuple | list) else ()
    if datasets is not None and len(datasets) != 2:
        raise ValueError(
            f"source is a {type(source).__name__}: digits, faces, frames, a folder, or a pair of datasets (train, "
            "test) is accepted"
        )
    settings = Comparison(
        source=str(source) if datasets is None else "own datasets",
        backbone=backbone,
        attention=(attention,) if isinstance(attention, str) else tuple(attention),
        seeds=seeds,
        epochs=epochs,
        image_size=image_size,
        batch_size=batch_size,
        optimizer=optimizer,
        lr=lr,
        weight_decay=weight_decay,
        augment=augment,
        freeze=freeze,
        pretrained=pretrained,
        after=(after,) if isinstance(after, str) else None if after is None else tuple(after),
        identity=identity,
        regions=None if regions is None else str(regions),
        train_size=train_size,
        test_size=test_size,
        task=task,
        faithful=faithful,
        device=device.partition(":")[0],
    )
    from regard.comparing import running  # after the settings, so that a mistake in them is answered before torch loads

    running.run(
        settings,
        datasets=None if datasets is None else (datasets[0], datasets[1]),
        classes=classes,
        out=Path(out),
        ray=ray,
        lanes=workers,
        patience=patience,
        progress=progress or Silent(),
    )
    return result(out)


def result(out: str | Path) -> Result:
    """The result of a finished run folder.

    Raises:
        ValueError: `out` holds no comparison, or one that has not finished.
    """
    from regard.comparing import summarising

    return summarising.summarise(Path(out))
