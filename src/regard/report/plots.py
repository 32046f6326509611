"""Plots as inline SVG. Colours are classes of the style sheet, so that one drawing serves light and dark.

Nothing is told by colour alone: each row has a shape of its own colour, and its lines have dashes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from markupsafe import Markup

from regard.report.labels import LETTER, LINE, place
from regard.report.looks import Look
from regard.report.numbers import fixed, ticks, written

WIDTH, HEIGHT = 380, 300
MOST_LABELLED = 12
LONGEST_LABEL = 26  # letters
LEFT, RIGHT, TOP, BOTTOM = 44, 16, 26, 40
MARKER = 10.0  # between the middles of two markers that stand side by side
FARTHEST = 26.0  # that a marker may be moved


@dataclass(frozen=True)
class Point:
    """A row in a plot; each of x and y is (middle, low, high), `seeds` the y of each seed."""

    look: Look
    x: tuple[float, float, float]
    y: tuple[float, float, float]
    title: str
    seeds: tuple[float, ...] = ()


@dataclass(frozen=True)
class _Axis:
    """The map from data to pixels along one axis."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        return self.start + (self.end - self.start) * (value - self.low) / (self.high - self.low)


def _axis(values: Sequence[float], start: float, end: float, floor: float, ceiling: float) -> _Axis:
    low, high = min(values), max(values)
    margin = 0.07 * (high - low) or 0.05 * abs(high) or 0.5
    low, high = max(floor, low - margin), min(ceiling, high + margin)
    return _Axis(low, high if high > low else low + 1, start, end)


def _near(triples: Sequence[tuple[float, float, float]]) -> list[float]:
    """The middles and the ends of intervals, without ends that lie so far out that they would crowd the middles."""
    middles = [middle for middle, _, _ in triples]
    reach = (max(middles) - min(middles)) or 0.1 * abs(max(middles)) or 1.0
    return [min(max(end, min(middles) - reach), max(middles) + reach) for triple in triples for end in triple]


def _frame(
    x: _Axis, y: _Axis, x_label: str, y_label: str, x_text: Callable[[Sequence[float]], list[str]], last: int = 0
) -> list[Markup]:
    """The axes; with `last` the x axis counts in whole numbers up to that."""
    parts = [Markup('<text class="axis" x="0" y="11">{}</text>').format(y_label)]
    marks = ticks(y.low, y.high)
    for mark, text in zip(marks, written(marks), strict=True):
        parts.append(
            Markup(
                '<line class="grid" x1="{a:g}" x2="{b:g}" y1="{y:.1f}" y2="{y:.1f}"/>'
                '<text class="tick" x="{t:g}" y="{ty:.1f}" text-anchor="end">{text}</text>'
            ).format(a=LEFT, b=WIDTH - RIGHT, y=y.at(mark), t=LEFT - 7, ty=y.at(mark) + 4, text=text)
        )
    marks = ticks(x.low, x.high, 4)
    if last:
        marks = [mark for mark in marks if mark == int(mark) <= last]
    texts = [f"{mark:.0f}" for mark in marks] if last else x_text(marks)
    base = HEIGHT - BOTTOM
    parts.append(
        Markup('<line class="base" x1="{:g}" x2="{:g}" y1="{:g}" y2="{:g}"/>').format(LEFT, WIDTH - RIGHT, base, base)
    )
    for mark, text in zip(marks, texts, strict=True):
        parts.append(
            Markup(
                '<line class="base" x1="{x:.1f}" x2="{x:.1f}" y1="{a:g}" y2="{b:g}"/>'
                '<text class="tick" x="{x:.1f}" y="{t:g}" text-anchor="middle">{text}</text>'
            ).format(x=x.at(mark), a=base, b=base + 4, t=base + 17, text=text)
        )
    parts.append(
        Markup('<text class="axis" x="{:g}" y="{:g}" text-anchor="end">{}</text>').format(
            WIDTH - RIGHT, HEIGHT - 5, x_label
        )
    )
    return parts


def _svg(label: str, parts: Sequence[Markup]) -> Markup:
    return Markup('<svg class="plot" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        WIDTH, HEIGHT, label, Markup("").join(parts)
    )


