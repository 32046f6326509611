"""Which attention, at what cost, looking where: the comparison of mechanisms on one backbone and one data set.

A comparison is a set of trials, one per mechanism and seed. Every trial with one seed starts from the same backbone
weights and sees the same batches in the same order, so that two trials differ by the mechanism alone. Two reference
rows come by themselves: `none`, the bare backbone, and `plain`, ordinary convolutions at the same sites with as many
parameters as the largest mechanism in the run, so that a gain is not just capacity.

This file holds the words (settings, results, progress) and imports no torch, so that a command line can show its
defaults at once; the work is in the files beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

NONE = "none"
PLAIN = "plain"
ALL = "all"

# The embedded default: six rows, three seeds and the measurements in about five minutes on two cores.
SOURCE = "digits"
BACKBONE = "test_resnet"
ATTENTION = ("se", "eca", "cbam", "gc")
SEEDS = 3
EPOCHS = 8
BATCH_SIZE = 16
LR = 0.003


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Everything that decides a comparison's numbers; a run folder belongs to one of these.

    Args:
        source: `digits`, `faces` or a folder of images.
        backbone: a timm model's name.
        attention: catalogue names; `none` and `plain` are added in front. `all` stands for every mechanism that can be
            attached and fits the backbone at these sites.
        seeds: how many; they are 0, 1, ...
        epochs: passes over the training images.
        image_size: side in pixels; None keeps the data set's own.
        batch_size: images a step.
        lr: the peak learning rate.
        pretrained: start from the published weights of the backbone.
        after: glob patterns of the modules to attach to; None takes the defaults of the backbone's family.
        identity: attach so that the first forward pass is the bare backbone's.
        regions: file or folder with boxes or masks of the objects in a folder of images.
        train_size, test_size: at most that many images; None takes all (and as many digits as digits come with).
        device: kind of device the trials run on, `cpu` or `cuda`.

    Raises: ValueError for a number out of range or no mechanism to compare.
    """

    source: str = SOURCE
    backbone: str = BACKBONE
    attention: tuple[str, ...] = ATTENTION
    seeds: int = SEEDS
    epochs: int = EPOCHS
    image_size: int | None = None
    batch_size: int = BATCH_SIZE
    lr: float = LR
    pretrained: bool = False
    after: tuple[str, ...] | None = None
    identity: bool = False
    regions: str | None = None
    train_size: int | None = None
    test_size: int | None = None
    device: str = "cpu"

    def __post_init__(self) -> None:
        for name in ("seeds", "epochs", "batch_size", "image_size", "train_size", "test_size"):
            value = getattr(self, name)
            if value is None and name.endswith("_size") and name != "batch_size":
                continue
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name}={value!r}: a whole number of at least 1 is needed")
        if not self.lr > 0:
            raise ValueError(f"lr={self.lr!r}: a learning rate above 0 is needed")
        named = dict.fromkeys(name for name in self.attention if name not in (NONE, PLAIN))
        if not named:
            raise ValueError("attention names no mechanism to compare with none and plain, for example se,cbam")
        object.__setattr__(self, "attention", (NONE, PLAIN, *named))

    @property
    def mechanisms(self) -> tuple[str, ...]:
        """The rows that come from the catalogue."""
        return self.attention[2:]

    @property
    def trials(self) -> tuple[Trial, ...]:
        """Every trial, seed by seed, so that an early look already compares all mechanisms."""
        return tuple(Trial(name, seed) for seed in range(self.seeds) for name in self.attention)


@dataclass(frozen=True)
class Trial:
    """One mechanism trained with one seed."""

    mechanism: str
    seed: int

    def __str__(self) -> str:
        return f"{self.mechanism}-{self.seed}"


class Progress(Protocol):
    """What a comparison tells while it runs; called in the process and thread that called `compare`."""

    def phase(self, text: str) -> None:
        """A new part of the work begins, for example "measuring costs"."""

    def begin(self, trials: Sequence[Trial], finished: int) -> None:
        """The trials still to run, and how many an earlier run of the command has finished."""

    def trial_started(self, trial: Trial) -> None: ...

    def step(self, trial: Trial, done: int, total: int) -> None:
        """`done` of the trial's `total` training steps are behind it; not every step is told."""

    def trial_finished(self, trial: Trial, result: Mapping[str, Any]) -> None:
        """`result` is the trial's line of results.jsonl."""

    def failed(self, trial: Trial, error: str) -> None: ...


