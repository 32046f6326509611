"""The plots of a report: the score against each cost, and the course of the training."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

from markupsafe import Markup

from regard.report import CURVES, GRADCAM, OWN, Row, plots
from regard.report.looks import Look
from regard.report.numbers import Scale, fixed, prefixed, written


def against_costs(rows: Sequence[Row], looks: Mapping[str, Look], scale: Scale) -> list[tuple[str, Markup]]:
    """The plots of the score against each cost."""
    found = []
    for batch in sorted({batch for row in rows for batch in row.latency}, key=int):
        costs = [(row, row.latency[batch]) for row in rows if batch in row.latency]
        drawn = [
            _point(
                row, looks, scale, (cost.mean, cost.low, cost.high),
                f"{fixed(cost.mean, 2)} × the time of none ({fixed(cost.low, 2)} to {fixed(cost.high, 2)})",
            )
            for row, cost in costs
        ]  # fmt: skip
        caption = f"{scale.title} against time, batch {batch}"
        found.append((caption, _scatter(drawn, scale, caption, "time of a forward pass, × none")))
    drawn = [
        _point(row, looks, scale, (row.extra_parameters,) * 3, f"{row.extra_parameters:,} parameters more than none")
        for row in rows
    ]
    caption = f"{scale.title} against added parameters"
    found.append((caption, _scatter(drawn, scale, caption, "parameters more than none", prefixed)))
    return found


def _point(row: Row, looks: Mapping[str, Look], scale: Scale, x: tuple[float, float, float], cost: str) -> plots.Point:
    interval = row.score
    score = (
        f"{scale.measure.title} {scale.phrase(interval.mean)} ({scale.value(interval.low)} to "
        f"{scale.value(interval.high)})"
    )
    y = (scale.factor * interval.mean, scale.factor * interval.low, scale.factor * interval.high)
    seeds = tuple(scale.factor * value for value in interval.values)
    return plots.Point(looks[row.name], x, y, f"{row.name}: {score}, {cost}", seeds)


def _scatter(
    drawn: Sequence[plots.Point],
    scale: Scale,
    caption: str,
    x_label: str,
    x_text: Callable[[Sequence[float]], list[str]] = written,
) -> Markup:
    return plots.scatter(
        drawn,
        label=f"{caption}. " + "; ".join(point.title for point in drawn),
        x_label=x_label,
        y_label=scale.axis,
        x_text=x_text,
        y_floor=_floor(end for point in drawn for end in point.y),
        y_ceiling=100.0 if scale.share else math.inf,
        higher_is_better=scale.measure.higher_is_better,
    )


def _floor(values: Iterable[float]) -> float:
    """The lower bound of an axis: 0, or no bound if there are negative values."""
    return 0.0 if min(values, default=0.0) >= 0 else -math.inf


def faithful(rows: Sequence[Row], looks: Mapping[str, Look]) -> list[tuple[str, Markup]]:
    """The deletion and insertion curves of each row's own map, of rows without one of Grad-CAM."""
    found = []
    for kind, x_label in zip(CURVES, ("% of the pixels taken away", "% of the pixels put back"), strict=True):
        series = []
        for row in rows:
            of = OWN if f"{OWN}, {kind}, road" in row.faithful else GRADCAM
            tested = row.faithful.get(f"{of}, {kind}, road")
            if tested is not None:
                steps = len(tested.curve) - 1
                points = [{"epoch": 100 * i / steps, "value": value} for i, value in enumerate(tested.curve)]
                series.append((looks[row.name], [points]))
        values = [point["value"] for _, (points,) in series for point in points]
        drawn = plots.curves(
            series,
            "value",
            label=f"{kind} curves, one line a row",
            y_label="what the network says of the class",
            factor=1.0,
            floor=_floor(values),
            x_label=x_label,
        )
        if drawn is not None:
            found.append((kind.capitalize(), drawn))
    return found


def while_training(rows: Sequence[Row], looks: Mapping[str, Look], scale: Scale) -> list[tuple[str, Markup]]:
    if max((len(seed) for row in rows for seed in row.history), default=0) < 2:
        return []
    series = [(looks[row.name], row.history) for row in rows]
    found = []
    for key, caption, y_label, factor in (
        ("score", f"Test {scale.measure.title} while training", scale.axis, scale.factor),
        ("loss", "Training loss", "loss", 1.0),
    ):
        values = [epoch[key] for row in rows for seed in row.history for epoch in seed if epoch.get(key) is not None]
        drawn = plots.curves(
            series,
            key,
            label=f"{caption}, one line a row, by epoch",
            y_label=y_label,
            factor=factor,
            floor=_floor(values),
        )
        if drawn is not None:
            found.append((caption, drawn))
    return found