def scatter(
    points: Sequence[Point],
    *,
    label: str,
    x_label: str,
    y_label: str,
    x_text: Callable[[Sequence[float]], list[str]] = written,
    y_floor: float = 0.0,
    y_ceiling: float = 100.0,
    higher_is_better: bool = True,
) -> Markup:
    """Labelled points with error bars in both directions.

    Of more than `MOST_LABELLED` points only the references have a label, and those that nothing beats at their cost;
    the others have their bars in the background, and their names where one points at them. Points that would cover
    each other stand side by side.

    Args:
        points: one a row.
        label: the whole plot in words, for those who do not see it.
        x_label, y_label: what the axes show.
        x_text: how the ticks of the x axis are written.
        y_floor, y_ceiling: the least and the largest y that can be.
        higher_is_better: whether a larger y is the better one.
    """
    x = _axis(_near([point.x for point in points]), LEFT + 4, WIDTH - RIGHT - 4, 0, math.inf)
    y = _axis(
        [end for point in points for end in (*point.y, *point.seeds)], HEIGHT - BOTTOM - 6, TOP + 4, y_floor, y_ceiling
    )
    parts = _frame(x, y, x_label, y_label, x_text)
    true = [(x.at(point.x[0]), y.at(point.y[0])) for point in points]
    inside = [(max(point.x[1], x.low), min(point.x[2], x.high)) for point in points]
    centres = beside(true, LEFT + 4, WIDTH - RIGHT + 8)
    bars = [  # left, top, right, bottom; they move with their point
        (
            max(x.start, x.at(low) + now[0] - was[0]),
            y.at(point.y[2]),
            min(x.end, x.at(high) + now[0] - was[0]),
            y.at(point.y[1]),
        )
        for point, (low, high), now, was in zip(points, inside, centres, true, strict=True)
    ]
    room = (LEFT, TOP - 8, WIDTH - 2, HEIGHT - BOTTOM)
    named = _labelled(points, 1 if higher_is_better else -1)
    placed = place(
        [brief(points[i].look.name) for i in named],
        [centres[i] for i in named],
        [bars[i] for i in named],
        room,
        [centre for i, centre in enumerate(centres) if i not in named],
    )
    spots = dict(zip(named, placed, strict=True))
    for index, (point, (cx, cy), (left, top, right, bottom)) in enumerate(zip(points, centres, bars, strict=True)):
        seeds = Markup("").join(
            Markup('<circle class="seed" cx="{:.1f}" cy="{:.1f}" r="1.6"/>').format(cx, y.at(seed))
            for seed in point.seeds
            if len(point.seeds) > 1
        )
        text = _label(brief(point.look.name), (cx, cy), spots[index]) if index in spots else Markup("")
        parts.append(
            Markup(
                '<g class="{hue}{crowd}" data-m="{name}"><title>{title}</title>{text}'
                '<line class="bar" x1="{left:.1f}" x2="{right:.1f}" y1="{cy:.1f}" y2="{cy:.1f}"/>'
                '<line class="bar" x1="{cx:.1f}" x2="{cx:.1f}" y1="{top:.1f}" y2="{bottom:.1f}"/>{seeds}'
                '<path class="dot" d="{shape}" transform="translate({cx:.1f},{cy:.1f})"/></g>'
            ).format(
                hue=point.look.hue, crowd="" if index in spots else " crowd", name=point.look.name, title=point.title,
                text=text, seeds=seeds, left=left, right=right, top=top, bottom=bottom, cx=cx, cy=cy,
                shape=point.look.shape,
            )
        )  # fmt: skip
    return _svg(label, parts)


def beside(centres: Sequence[tuple[float, float]], low: float, high: float) -> list[tuple[float, float]]:
    """Moves points that would cover each other apart, along x and as little as that takes; crowds stay where they are.

    Args:
        centres: the points.
        low, high: where they may be along x, as far as there is room.
    """
    groups: list[list[int]] = []
    for index in sorted(range(len(centres)), key=lambda index: centres[index]):
        near = [
            group
            for group in groups
            if any(math.dist(centres[index], centres[other]) < 0.75 * MARKER for other in group)
        ]
        groups = [group for group in groups if group not in near]
        groups.append([*(other for group in near for other in group), index])
    found = list(centres)
    for group in groups:
        if len(group) == 1:
            continue
        reach = MARKER * (len(group) - 1) / 2
        middle = sum(centres[index][0] for index in group) / len(group)
        middle = max(low + reach, min(high - reach, middle))
        order = sorted(group, key=lambda index: (centres[index][0], index))
        places = [middle - reach + MARKER * step for step in range(len(order))]
        if max(abs(x - centres[index][0]) for x, index in zip(places, order, strict=True)) > FARTHEST:
            continue
        for x, index in zip(places, order, strict=True):
            found[index] = (x, centres[index][1])
    return found