class Silent:
    """Progress that nobody sees; also a base for one that tells only some of it."""

    def phase(self, text: str) -> None:
        pass

    def begin(self, trials: Sequence[Trial], finished: int) -> None:
        pass

    def trial_started(self, trial: Trial) -> None:
        pass

    def step(self, trial: Trial, done: int, total: int) -> None:
        pass

    def trial_finished(self, trial: Trial, result: Mapping[str, Any]) -> None:
        pass

    def failed(self, trial: Trial, error: str) -> None:
        pass


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % interval; `low == high` where the data give none.

    Args:
        mean: the figure itself (for latencies and the like, the median).
        low, high: the ends of the interval.
        values: what it was computed from, one per seed.
    """

    mean: float
    low: float
    high: float
    values: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One mechanism in the table.

    Args:
        mechanism: its catalogue name, `none` or `plain`.
        domains: what its attention ranges over; empty for the two reference rows.
        accuracy: share of test images classified correctly.
        gain: accuracy minus that of `none`, paired by seed; None for `none` itself.
        gain_over_plain: the same against `plain`; None for the two reference rows.
        ece: expected calibration error.
        energy: share of the heat map's energy inside the object; None where no region is known.
        pointing: how often the heat map's peak lies inside the object.
        through: where the heat map comes from, "spatial map" or "Grad-CAM".
        energy_gradcam, pointing_gradcam: the same through Grad-CAM for every row, so that all rows compare.
        chance_energy: what an even map would score, the object's mean share of the image's area.
        parameters: of the whole model.
        extra_parameters: beyond `none`.
        flops: floating point operations of one image's forward pass.
        latency: batch size -> time of a forward pass as a multiple of that of `none`, paired.
        peak_memory: bytes, of one forward and backward pass; see `measuring.peak_memory`.
        history: one list per seed of {"epoch", "loss", "accuracy", "seconds"}.
        verdict: one sentence about the gain in plain words.
    """

    mechanism: str
    domains: tuple[str, ...]
    accuracy: Interval
    gain: Interval | None
    gain_over_plain: Interval | None
    ece: Interval
    energy: Interval | None
    pointing: Interval | None
    through: str
    energy_gradcam: Interval | None
    pointing_gradcam: Interval | None
    chance_energy: float | None
    parameters: int
    extra_parameters: int
    flops: int
    latency: Mapping[str, Interval]
    peak_memory: int | None
    history: tuple[list[dict[str, Any]], ...]
    verdict: str


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A finished comparison, ready to be shown.

    Args:
        rows: `none` and `plain` first, then the mechanisms in the order they were named.
        sentences: what the numbers say, in plain words, what they do not say included.
        run: the facts of run.json.
        gallery: path of gallery.npz.
    """

    rows: list[Row]
    sentences: list[str]
    run: Mapping[str, Any] = field(default_factory=dict)
    gallery: Path | None = None


def compare(
    source: str | Path = SOURCE,
    *,
    backbone: str = BACKBONE,
    attention: Sequence[str] = ATTENTION,
    seeds: int = SEEDS,
    epochs: int = EPOCHS,
    image_size: int | None = None,
    batch_size: int = BATCH_SIZE,
    lr: float = LR,
    pretrained: bool = False,
    after: Sequence[str] | str | None = None,
    identity: bool = False,
    regions: str | Path | None = None,
    train_size: int | None = None,
    test_size: int | None = None,
    out: str | Path,
    ray: str | None = None,
    workers: int | None = None,
    device: str = "cpu",
    patience: float = 1.0,
    progress: Progress | None = None,
) -> Path:
    """Trains and measures every mechanism, or goes on where an earlier call stopped.

    With more than one worker process a script that calls this needs the usual `if __name__ == "__main__":`.

    Args:
        source, backbone, attention, seeds, epochs, image_size, batch_size, lr, pretrained, after, identity, regions,
            train_size, test_size: see `Comparison`.
        out: the run folder, created where needed; the same settings continue what is there, more `seeds` extend it.
        ray: address of an existing Ray cluster that runs the trials ("auto", "host:port"); None runs them here.
        workers: local processes; None takes one per core that torch may use (on CUDA: one per device), at most one
            per trial.
            1 runs the trials in this process.
        device: `cpu` or `cuda`.
        patience: seconds given to each latency; a trial takes what it takes.
        progress: told what happens.

    Returns: `out`, which now holds run.json, results.jsonl, costs.json and gallery.npz.

    Raises:
        LookupError: an unknown backbone or mechanism, with the nearest names; no site matches `after`.
        ValueError: arguments or data that do not fit; `out` belongs to a comparison with other settings.
        OSError: `out` cannot be written or has too little space.
        RuntimeError: a trial failed; the others are kept and the same call tries again.
        ImportError: `ray` was given and Ray is not installed.
    """
    from regard.comparing import running

    settings = Comparison(
        source=str(source),
        backbone=backbone,
        attention=tuple(attention),
        seeds=seeds,
        epochs=epochs,
        image_size=image_size,
        batch_size=batch_size,
        lr=lr,
        pretrained=pretrained,
        after=(after,) if isinstance(after, str) else None if after is None else tuple(after),
        identity=identity,
        regions=None if regions is None else str(regions),
        train_size=train_size,
        test_size=test_size,
        device=device.partition(":")[0],
    )
    return running.run(
        settings, out=Path(out), ray=ray, lanes=workers, patience=patience, progress=progress or Silent()
    )


def summary(out: str | Path) -> Summary:
    """What a finished run folder shows.

    Raises:
        ValueError: `out` holds no comparison, or one that has not finished.
    """
    from regard.comparing import summarising

    return summarising.summarise(Path(out))
