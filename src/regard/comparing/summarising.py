"""Summarising a run folder as rows and sentences."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from regard import catalog
from regard.catalog import rows as texts
from regard.catalog.rows import NONE, PLAIN, REFERENCES
from regard.comparing import statistics
from regard.comparing.folder import Folder
from regard.metrics.metric import Measure
from regard.report import SPATIAL_MAP, Interval, Record, Result, Row
from regard.report.numbers import Scale

_LOCATED = ("energy", "pointing", "energy_gradcam", "pointing_gradcam")
MANY = 8  # rows beyond which the sentences name only what stands out; the table has them all


@dataclass(frozen=True)
class Evidence:
    """The results of one row.

    Args:
        records: of its trials, one a seed.
        images: scores per test image by name, each [S, N]; `score` only where the task tells it.
    """

    records: Sequence[Record]
    images: Mapping[str, NDArray[Any]]

    def score(self, measure: Measure) -> Interval:
        """The measure with its interval; over the seeds only if there are no scores for single images."""
        own = self.images.get("score")
        if own is None:
            return statistics.over_seeds([record.score for record in self.records])
        if own.dtype == bool:
            return statistics.accuracy(own)
        floor, ceiling = (0.0, 1.0) if measure.unit == "%" else (-math.inf, math.inf)
        return statistics.score(own, floor=floor, ceiling=ceiling)

    def gain(self, other: Evidence, *, level: float = statistics.LEVEL) -> Interval:
        """The difference of the scores of two rows, paired by seed, and by image if images have scores."""
        ours, theirs = self.images.get("score"), other.images.get("score")
        if ours is not None and theirs is not None:
            return statistics.gain(ours, theirs, level=level)
        pairs = zip(self.records, other.records, strict=True)
        return statistics.over_seeds([one.score - two.score for one, two in pairs], level=level)


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
    rows = tuple(_row(name, costs[name], costs[NONE], found, measure) for name in names)
    return Result(
        rows=rows,
        sentences=tuple(_sentences(rows, run, found, Scale(measure))),
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
    gain = None if name == NONE else own.gain(found[NONE])
    over_plain = None if name in REFERENCES else own.gain(found[PLAIN])
    located = {key: statistics.score(values) for key, values in own.images.items() if key in _LOCATED}
    calibrated = all("ece" in record.scores for record in own.records)
    return Row(
        name=name,
        domains=() if name in REFERENCES else catalog.get(texts.parse(name).mechanism).domains,
        score=own.score(measure),
        gain=gain,
        gain_over_plain=over_plain,
        ece=statistics.over_seeds([record.scores["ece"] for record in own.records], floor=0) if calibrated else None,
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
        verdict=_verdict(name, gain, over_plain, Scale(measure)),
    )


def _verdict(name: str, gain: Interval | None, over_plain: Interval | None, scale: Scale) -> str:
    """The sentence about the score of one row."""
    if gain is None:
        return f"{name} is the bare backbone that every other row is compared with."
    words = {"better": "better, beyond noise", "worse": "worse, beyond noise", "noise": "within noise"}
    judged = scale.better(gain.low, gain.high)
    text = f"{name} against none: {_difference(gain, scale)}; {words[judged]}."
    if over_plain is None:
        return f"{text} It stands for capacity without attention."
    against = f"Against plain, ordinary convolutions: {_difference(over_plain, scale)}"
    beyond = scale.better(over_plain.low, over_plain.high)
    if beyond == "noise" and judged == "better":
        return f"{text} {against}; within noise, so the gain may be no more than added parameters."
    return f"{text} {against}; {words[beyond]}."


def _sentences(rows: Sequence[Row], run: Mapping[str, Any], found: Mapping[str, Evidence], scale: Scale) -> list[str]:
    return [
        _what_was_done(rows, run),
        _what_plain_is(run["plain"], run.get("places", {})),
        *(f"Left out, {name}: {reason}." for name, reason in run.get("left_out", {}).items()),
        *_how_the_intervals_read(run, paired="score" in found[NONE].images),
        *_room(rows, run, scale),
        *_verdicts(rows, scale),
        _many_comparisons(rows, found, scale),
        *_where_they_look(rows, found),
        _what_it_costs(rows),
    ]


def _verdicts(rows: Sequence[Row], scale: Scale) -> list[str]:
    """One sentence for each row; with many rows, only for those that differ beyond noise, with a list of the others."""
    judged = [row for row in rows if row.gain is not None]
    if len(judged) <= MANY:
        return [row.verdict for row in judged]
    clear = [row for row in judged if any(gain and _clear(gain) for gain in (row.gain, row.gain_over_plain))]
    rest = [row.name for row in judged if row not in clear and row.name != PLAIN]
    quiet = [f"Within noise of none and of plain: {', '.join(rest)}."] if rest else []
    return [*(row.verdict for row in clear), *quiet]


def _what_was_done(rows: Sequence[Row], run: Mapping[str, Any]) -> str:
    skipped, settings = len(run["skipped"]), run.get("settings", {})
    frozen = settings.get("freeze") is not None
    learned = "only the attention and the classifier learning, " if frozen else ""
    augment = settings.get("augment", "none")
    augmented = "" if augment == "none" else f"with the augmentation {augment}, "
    classes = f" of {len(run['classes'])} classes" if run["classes"] else ""
    chance = run["chance"]
    return (
        f"{len(rows)} rows x {_count(run['seeds'], 'seed')} on {run['data']}: {run['backbone']} "
        f"{'from published weights' if run['pretrained'] else 'from random weights'}, {learned}{augmented}"
        f"{_count(run['epochs'], 'epoch')}, {run['train_size']} training and {run['test_size']} test images{classes}"
        + (f"; always answering the commonest class would score {100 * chance:.1f} %." if chance is not None else ".")
        + (
            f" {_count(skipped, 'file')} could not be read and {'were' if skipped > 1 else 'was'} left out."
            if skipped
            else ""
        )
    )


def _what_plain_is(plain: Mapping[str, Any], places: Mapping[str, Sequence[str]]) -> str:
    largest = f"the largest row here, {plain['largest']}, adds {plain['largest_parameters']:,}"
    if not plain["parameters"]:
        return f"plain is the same as none: {largest}, too few parameters for one channel of convolution."
    where = "at the same sites" if not places else "at the sites of the largest row"
    return f"plain adds {plain['parameters']:,} parameters in ordinary convolutions {where}; {largest}."


def _how_the_intervals_read(run: Mapping[str, Any], *, paired: bool) -> list[str]:
    one_seed = run["seeds"] == 1
    if not paired:
        return [
            "One seed, and no score for each image: there are no intervals, and no difference here is told from luck; "
            "repeat with more seeds."
            if one_seed
            else "Each 95 % interval is Student's t over the seeds; differences are paired: the same initial backbone, "
            "batches and test images. The luck of the test images is not in them."
        ]
    if one_seed:
        return [
            "One seed: the 95 % intervals hold the luck of the test images only, not that of initialisation and batch "
            "order, which is often the larger; repeat with more seeds before choosing."
        ]
    few = " With so few seeds the intervals are wide; more seeds narrow them." if run["seeds"] < 4 else ""
    return [
        "Each 95 % interval is the wider of Student's t over the seeds and the interval over the test images; "
        "differences are paired: the same initial backbone, batches and test images." + few
    ]


def _room(rows: Sequence[Row], run: Mapping[str, Any], scale: Scale) -> list[str]:
    """A remark if the task cannot separate the rows: all at chance, or almost perfect."""
    if run["chance"] is not None and scale.share and all(row.score.low <= run["chance"] for row in rows):
        return ["No row is above chance beyond noise: this run cannot tell the rows apart; train longer."]
    if scale.share and scale.measure.higher_is_better and rows[0].score.mean > 0.98:
        return ["The bare backbone already solves this task almost completely, which leaves little room for a gain."]
    return []


def _many_comparisons(rows: Sequence[Row], found: Mapping[str, Evidence], scale: Scale) -> str:
    """A sentence about multiple comparisons, and the differences that remain after Bonferroni's correction."""
    pairs = [(row.name, against) for row in rows for against in REFERENCES if _differ(row.name, against)]
    level = 1 - (1 - statistics.LEVEL) / len(pairs)
    kept = []
    for ours, theirs in pairs:
        strict = found[ours].gain(found[theirs], level=level)
        if _clear(strict):
            kept.append(f"{ours} {'above' if strict.mean > 0 else 'below'} {theirs}")
    return (
        f"These are {len(pairs)} comparisons at once: if no row did anything, about one in twenty would still look "
        "clear. With intervals widened for that (Bonferroni), "
        + (f"these remain: {', '.join(kept)}." if kept else f"no difference in {scale.measure.title} remains.")
    )