def brief(name: str) -> str:
    """The name of a row, shortened for a plot."""
    return name if len(name) <= LONGEST_LABEL else f"{name[: LONGEST_LABEL - 1]}…"


def _labelled(points: Sequence[Point], up: int) -> list[int]:
    """Which points have a label: all, or of many the references and those that no other beats at their cost."""
    if len(points) <= MOST_LABELLED:
        return list(range(len(points)))
    return [
        index
        for index, point in enumerate(points)
        if point.look.reference
        or not any(
            other.x[0] <= point.x[0]
            and up * other.y[0] >= up * point.y[0]
            and (other.x[0], other.y[0]) != (point.x[0], point.y[0])
            for other in points
        )
    ]


def _label(name: str, centre: tuple[float, float], spot: tuple[float, float]) -> Markup:
    """A point's name, with a line to the point where it is not beside it."""
    (cx, cy), (lx, ly) = centre, spot
    near = (min(max(cx, lx), lx + len(name) * LETTER), min(max(cy, ly), ly + LINE))
    leader = Markup("")
    if math.dist(near, (cx, cy)) > 14:
        leader = Markup('<line class="leader" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>').format(cx, cy, *near)
    return leader + Markup('<text class="label" x="{:.1f}" y="{:.1f}">{}</text>').format(lx, ly + LINE - 3, name)


def curves(
    series: Sequence[tuple[Look, Sequence[Sequence[Mapping[str, float]]]]],
    key: str,
    *,
    label: str,
    y_label: str,
    factor: float,
    floor: float = 0.0,
    x_label: str = "epoch",
) -> Markup | None:
    """One figure over the epochs: mean over the seeds and the span between them.

    Args:
        series: each row's look and its histories, one list of epochs a seed.
        key: which figure of an epoch's record.
        label: the whole plot in words.
        y_label: what the y axis shows.
        factor: what the figure is multiplied by (100 for percent).
        floor: the least value that the y axis may show.
        x_label: what `epoch` counts.

    Returns: None if no history has the figure.
    """
    lines = []
    for look, histories in series:
        by_epoch: dict[int, list[float]] = {}
        for record in (record for history in histories for record in history):
            if record.get(key) is not None and math.isfinite(record[key]):
                by_epoch.setdefault(int(record["epoch"]), []).append(factor * record[key])
        if by_epoch:
            lines.append((look, sorted(by_epoch.items())))
    if not lines:
        return None
    epochs = [epoch for _, line in lines for epoch, _ in line]
    x = _Axis(min(epochs), max(max(epochs), min(epochs) + 1), LEFT + 6, WIDTH - RIGHT - 8)
    y = _axis(
        [value for _, line in lines for _, values in line for value in values],
        HEIGHT - BOTTOM - 4,
        TOP + 4,
        floor,
        math.inf,
    )
    parts = _frame(x, y, x_label, y_label, written, last=max(epochs))
    lines.sort(key=lambda item: not item[0].reference)
    ends = [(x.at(line[-1][0]), y.at(fmean(line[-1][1]))) for _, line in lines]
    for (look, line), end in zip(lines, beside(ends, LEFT + 6, WIDTH), strict=True):
        upper = [(x.at(epoch), y.at(max(values))) for epoch, values in line]
        lower = [(x.at(epoch), y.at(min(values))) for epoch, values in reversed(line)]
        middle = [(x.at(epoch), y.at(fmean(values))) for epoch, values in line]
        last, where = line[-1], "after epoch" if x_label == "epoch" else f"at {x_label}"
        title = f"{look.name}: {fixed(fmean(last[1]), 2)} {where} {last[0]}, mean of {len(last[1])}"
        parts.append(
            Markup(
                '<g class="{hue} {dash}" data-m="{name}"><title>{title}</title><polygon class="band" points="{band}"/>'
                '<polyline class="curve" points="{line}"/>'
                '<path class="dot" d="{shape}" transform="translate({ex:.1f},{ey:.1f}) scale(.85)"/></g>'
            ).format(
                hue=look.hue, dash=look.dash, name=look.name, title=title, band=_coordinates([*upper, *lower]),
                line=_coordinates(middle), shape=look.shape, ex=end[0], ey=end[1],
            )
        )  # fmt: skip
    return _svg(label, parts)


def _coordinates(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
