"""Sentences about the results of a comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from regard.catalog.rows import NONE, PLAIN
from regard.comparing import statistics
from regard.metrics.metric import Measure
from regard.report import SPATIAL_MAP, Interval, Row
from regard.report.judging import Judge, difference, pairs
from regard.report.numbers import MINUS, Scale, fixed, percent, points

MANY = 8  # rows beyond which the sentences name only what stands out; the table has them all

Images = Mapping[str, Mapping[str, NDArray[Any]]]


def told(rows: Sequence[Row], run: Mapping[str, Any], measure: Measure, images: Images) -> tuple[list[Row], list[str]]:
    """The rows with their verdicts, and the sentences about all of them.

    Args:
        rows: in the order in which they are told.
        run: the facts of run.json.
        measure: what the rows' scores are.
        images: row -> scores per test image by name, each [S, N].
    """
    judge = Judge.among(rows, measure, run)
    named = {row.name: row for row in rows}
    judged = [replace(row, verdict=_verdict(row, named, judge)) for row in rows]
    return judged, [
        _what_was_done(judged, run),
        _what_plain_is(run["plain"], run.get("places", {}), head="width" in run),
        *(f"Left out, {name}: {reason}." for name, reason in run.get("left_out", {}).items()),
        *_how_the_intervals_read(run, paired="score" in images[NONE] or "pixels" in images[NONE]),
        *_verdicts(judged, named, judge),
        *_many_comparisons(named, judge),
        *_where_they_look(judged, images, judge.bare),
        *_whether_maps_matter(judged, judge.scale, images),
        *_what_it_costs(judged),
    ]


def _verdict(row: Row, named: Mapping[str, Row], judge: Judge) -> str:
    """The sentences about the score of one row."""
    if row.gain is None:
        return f"{row.name} is {judge.bare} that every other row is compared with."
    sign = judge.sign(row, named[NONE])
    text = f"{row.name} against none: {_difference(row.gain, judge.scale)}; {judge.words(sign)}."
    if row.gain_over_plain is None:
        return f"{text} It stands for capacity without attention."
    beyond = judge.sign(row, named[PLAIN])
    against = f"Against plain, ordinary convolutions: {_difference(row.gain_over_plain, judge.scale)}"
    if sign == "better" and beyond != "better":
        return f"{text} {against}; {judge.words(beyond)}, so the gain may be no more than added parameters."
    return f"{text} {against}; {judge.words(beyond)}."


def _verdicts(rows: Sequence[Row], named: Mapping[str, Row], judge: Judge) -> list[str]:
    """One sentence for each row; with many rows, only for those that differ beyond noise, with a list of the others."""
    judged = [row for row in rows if row.gain is not None]
    if len(judged) <= MANY:
        return [row.verdict for row in judged]
    clear = [
        row
        for row in judged
        if any(judge.sign(row, named[other]) not in ("noise", "chance", "unknown") for other in row.corrected)
    ]
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
        f"{len(rows)} rows × {_count(run['seeds'], 'seed')} on {run['data']}: {run['backbone']} "
        f"{'from published weights' if run['pretrained'] else 'from random weights'}, {learned}{augmented}"
        f"{_count(run['epochs'], 'epoch')}, {run['train_size']} training and {run['test_size']} test images{classes}"
        + (f"; always answering the commonest class would score {percent(chance)} %." if chance is not None else ".")
        + (
            f" {_count(skipped, 'file')} could not be read and {'were' if skipped > 1 else 'was'} left out."
            if skipped
            else ""
        )
    )


def _what_plain_is(plain: Mapping[str, Any], places: Mapping[str, Sequence[str]], *, head: bool) -> str:
    largest = f"the largest row here, {plain['largest']}, adds {plain['largest_parameters']:,}"
    if not plain["parameters"]:
        return f"plain is the same as none: {largest}, too few parameters for one channel of convolution."
    where = "at the same sites" if not places else "at the sites of the largest row"
    if head:
        where = f"of a wider head, {plain['widths'][0]} channels"
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


def _many_comparisons(named: Mapping[str, Row], judge: Judge) -> list[str]:
    """A sentence about multiple comparisons, and the differences that remain after Bonferroni's correction."""
    signs = {(ours, theirs): judge.sign(named[ours], named[theirs]) for ours, theirs in pairs(list(named))}
    if judge.seeds == 1 or set(signs.values()) <= {"unknown", "chance"}:
        return []
    kept = [
        f"{ours} {'above' if (gain := difference(named[ours], theirs)) and gain.mean > 0 else 'below'} {theirs}"
        for (ours, theirs), sign in signs.items()
        if sign in ("better", "worse")
    ]
    return [
        f"These are {len(signs)} comparisons at once: if no row did anything, about one in twenty would still look "
        "clear. Beyond noise are those whose interval excludes zero when all are widened to hold together "
        f"(Bonferroni): {', '.join(kept) if kept else f'no difference in {judge.scale.measure.title} remains'}."
    ]


