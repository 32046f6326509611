"""Plots as inline SVG. Colours are classes of the style sheet, so that one drawing serves light and dark.

Every row keeps one colour and one shape through the whole report; nothing is told by colour alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from markupsafe import Markup

from regard.report.labels import LETTER, LINE, place
from regard.report.numbers import decimals, fixed, ticks

WIDTH, HEIGHT = 380, 300
MOST_LABELLED = 12
LONGEST_LABEL = 26  # letters
LEFT, RIGHT, TOP, BOTTOM = 40, 16, 26, 40
HUES = 8

_SHAPES = (
    "M-4.2,0a4.2,4.2 0 1,0 8.4,0a4.2,4.2 0 1,0 -8.4,0z",  # disc
    "M0,-5L4.8,3.6H-4.8z",  # triangle
    "M0,-5.4L5.4,0L0,5.4L-5.4,0z",  # diamond
    "M-3.9,-3.9H3.9V3.9H-3.9z",  # square
    "M0,5L4.8,-3.6H-4.8z",  # triangle, point down
    "M-1.7,-5H1.7V-1.7H5V1.7H1.7V5H-1.7V1.7H-5V-1.7H-1.7z",  # plus
    "M0,-5.2L4.5,-2.6V2.6L0,5.2L-4.5,2.6V-2.6z",  # hexagon
)


@dataclass(frozen=True)
class Look:
    """The style sheet class and the shape of one row in all drawings."""

    name: str
    hue: str
    shape: str
    reference: bool


@dataclass(frozen=True)
class Point:
    """A row in a plot; each of x and y is (middle, low, high)."""

    look: Look
    x: tuple[float, float, float]
    y: tuple[float, float, float]
    title: str


def looks(names: Sequence[str], references: Sequence[str]) -> dict[str, Look]:
    """A look for each row: grey for references, then as many hues as there are, each time with other shapes."""
    found, index = {}, 0
    for name in names:
        if name in references:
            shape = _SHAPES[0] if name == references[0] else _SHAPES[3]
            found[name] = Look(name, "ref" if name == references[0] else "ref2", shape, True)
        else:
            found[name] = Look(name, f"hue{index % HUES}", _SHAPES[index % len(_SHAPES)], False)
            index += 1
    return found


def marker(look: Look) -> Markup:
    """The row's sign, for tables and legends."""
    return Markup('<svg class="mark {}" viewBox="-7 -7 14 14" aria-hidden="true"><path d="{}"/></svg>').format(
        look.hue, look.shape
    )


def strip(value: tuple[float, float, float], ends: tuple[float, float], reference: float, look: Look) -> Markup:
    """An interval on a scale that a whole column shares, with a line where the reference row is."""
    width, height = 96.0, 16.0
    low, high = ends
    span = (high - low) or 1.0

    def at(number: float) -> str:
        return f"{5 + (width - 10) * (number - low) / span:.1f}"

    middle, lower, upper = value
    return Markup(
        '<svg class="strip {hue}" viewBox="0 0 {w:g} {h:g}" aria-hidden="true">'
        '<line class="base" x1="{r}" x2="{r}" y1="0" y2="{h:g}"/><line class="bar" x1="{a}" x2="{b}" y1="8" y2="8"/>'
        '<path d="{d}" transform="translate({m},8) scale(.8)"/></svg>'
    ).format(hue=look.hue, w=width, h=height, r=at(reference), a=at(lower), b=at(upper), m=at(middle), d=look.shape)


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