def _differ(ours: str, theirs: str) -> bool:
    return ours != theirs and ours != NONE


def _where_they_look(rows: Sequence[Row], found: Mapping[str, Evidence]) -> list[str]:
    chance = rows[0].chance_energy
    if rows[0].energy_gradcam is None or chance is None:
        return ["No region is known for these images, so where the models look is shown but not scored."]
    told = _named({row.name: row.energy_gradcam.mean for row in rows if row.energy_gradcam})
    sentences = [
        f"Share of Grad-CAM energy inside the object, in the same place for every row: {told}; an even map would "
        f"score {chance:.2f}."
    ]
    changed = []
    for row in rows[1:]:
        ours, theirs = (found[name].images["energy_gradcam"] for name in (row.name, NONE))
        difference = statistics.score(ours - theirs, floor=-1, ceiling=1)
        if _clear(difference):
            changed.append(f"{row.name} ({difference.mean:+.2f})")
    sentences.append(
        f"Against none, beyond noise: {', '.join(changed)}."
        if changed
        else "None of these differs from the bare backbone's beyond noise."
    )
    if spatial := [row for row in rows if row.through == SPATIAL_MAP and row.energy]:
        told = _named({row.name: row.energy.mean for row in spatial if row.energy})
        sentences.append(
            f"The mechanisms' own spatial maps: {told}. A gate rarely closes where Grad-CAM is cut at "
            "zero, so these compare with an even map and with each other, not with Grad-CAM."
        )
    return sentences