def _where_they_look(rows: Sequence[Row], images: Images, bare: str) -> list[str]:
    """Sentences about the maps on the objects; none where no object is known."""
    chance = rows[0].chance_energy
    if rows[0].energy_gradcam is None or chance is None:
        return []
    told = _named({row.name: row.energy_gradcam.mean for row in rows if row.energy_gradcam})
    sentences = [
        f"Share of Grad-CAM energy inside the object, in the same place for every row: {told}; an even map would "
        f"score {percent(chance, 0)} %."
    ]
    changed, others = [], [row.name for row in rows if row.name != NONE]
    level = 1 - (1 - statistics.LEVEL) / max(1, len(others))
    for name in others:
        ours, theirs = images[name]["energy_gradcam"], images[NONE]["energy_gradcam"]
        moved = statistics.score(ours - theirs, floor=-1, ceiling=1, level=level)
        if moved.low < moved.high and (moved.low > 0 or moved.high < 0):
            changed.append(f"{name} ({points(moved.mean)} points)")
    beyond = f"beyond noise (corrected for {len(others)} comparisons)"
    if len(rows[0].score.values) == 1:
        beyond = "beyond the luck of the images, in one training"
    sentences.append(
        f"Against none, {beyond}: {', '.join(changed)}."
        if changed
        else f"None of these differs from {bare}'s {beyond}."
    )
    if spatial := [row for row in rows if row.through == SPATIAL_MAP and row.energy]:
        told = _named({row.name: row.energy.mean for row in spatial if row.energy})
        sentences.append(
            f"The mechanisms' own spatial maps: {told}. A gate rarely closes where Grad-CAM is cut at "
            "zero, so these compare with an even map and with each other, not with Grad-CAM."
        )
    return sentences


def _whether_maps_matter(rows: Sequence[Row], scale: Scale, images: Images) -> list[str]:
    """A sentence about rows whose own maps were replaced by even ones; none where no row has any."""
    even = {row.name: row.replaced["even"] for row in rows if "even" in row.replaced}
    if not even:
        return []
    unit = f" {scale.difference_unit}" if scale.difference_unit else ""
    sure = [name for name, gain in even.items() if scale.better(gain.low, gain.high) == "worse"]
    kept = [name for name in even if name not in sure]
    told = [f"{name} ({scale.difference(even[name].mean)}{unit})" for name in sure]
    counts = [len(one[0]) for of in images.values() for key, one in of.items() if key.startswith("replaced.even.")]
    where = f" on {counts[0]} of the test samples" if counts else ""
    sentences = [f"With even maps in place of their own{where}, worse: {', '.join(told)}."] if told else []
    if kept:
        sentences.append(f"With even maps{where} as good as with their own, or not clearly worse: {', '.join(kept)}.")
    return sentences


def _named(values: Mapping[str, float]) -> str:
    """The names with their values; of many, only the lowest, the highest and the bare backbone."""
    order = list(values)
    if len(values) > MANY:
        ranked = sorted(values, key=lambda name: values[name])
        order = list(dict.fromkeys([*([NONE] if NONE in values else []), ranked[0], ranked[-1]]))
    told = ", ".join(f"{name} {percent(values[name], 0)} %" for name in order)
    return told if len(order) == len(values) else f"{told}, the other {len(values) - len(order)} between"


def _what_it_costs(rows: Sequence[Row]) -> list[str]:
    others = [row for row in rows if row.name != NONE and row.latency]
    if not others:
        return []
    batch = max(others[0].latency, key=int)
    begin = f"Time of a forward pass at batch {batch}, as a multiple of none"
    if len(others) > MANY:
        dearest = max(others, key=lambda row: row.latency[batch].mean)
        largest = max(others, key=lambda row: row.extra_parameters)
        return [
            f"{begin}: up to {_times(dearest, batch)} ({dearest.name}); parameters: up to {_added(largest)} "
            f"({largest.name})."
        ]
    told = [f"{row.name} {_times(row, batch)} and {_added(row)} parameters" for row in others]
    return [f"{begin}: {'; '.join(told)}."]


def _times(row: Row, batch: str) -> str:
    return f"{fixed(row.latency[batch].mean, 2)} ×"


def _added(row: Row) -> str:
    return f"{row.extra_parameters:+,}".replace("-", MINUS)


def _difference(gain: Interval, scale: Scale) -> str:
    unit = f" {scale.difference_unit}" if scale.difference_unit else ""
    ends = f"95 % interval {scale.difference(gain.low)} to {scale.difference(gain.high)}"
    return f"{scale.difference(gain.mean)}{unit} ({ends if gain.low < gain.high else 'no interval'})"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
