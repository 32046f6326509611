"""The table of results: columns, cells, the best of each column."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from regard.catalog.rows import NONE, PLAIN, REFERENCES
from regard.metrics.metric import Measure
from regard.report import CURVES, GRADCAM, OWN, Interval, Row
from regard.report.judging import Judge
from regard.report.looks import Look
from regard.report.numbers import DASH, MINUS, Scale, fixed, percent, short
from regard.report.strips import strip


@dataclass(frozen=True)
class Column:
    """One column of the table.

    Args:
        key: names it in the page.
        group: columns beside each other with the same group share a heading.
        title, unit: of its heading.
        best: +1, larger is better; -1, smaller is better; 0, neither is.
        value: a row's number, which also sorts; None where there is none.
        text: how the number is written.
        interval: (low, high) of the number, or None.
        note: what the column says, for the notes below.
        references: whether the reference rows can be best; for costs they trivially would.
        against: the reference row that the number is a difference from; it is judged and never best.
        aside: a second figure of a row, written where the interval stands; for numbers without one.
        exact: whether the number is counted, not measured.
    """

    key: str
    group: str
    title: str
    unit: str
    best: int
    value: Callable[[Row], float | None]
    text: Callable[[float], str]
    interval: Callable[[Row], tuple[float, float] | None]
    note: str
    references: bool = True
    against: str = ""
    aside: Callable[[Row], str] | None = None
    exact: bool = False


@dataclass(frozen=True)
class Cell:
    """One cell of the table."""

    column: Column
    value: float | None
    text: str
    interval: str
    best: bool
    sign: str = ""  # of a difference, as `judging.SIGNS` has them
    strip: Markup | None = None


@dataclass(frozen=True)
class Line:
    """One row of the table."""

    look: Look
    domains: str
    cells: tuple[Cell, ...]


def columns(rows: Sequence[Row], measure: Measure) -> list[Column]:
    """The columns in which at least one of these rows has a value."""
    scale = Scale(measure)
    best = 1 if measure.higher_is_better else -1
    score = _ACCURACY if measure.name == "accuracy" else f"{scale.title} on the test samples{_MEAN}"
    found = [
        _measured("score", "Quality", scale.title, measure.unit, best, scale.value, lambda row: row.score, score),
        *(
            _measured(
                key, "Quality", title, scale.difference_unit, best, scale.difference, of, note.format(scale.title),
                against=against,
            )
            for key, title, of, note, against in (
                ("gain", "Against none", lambda row: row.gain, _GAIN, NONE),
                ("over-plain", "Against plain", lambda row: row.gain_over_plain, _OVER_PLAIN, PLAIN),
            )
        ),
        _measured("ece", "Quality", "Calibration error", "%", -1, percent, lambda row: row.ece, _ECE),
        *(
            _measured(key, group, title, "%", 1, percent, of, note)
            for key, group, title, of, note in (
                ("energy", _OWN, "Energy", _own(lambda row: row.energy), _ENERGY_OWN),
                ("pointing", _OWN, "Pointing", _own(lambda row: row.pointing), _POINTING_OWN),
                ("energy-gradcam", _CAM, "Energy", lambda row: row.energy_gradcam, _ENERGY_CAM),
                ("pointing-gradcam", _CAM, "Pointing", lambda row: row.pointing_gradcam, _POINTING_CAM),
            )
        ),
        _counted("parameters", "Parameters", "", lambda row: row.parameters, short, _PARAMETERS, _extra),
        _counted("flops", "FLOPs", "per image", lambda row: row.flops, short, _FLOPS),
    ]  # fmt: skip
    for batch in sorted({batch for row in rows for batch in row.latency}, key=int):
        found.append(
            _measured(
                f"latency-{batch}", "Cost", f"Time, batch {batch}", "× none", -1, lambda value: fixed(value, 2),
                _latency(batch), _LATENCY, references=False,
            )
        )  # fmt: skip
    found.append(_counted("memory", "Memory", "peak", lambda row: row.peak_memory, _bytes, _MEMORY))
    found += [
        _measured(
            f"replaced-{name}", "Other maps in place of its own", title, scale.difference_unit, 0, scale.difference,
            _replaced(name), _REPLACED,
        )
        for name, title in (
            ("even", "Even"), ("mean", "Mean over queries"), ("images", "Mean over images"), ("shuffled", "Shuffled"),
        )
    ]  # fmt: skip
    found += [
        _measured(
            f"faithful-{of}-{curve}", "More faithful than a random map", f"{title}, {curve}", "area", 0, _area,
            _beyond(of, curve), _FAITHFUL,
        )
        for of, title in ((OWN, "Own map"), (GRADCAM, GRADCAM))
        for curve in CURVES
    ]  # fmt: skip
    return [column for column in found if any(column.value(row) is not None for row in rows)]


def ordered(rows: Sequence[Row], measure: Measure) -> list[Row]:
    """The order of rows everywhere: the references, then from the best score down; equal scores by name."""
    sign = -1 if measure.higher_is_better else 1
    return sorted(
        rows,
        key=lambda row: (
            (REFERENCES.index(row.name), 0.0, "")
            if row.name in REFERENCES
            else (len(REFERENCES), sign * row.score.mean, row.name)
        ),
    )


def lines(rows: Sequence[Row], shown: Sequence[Column], looks: dict[str, Look], judge: Judge) -> list[Line]:
    """The table's rows in their order."""
    named = {row.name: row for row in rows}
    best = {column.key: _best(column, rows, judge) for column in shown}
    ends = (min(row.score.low for row in rows), max(row.score.high for row in rows))
    base = named[NONE].score.mean if NONE in named else ends[0]
    found = []
    for row in ordered(rows, judge.scale.measure):
        look = looks[row.name]
        cells = []
        for column in shown:
            drawn = strip(row.score, ends, base, look) if column.key == "score" else None
            sign = judge.sign(row, named[column.against]) if column.against in named else ""
            cells.append(_cell(column, row, row.name in best[column.key], drawn, sign))
        domains = ", ".join(row.domains).replace("_", " ")
        found.append(Line(look, domains, tuple(cells)))
    return found