def _named(values: Mapping[str, float]) -> str:
    """The names with their values; of many, only the lowest, the highest and the bare backbone."""
    order = list(values)
    if len(values) > MANY:
        ranked = sorted(values, key=lambda name: values[name])
        order = list(dict.fromkeys([*([NONE] if NONE in values else []), ranked[0], ranked[-1]]))
    told = ", ".join(f"{name} {values[name]:.2f}" for name in order)
    return told if len(order) == len(values) else f"{told}, the other {len(values) - len(order)} between"


def _what_it_costs(rows: Sequence[Row]) -> str:
    batch = max(rows[0].latency, key=int)
    if len(rows) > MANY + 1:
        dearest = max(rows[1:], key=lambda row: row.latency[batch].mean)
        largest = max(rows[1:], key=lambda row: row.extra_parameters)
        return (
            f"Time of a forward pass at batch {batch}, as a multiple of none: up to {dearest.latency[batch].mean:.2f}x "
            f"({dearest.name}); parameters: up to {largest.extra_parameters:+,} ({largest.name})."
        )
    told = [f"{row.name} {row.latency[batch].mean:.2f}x and {row.extra_parameters:+,} parameters" for row in rows[1:]]
    return f"Time of a forward pass at batch {batch}, as a multiple of none: {'; '.join(told)}."


def _clear(difference: Interval) -> bool:
    """Whether there is an interval, and 0 is not in it."""
    return difference.low < difference.high and (difference.low > 0 or difference.high < 0)


def _difference(gain: Interval, scale: Scale) -> str:
    unit = f" {scale.difference_unit}" if scale.difference_unit else ""
    ends = f"95 % interval {scale.difference(gain.low)} to {scale.difference(gain.high)}"
    return f"{scale.difference(gain.mean)}{unit} ({ends if gain.low < gain.high else 'no interval'})"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
