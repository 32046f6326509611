"""From the files of a run folder to rows and plain sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from regard import catalog
from regard.comparing import NONE, PLAIN, Interval, Row, Summary, statistics
from regard.comparing.folder import Folder

MANY = 8  # rows beyond which the sentences name only what stands out; the table has them all

Scores = Mapping[str, NDArray]  # per-image scores of one mechanism, each [S, N]


def summarise(out: Path) -> Summary:
    """See `regard.comparing.summary`."""
    folder = Folder(out)
    run = folder.run()
    mechanisms, seeds = run["attention"], range(run["seeds"])
    lines = {(line["mechanism"], line["seed"]): line for line in folder.results()}
    missing = sum((name, seed) not in lines for name in mechanisms for seed in seeds)
    costs = folder.costs()
    if missing or costs is None:
        raise ValueError(
            f"{out}: the comparison has not finished ({missing} trials to go); the same command with the same --out "
            "goes on where it stopped"
        )
    scores = {name: folder.scores(name, seeds) for name in mechanisms}
    rows = [_row(name, [lines[name, seed] for seed in seeds], costs[name], costs[NONE], scores) for name in mechanisms]
    return Summary(rows=rows, sentences=_sentences(rows, run, scores), run=run, gallery=folder.gallery)


def _row(
    name: str,
    lines: Sequence[Mapping[str, Any]],
    costs: Mapping[str, Any],
    bare: Mapping[str, Any],
    scores: Mapping[str, Scores],
) -> Row:
    own = scores[name]
    gain = None if name == NONE else statistics.gain(own["correct"], scores[NONE]["correct"])
    over_plain = None if name in (NONE, PLAIN) else statistics.gain(own["correct"], scores[PLAIN]["correct"])
    located = {key: statistics.score(own[key]) for key in own if key != "correct"}
    return Row(
        mechanism=name,
        domains=() if name in (NONE, PLAIN) else catalog.get(name).domains,
        accuracy=statistics.accuracy(own["correct"]),
        gain=gain,
        gain_over_plain=over_plain,
        ece=statistics.over_seeds([line["ece"] for line in lines]),
        energy=located.get("energy"),
        pointing=located.get("pointing"),
        through=lines[0]["through"],
        energy_gradcam=located.get("energy_gradcam"),
        pointing_gradcam=located.get("pointing_gradcam"),
        chance_energy=lines[0]["chance_energy"],
        parameters=costs["parameters"],
        extra_parameters=costs["parameters"] - bare["parameters"],
        flops=costs["flops"],
        latency={
            batch: Interval(found["ratio"], found["low"], found["high"], ())
            for batch, found in costs["latency"].items()
        },
        peak_memory=costs["peak_memory"],
        history=tuple(line["history"] for line in lines),
        verdict=_verdict(name, gain, over_plain),
    )


def _verdict(name: str, gain: Interval | None, over_plain: Interval | None) -> str:
    """What one row's accuracy says, and does not say."""
    if gain is None:
        return f"{name} is the bare backbone that every other row is compared with."
    told = f"{name} against none: {_points(gain)}"
    if not _clear(gain):
        text = f"{told}; within noise."
    else:
        text = f"{told}; {'better' if gain.mean > 0 else 'worse'}, beyond noise."
    if over_plain is None:
        return f"{text} It stands for capacity without attention."
    against = f"Against plain, ordinary convolutions in the same places: {_points(over_plain)}"
    if _clear(over_plain):
        return f"{text} {against}; {'better' if over_plain.mean > 0 else 'worse'}, beyond noise."
    if _clear(gain) and gain.mean > 0:
        return f"{text} {against}; within noise, so the gain may be no more than added parameters."
    return f"{text} {against}; within noise."


def _sentences(rows: Sequence[Row], run: Mapping[str, Any], scores: Mapping[str, Scores]) -> list[str]:
    return [
        _what_was_done(rows, run),
        _what_plain_is(run["plain"]),
        *(f"Left out, {name}: {reason}." for name, reason in run.get("left_out", {}).items()),
        *_how_the_intervals_read(run),
        *_room(rows, run),
        *_verdicts(rows),
        _many_comparisons(rows, scores),
        *_where_they_look(rows, scores),
        _what_it_costs(rows),
    ]


def _verdicts(rows: Sequence[Row]) -> list[str]:
    """One sentence a row; of many rows, only of those that differ beyond noise, and the others by name."""
    judged = [row for row in rows if row.gain is not None]
    if len(judged) <= MANY:
        return [row.verdict for row in judged]
    clear = [row for row in judged if any(gain and _clear(gain) for gain in (row.gain, row.gain_over_plain))]
    rest = [row.mechanism for row in judged if row not in clear and row.mechanism != PLAIN]
    quiet = [f"Within noise of none and of plain: {', '.join(rest)}."] if rest else []
    return [*(row.verdict for row in clear), *quiet]


def _what_was_done(rows: Sequence[Row], run: Mapping[str, Any]) -> str:
    skipped = len(run["skipped"])
    return (
        f"{len(rows)} rows x {_count(run['seeds'], 'seed')} on {run['data']}: {run['backbone']} "
        f"{'from published weights' if run['pretrained'] else 'from random weights'}, "
        f"{_count(run['epochs'], 'epoch')}, {run['train_size']} training and {run['test_size']} test images of "
        f"{len(run['classes'])} classes; always answering the commonest class would score {100 * run['chance']:.1f} %."
        + (
            f" {_count(skipped, 'file')} could not be read and {'were' if skipped > 1 else 'was'} left out."
            if skipped
            else ""
        )
    )