def _cell(column: Column, row: Row, best: bool, drawn: Markup | None, sign: str) -> Cell:
    value = column.value(row)
    if value is None:
        return Cell(column, None, DASH, "", False)
    text, ends = column.text(value), column.interval(row)
    beside = column.aside(row) if column.aside is not None else ""
    if ends is not None and ends[1] > ends[0]:
        low, high = column.text(ends[0]), column.text(ends[1])
        worded = any(sign in low + high for sign in ("+", MINUS))
        beside = f"{low} to {high}" if worded else f"{low}{DASH}{high}"
    return Cell(column, value, text, beside, best, sign, drawn)


def _best(column: Column, rows: Sequence[Row], judge: Judge) -> set[str]:
    """The names of the best rows of a column: of exact numbers those that read as the best, and none if all do; of
    measured ones the row whose interval lies apart from all others, if there is one and it is no score at chance.
    """
    if column.against or not column.best:
        return set()
    values = {
        row.name: value
        for row in rows
        if (column.references or row.name not in REFERENCES) and (value := column.value(row)) is not None
    }
    if len({column.text(value) for value in values.values()}) < 2:
        return set()
    first = max(values, key=lambda name: column.best * values[name])
    if column.exact:
        return {name for name, value in values.items() if column.text(value) == column.text(values[first])}
    ends = {row.name: found for row in rows if row.name in values and (found := column.interval(row)) is not None}
    low, high = ends[first]
    apart = low < high and all(
        high < other[0] or other[1] < low for name, other in ends.items() if name != first and name in values
    )
    by_luck = column.key == "score" and any(row.name == first and judge.at_chance(row) for row in rows)
    return {first} if apart and not by_luck else set()


def _own(score: Callable[[Row], Interval | None]) -> Callable[[Row], Interval | None]:
    """A score of the mechanism's own map, where it has one."""
    return lambda row: None if row.through == GRADCAM else score(row)


def _replaced(name: str) -> Callable[[Row], Interval | None]:
    return lambda row: row.replaced.get(name)


def _beyond(of: str, curve: str) -> Callable[[Row], Interval | None]:
    """By how much a map is more faithful than a random one, with ROAD's imputation."""

    def found(row: Row) -> Interval | None:
        tested = row.faithful.get(f"{of}, {curve}, road")
        return None if tested is None else tested.beyond

    return found