def _frame(
    x: _Axis, y: _Axis, x_label: str, y_label: str, x_text: Callable[[float, int], str], whole: bool = False
) -> list[Markup]:
    parts = [Markup('<text class="axis" x="0" y="11">{}</text>').format(y_label)]
    marks = ticks(y.low, y.high)
    for mark in marks:
        parts.append(
            Markup(
                '<line class="grid" x1="{a:g}" x2="{b:g}" y1="{y:.1f}" y2="{y:.1f}"/>'
                '<text class="tick" x="{t:g}" y="{ty:.1f}" text-anchor="end">{text}</text>'
            ).format(
                a=LEFT, b=WIDTH - RIGHT, y=y.at(mark), t=LEFT - 7, ty=y.at(mark) + 4, text=fixed(mark, decimals(marks))
            )
        )
    marks = ticks(x.low, x.high, 4)
    if whole:
        marks = [mark for mark in marks if mark == int(mark)]
    base = HEIGHT - BOTTOM
    parts.append(
        Markup('<line class="base" x1="{:g}" x2="{:g}" y1="{:g}" y2="{:g}"/>').format(LEFT, WIDTH - RIGHT, base, base)
    )
    for mark in marks:
        parts.append(
            Markup(
                '<line class="base" x1="{x:.1f}" x2="{x:.1f}" y1="{a:g}" y2="{b:g}"/>'
                '<text class="tick" x="{x:.1f}" y="{t:g}" text-anchor="middle">{text}</text>'
            ).format(x=x.at(mark), a=base, b=base + 4, t=base + 17, text=x_text(mark, 0 if whole else decimals(marks)))
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
    x_text: Callable[[float, int], str] = fixed,
    y_floor: float = 0.0,
    y_ceiling: float = 100.0,
    higher_is_better: bool = True,
) -> Markup:
    """Labelled points with error bars in both directions.

    Of more than `MOST_LABELLED` points only the references have a label, and those that nothing beats at their cost;
    the others have their bars in the background, and their names where one points at them.

    Args:
        points: one a row.
        label: the whole plot in words, for those who do not see it.
        x_label, y_label: what the axes show.
        x_text: how a tick of the x axis is written, from its value and the digits it needs.
        y_floor, y_ceiling: the least and the largest y that can be.
        higher_is_better: whether a larger y is the better one.
    """
    x = _axis([end for point in points for end in point.x], LEFT + 4, WIDTH - RIGHT - 4, 0, math.inf)
    y = _axis([end for point in points for end in point.y], HEIGHT - BOTTOM - 6, TOP + 4, y_floor, y_ceiling)
    parts = _frame(x, y, x_label, y_label, x_text)
    centres = [(x.at(point.x[0]), y.at(point.y[0])) for point in points]
    bars = [
        (x.at(point.x[1]), y.at(point.y[2]), x.at(point.x[2]), y.at(point.y[1])) for point in points
    ]  # left, top, right, bottom
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
        text = _label(brief(point.look.name), (cx, cy), spots[index]) if index in spots else Markup("")
        parts.append(
            Markup(
                '<g class="{hue}{crowd}" data-m="{name}"><title>{title}</title>{text}'
                '<line class="bar" x1="{left:.1f}" x2="{right:.1f}" y1="{cy:.1f}" y2="{cy:.1f}"/>'
                '<line class="bar" x1="{cx:.1f}" x2="{cx:.1f}" y1="{top:.1f}" y2="{bottom:.1f}"/>'
                '<path class="dot" d="{shape}" transform="translate({cx:.1f},{cy:.1f})"/></g>'
            ).format(
                hue=point.look.hue, crowd="" if index in spots else " crowd", name=point.look.name, title=point.title,
                text=text, left=left, right=right, top=top, bottom=bottom, cx=cx, cy=cy, shape=point.look.shape,
            )
        )  # fmt: skip
    return _svg(label, parts)


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
) -> Markup | None:
    """One figure over the epochs: mean over the seeds and the span between them.

    Args:
        series: each row's look and its histories, one list of epochs a seed.
        key: which figure of an epoch's record.
        label: the whole plot in words.
        y_label: what the y axis shows.
        factor: what the figure is multiplied by (100 for percent).
        floor: the least value that the y axis may show.

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
    parts = _frame(x, y, "epoch", y_label, fixed, whole=True)
    for look, line in sorted(lines, key=lambda item: not item[0].reference):
        upper = [(x.at(epoch), y.at(max(values))) for epoch, values in line]
        lower = [(x.at(epoch), y.at(min(values))) for epoch, values in reversed(line)]
        middle = [(x.at(epoch), y.at(fmean(values))) for epoch, values in line]
        last = line[-1]
        title = f"{look.name}: {fixed(fmean(last[1]), 2)} after epoch {last[0]}, mean of {len(last[1])}"
        parts.append(
            Markup(
                '<g class="{hue}" data-m="{name}"><title>{title}</title><polygon class="band" points="{band}"/>'
                '<polyline class="curve" points="{line}"/>'
                '<path class="dot" d="{shape}" transform="translate({ex:.1f},{ey:.1f}) scale(.85)"/></g>'
            ).format(
                hue=look.hue, name=look.name, title=title, band=_coordinates([*upper, *lower]),
                line=_coordinates(middle), shape=look.shape, ex=middle[-1][0], ey=middle[-1][1],
            )
        )  # fmt: skip
    return _svg(label, parts)


def _coordinates(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