def _what_plain_is(plain: Mapping[str, Any]) -> str:
    largest = f"the largest mechanism here, {plain['largest']}, adds {plain['largest_parameters']:,}"
    if not plain["parameters"]:
        return f"plain is the same as none: {largest}, too few parameters for one channel of convolution."
    return f"plain adds {plain['parameters']:,} parameters in ordinary convolutions at the same sites; {largest}."


def _how_the_intervals_read(run: Mapping[str, Any]) -> list[str]:
    if run["seeds"] == 1:
        return [
            "One seed: the 95 % intervals hold the luck of the test images only, not that of initialisation and batch "
            "order, which is often the larger; repeat with more seeds before choosing."
        ]
    few = " With so few seeds the intervals are wide; more seeds narrow them." if run["seeds"] < 4 else ""
    return [
        "Each 95 % interval is the wider of Student's t over the seeds and the interval over the test images; "
        "differences are paired: the same initial backbone, batches and test images." + few
    ]


def _room(rows: Sequence[Row], run: Mapping[str, Any]) -> list[str]:
    """Whether the task could tell mechanisms apart at all."""
    if all(row.accuracy.low <= run["chance"] for row in rows):
        return ["No row is above chance beyond noise: this run cannot tell the mechanisms apart; train longer."]
    if rows[0].accuracy.mean > 0.98:
        return ["The bare backbone already solves this task almost completely, which leaves little room for a gain."]
    return []


def _many_comparisons(rows: Sequence[Row], scores: Mapping[str, Scores]) -> str:
    """Plain words on testing much at once, and what stays after Bonferroni's correction."""
    pairs = [(row.mechanism, against) for row in rows for against in (NONE, PLAIN) if _differ(row.mechanism, against)]
    level = 1 - (1 - statistics.LEVEL) / len(pairs)
    kept = []
    for ours, theirs in pairs:
        strict = statistics.gain(scores[ours]["correct"], scores[theirs]["correct"], level=level)
        if _clear(strict):
            kept.append(f"{ours} {'above' if strict.mean > 0 else 'below'} {theirs}")
    return (
        f"These are {len(pairs)} comparisons at once: if no mechanism did anything, about one in twenty would still "
        "look clear. With intervals widened for that (Bonferroni), "
        + (f"these remain: {', '.join(kept)}." if kept else "no difference in accuracy remains beyond noise.")
    )


def _differ(ours: str, theirs: str) -> bool:
    return ours != theirs and ours != NONE


def _where_they_look(rows: Sequence[Row], scores: Mapping[str, Scores]) -> list[str]:
    if rows[0].energy_gradcam is None:
        return ["No region is known for these images, so where the models look is shown but not scored."]
    told = _named({row.mechanism: row.energy_gradcam.mean for row in rows if row.energy_gradcam})
    found = [
        f"Share of Grad-CAM energy inside the object, in the same place for every row: {told}; an even map would "
        f"score {rows[0].chance_energy:.2f}."
    ]
    changed = []
    for row in rows[1:]:
        difference = statistics.score(
            scores[row.mechanism]["energy_gradcam"] - scores[NONE]["energy_gradcam"], floor=-1, ceiling=1
        )
        if _clear(difference):
            changed.append(f"{row.mechanism} ({difference.mean:+.2f})")
    found.append(
        f"Against none, beyond noise: {', '.join(changed)}."
        if changed
        else "None of these differs from the bare backbone's beyond noise."
    )
    if spatial := [row for row in rows if row.through == "spatial map" and row.energy]:
        told = _named({row.mechanism: row.energy.mean for row in spatial if row.energy})
        found.append(
            f"The mechanisms' own spatial maps: {told}. A gate rarely closes where Grad-CAM is cut at "
            "zero, so these compare with an even map and with each other, not with Grad-CAM."
        )
    return found


def _named(values: Mapping[str, float]) -> str:
    """Each name with its value; of many, only the ends and the bare backbone."""
    order = list(values)
    if len(values) > MANY:
        ranked = sorted(values, key=lambda name: values[name])
        order = list(dict.fromkeys([*([NONE] if NONE in values else []), ranked[0], ranked[-1]]))
    told = ", ".join(f"{name} {values[name]:.2f}" for name in order)
    return told if len(order) == len(values) else f"{told}, the other {len(values) - len(order)} between"


def _what_it_costs(rows: Sequence[Row]) -> str:
    if len(rows) > MANY + 1:
        batch = max(rows[0].latency, key=int)
        dearest = max(rows[1:], key=lambda row: row.latency[batch].mean)
        largest = max(rows[1:], key=lambda row: row.extra_parameters)
        return (
            f"Time of a forward pass at batch {batch}, as a multiple of none: up to {dearest.latency[batch].mean:.2f}x "
            f"({dearest.mechanism}); parameters: up to {largest.extra_parameters:+,} ({largest.mechanism})."
        )
    told = []
    for row in rows[1:]:
        batch, found = max(row.latency.items(), key=lambda item: int(item[0]))
        told.append(f"{row.mechanism} {found.mean:.2f}x and {row.extra_parameters:+,} parameters")
    return f"Time of a forward pass at batch {batch}, as a multiple of none: {'; '.join(told)}."


def _clear(difference: Interval) -> bool:
    """Whether the interval leaves 0 out."""
    return difference.low > 0 or difference.high < 0


def _points(difference: Interval) -> str:
    return (
        f"{100 * difference.mean:+.1f} points (95 % interval {100 * difference.low:+.1f} to "
        f"{100 * difference.high:+.1f})"
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