def _area(value: float) -> str:
    return fixed(value, 3, signed=True)


def _latency(batch: str) -> Callable[[Row], Interval | None]:
    return lambda row: row.latency.get(batch)


def _measured(
    key: str,
    group: str,
    title: str,
    unit: str,
    best: int,
    text: Callable[[float], str],
    interval: Callable[[Row], Interval | None],
    note: str,
    references: bool = True,
    against: str = "",
) -> Column:
    def value(row: Row) -> float | None:
        found = interval(row)
        return None if found is None else found.mean

    def ends(row: Row) -> tuple[float, float] | None:
        found = interval(row)
        return None if found is None else (found.low, found.high)

    return Column(key, group, title, unit, best, value, text, ends, note, references, against)


def _counted(
    key: str,
    title: str,
    unit: str,
    value: Callable[[Row], float | None],
    text: Callable[[float], str],
    note: str,
    aside: Callable[[Row], str] | None = None,
) -> Column:
    return Column(key, "Cost", title, unit, -1, value, text, lambda row: None, note, False, "", aside, exact=True)


def _extra(row: Row) -> str:
    return "" if row.name == NONE else short(row.extra_parameters, signed=True)


def _bytes(value: float) -> str:
    return f"{short(value)}B"


_OWN = "Own map on the object"
_CAM = "Grad-CAM on the object"

_MEAN = (
    ", mean over the seeds. The strip shows the interval on one scale for all rows, a dot for each seed, and none as "
    "an upright line."
)
_ACCURACY = f"Share of the test images that got the right class{_MEAN}"
_GAIN = (
    "{} minus that of none, the same backbone without attention, paired by seed. It is called beyond noise if zero is "
    "outside the interval even when that is widened for all comparisons of this run (Bonferroni); perhaps, if zero is "
    "outside the interval shown, but not the widened one."
)
_OVER_PLAIN = (
    "The same against plain: no attention, but as many extra parameters as the largest mechanism of this run, spent on "
    "ordinary convolutions at the same places. A gain over none that is no gain over plain may be capacity alone."
)
_ECE = (
    "Expected calibration error: how far the stated confidence is from the share that is right. At 5 %, answers given "
    "with 90 % confidence are right about 85 % or 95 % of the time. Lower is better."
)
_ENERGY_OWN = (
    "Share of the mechanism's own spatial map that lies inside the object. Only mechanisms with such a map have one; "
    "it never falls to zero as Grad-CAM does, so compare it with an even map and with other own maps only."
)
_POINTING_OWN = "How often the highest point of the mechanism's own spatial map lies inside the object."
_ENERGY_CAM = (
    "The same share for a Grad-CAM map (Selvaraju et al. 2017): the positions whose features raise the predicted "
    "class's score, taken at the same place for every row. So rows without a spatial map, none among them, can be "
    "compared."
)
_POINTING_CAM = (
    "How often the highest point of the Grad-CAM map lies inside the object (the pointing game, Zhang et al. 2016)."
)
_PARAMETERS = "Learned numbers of the whole model; below, how many more than none has."
_FLOPS = "Floating point operations for one image, counted, not timed."
_LATENCY = (
    "Time of a forward pass as a multiple of none, measured in pairs in one run, median. Lower is better; it belongs "
    "to the machine that ran this."
)
_REPLACED = (
    "Whether the row's own maps matter: its score when all of them are replaced at once, minus its score as it is, on "
    "the same part of the test samples. Even: the weights are equal, the values of a gate their mean. Mean over "
    "queries: each place gets the mean of what all places attend to; of a gate the mean over its positions. Mean over "
    "images: every image gets the mean map. Shuffled: the same values in another order. A row that loses nothing does "
    "not need what its maps show."
)
_FAITHFUL = (
    "Deletion: the pixels of the largest weights are taken away first, and what the network says of the class should "
    "fall fast. Insertion: they are put back first, and it should rise fast (Petsiuk et al. 2018). Shown is by how "
    "much the area under the curve is better than with a random map of the same grid, on the images of the gallery; in "
    "place of missing pixels stands ROAD's noisy linear imputation (Rong et al. 2022). Above 0 is more faithful than "
    "random."
)
_MEMORY = "Most memory held at once in one forward and backward pass."
