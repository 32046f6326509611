"""Summarising a run folder as rows and sentences."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regard import catalog
from regard.catalog import rows as texts
from regard.catalog.rows import NONE, PLAIN, REFERENCES
from regard.comparing import INTACT, Trial, statistics, telling
from regard.comparing.folder import Folder
from regard.metrics.metric import Measure
from regard.report import RANDOM, ClassScore, Interval, Record, Result, Row, Tested
from regard.report.judging import pairs
from regard.report.table import ordered
from regard.saved import description

_LOCATED = ("energy", "pointing", "energy_gradcam", "pointing_gradcam")


@dataclass(frozen=True)
class Evidence:
    """The results of one row.

    Args:
        records: of its trials, one a seed.
        images: scores per test image by name, each [S, N]; `score` only where the task tells it; `pixels` [S, N, K, 3]
            of a segmentation.
    """

    records: Sequence[Record]
    images: Mapping[str, NDArray[Any]]

    @cached_property
    def pooled(self) -> statistics.Pooled | None:
        """What is computed from all images together; None where the images have scores of their own."""
        pixels = self.images.get("pixels")
        return None if pixels is None else statistics.Pooled(pixels)

    def score(self, measure: Measure) -> Interval:
        """The measure with its interval; over the seeds only if there are no scores for single images."""
        if self.pooled is not None:
            return self.pooled.mean()
        own = self.images.get("score")
        floor, ceiling = (0.0, 1.0) if measure.unit == "%" else (-math.inf, math.inf)
        if own is None:
            return statistics.over_seeds([record.score for record in self.records], floor=floor, ceiling=ceiling)
        if own.dtype == bool:
            return statistics.accuracy(own)
        return statistics.score(own, floor=floor, ceiling=ceiling)

    def gain(self, other: Evidence, measure: Measure, *, level: float = statistics.LEVEL) -> Interval:
        """The difference of the scores of two rows, paired by seed, and by image if images have scores."""
        if self.pooled is not None and other.pooled is not None:
            return self.pooled.gain(other.pooled, level=level)
        ours, theirs = self.images.get("score"), other.images.get("score")
        reach = 1.0 if measure.unit == "%" else math.inf
        if ours is not None and theirs is not None:
            return statistics.gain(ours, theirs, level=level, reach=reach)
        differences = [one.score - two.score for one, two in zip(self.records, other.records, strict=True)]
        return statistics.over_seeds(differences, level=level, floor=-reach, ceiling=reach)

    def answers(self) -> dict[tuple[int, int], int] | None:
        """(class, answer) -> number of test images, over all seeds; None where the task has no classes."""
        labels, predictions = self.images.get("label"), self.images.get("prediction")
        if labels is None or predictions is None:
            return None
        both = np.stack([labels.ravel(), predictions.ravel()], 1)
        found, counts = np.unique(both, axis=0, return_counts=True)
        return {(int(label), int(answer)): int(count) for (label, answer), count in zip(found, counts, strict=True)}

    def classes(self, bare: Evidence, shown: Sequence[int]) -> dict[int, ClassScore]:
        """class -> its share of pixels; nothing where that is not what is scored.

        Args:
            bare: of the row `none`.
            shown: the number of test images of each class.
        """
        if self.pooled is None:
            return {}
        reference = None if bare is self else bare.pooled
        found = {number: self.pooled.of_class(number) for number in range(len(shown))}
        return {
            number: ClassScore(
                score, None if reference is None else self.pooled.of_class(number, reference), shown[number]
            )
            for number, score in found.items()
            if score is not None
        }


def summarise(out: Path) -> Result:
    """See `regard.comparing.result`."""
    folder = Folder(out)
    run = folder.run()
    names, seeds = run["attention"], range(run["seeds"])
    records = {(record.row, record.seed): record for record in folder.records()}
    missing = sum((name, seed) not in records for name in names for seed in seeds)
    costs = folder.costs()
    if missing or costs is None:
        raise ValueError(
            f"{out}: the comparison has not finished ({missing} trials to go); the same command with the same --out "
            "goes on where it stopped"
        )
    measure = Measure(**run["measure"])
    found = {name: Evidence([records[name, seed] for seed in seeds], folder.scores(name, seeds)) for name in names}
    rows = [
        replace(
            _row(name, costs[name], costs[NONE], found, measure),
            look=_look(folder, Trial(name, 0)),
            classes=found[name].classes(found[NONE], run.get("images_of_class", ())),
        )
        for name in names
    ]
    images = {name: evidence.images for name, evidence in found.items()}
    rows, sentences = telling.told(ordered(rows, measure), run, measure, images)
    return Result(
        rows=tuple(rows),
        sentences=tuple(sentences),
        measure=measure,
        records=tuple(records[name, seed] for seed in seeds for name in names),
        run=run,
        out=out,
        gallery=folder.sound_gallery(),
    )


def _row(
    name: str, costs: Mapping[str, Any], bare: Mapping[str, Any], found: Mapping[str, Evidence], measure: Measure
) -> Row:
    own = found[name]
    first = own.records[0]
    gain = None if name == NONE else own.gain(found[NONE], measure)
    over_plain = None if name in REFERENCES else own.gain(found[PLAIN], measure)
    compared = pairs(list(found))
    level = 1 - (1 - statistics.LEVEL) / max(1, len(compared))  # Bonferroni: all intervals hold together
    located = {key: statistics.score(values) for key, values in own.images.items() if key in _LOCATED}
    calibrated = all("ece" in record.scores for record in own.records)
    return Row(
        name=name,
        domains=() if name in REFERENCES else catalog.get(texts.parse(name, heads=True).mechanism).domains,
        score=own.score(measure),
        gain=gain,
        gain_over_plain=over_plain,
        corrected={other: own.gain(found[other], measure, level=level) for row, other in compared if row == name},
        ece=statistics.over_seeds([record.scores["ece"] for record in own.records], floor=0, ceiling=1)
        if calibrated
        else None,
        energy=located.get("energy"),
        pointing=located.get("pointing"),
        through=first.through,
        energy_gradcam=located.get("energy_gradcam"),
        pointing_gradcam=located.get("pointing_gradcam"),
        chance_energy=first.chance_energy,
        parameters=costs["parameters"],
        extra_parameters=costs["parameters"] - bare["parameters"],
        flops=costs["flops"],
        latency={
            batch: Interval(latency["ratio"], latency["low"], latency["high"])
            for batch, latency in costs["latency"].items()
        },
        peak_memory=costs["peak_memory"],
        history=tuple(record.history for record in own.records),
        verdict="",
        answers=own.answers(),
        replaced=_replaced(own, measure),
        faithful=_faithful(own.images),
    )


def _faithful(images: Mapping[str, NDArray[Any]]) -> dict[str, Tested]:
    """`MAP, CURVE, BASELINE` -> the curve of that map; empty where the comparison did not test the maps."""
    found = {}
    for key, values in images.items():
        head, _, rest = key.partition(".")
        if head != "faithful" or rest.endswith(".infidelity"):
            continue
        name, kind, baseline = rest.split(".")
        areas = (values[..., 1:] + values[..., :-1]).mean(-1) / 2  # the steps are of equal width but for rounding
        random = images[f"faithful.{RANDOM}.{kind}.{baseline}"]
        gains = areas - (random[..., 1:] + random[..., :-1]).mean(-1) / 2
        found[f"{name}, {kind}, {baseline}"] = Tested(
            statistics.score(areas, floor=-math.inf, ceiling=math.inf),
            None
            if name == RANDOM
            else statistics.score(-gains if kind == "deletion" else gains, floor=-math.inf, ceiling=math.inf),
            tuple(float(value) for value in values.mean((0, 1))),
        )
    return found


def _replaced(own: Evidence, measure: Measure) -> dict[str, Interval]:
    """replacement of the row's own maps -> the difference of the score; empty unless all trials have it."""
    names = set.intersection(*(set(record.replaced) for record in own.records))
    if INTACT not in names:
        return {}
    found = {}
    for name in own.records[0].replaced:
        head = f"replaced.{name}."
        found[name] = Evidence(
            [replace(record, score=record.replaced[name]) for record in own.records],
            {key.removeprefix(head): values for key, values in own.images.items() if key.startswith(head)},
        )
    intact = found.pop(INTACT)
    return {name: evidence.gain(intact, measure) for name, evidence in found.items()}


def _look(folder: Folder, trial: Trial) -> str:
    """The command that draws what a trained model attends to; empty if its file does not describe it."""
    own = folder.trial(trial)
    try:
        described = (own / description.NAME).is_file() and description.read(own / description.NAME) is not None
    except (ValueError, LookupError):  # damaged: the scores do not need it
        described = False
    return shlex.join(["regard", "look", "IMAGE", "--weights", str(own)]) if described else ""
