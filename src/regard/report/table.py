"""The table of results: columns, cells, the best of each column."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from regard.metrics.metric import Measure
from regard.report import GRADCAM, Interval, Row
from regard.report.numbers import DASH, MINUS, Scale, fixed, percent, short
from regard.report.plots import Look, strip

REFERENCES = ("none", "plain")


@dataclass(frozen=True)
class Column:
    """One column of the table.

    Args:
        key: names it in the page.
        group: columns beside each other with the same group share a heading.
        title, unit: of its heading.
        best: +1, larger is better; -1, smaller is better.
        value: a row's number, which also sorts; None where there is none.
        text: how the number is written.
        interval: (low, high) of the number, or None.
        note: what the column says, for the notes below.
        references: whether the reference rows can be best; for costs they trivially would.
        difference: whether the number is a difference from another row, whose interval is judged.
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
    difference: bool = False


@dataclass(frozen=True)
class Cell:
    """One cell of the table."""

    column: Column
    value: float | None
    text: str
    interval: str
    best: bool
    sign: str = ""  # "better", "worse" or "noise" for a difference
    strip: Markup | None = None


@dataclass(frozen=True)
class Line:
    """One row of the table."""

    look: Look
    domains: str
    cells: tuple[Cell, ...]
    through: str


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
                difference=True,
            )
            for key, title, of, note in (
                ("gain", "Against none", lambda row: row.gain, _GAIN),
                ("over-plain", "Against plain", lambda row: row.gain_over_plain, _OVER_PLAIN),
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
        _counted("parameters", "Parameters", "", lambda row: row.parameters, short, _PARAMETERS),
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
    return [column for column in found if any(column.value(row) is not None for row in rows)]


def lines(rows: Sequence[Row], shown: Sequence[Column], looks: dict[str, Look], measure: Measure) -> list[Line]:
    """The table's rows, references first, then from the best score down."""
    scale, sign = Scale(measure), -1 if measure.higher_is_better else 1
    ordered = sorted(
        rows,
        key=lambda row: (
            (REFERENCES.index(row.name), 0.0) if row.name in REFERENCES else (len(REFERENCES), sign * row.score.mean)
        ),
    )
    best = {column.key: _best(column, rows) for column in shown}
    ends = (min(row.score.low for row in rows), max(row.score.high for row in rows))
    base = next((row.score.mean for row in rows if row.name == REFERENCES[0]), ends[0])
    found = []
    for row in ordered:
        look = looks[row.name]
        cells = []
        for column in shown:
            drawn = None
            if column.key == "score":
                drawn = strip((row.score.mean, row.score.low, row.score.high), ends, base, look)
            cells.append(_cell(column, row, best[column.key], drawn, scale))
        domains = ", ".join(row.domains).replace("_", " ")
        found.append(Line(look, domains, tuple(cells), row.through))
    return found


def _cell(column: Column, row: Row, best: str | None, drawn: Markup | None, scale: Scale) -> Cell:
    value = column.value(row)
    if value is None:
        return Cell(column, None, DASH, "", False)
    text, ends = column.text(value), column.interval(row)
    interval = ""
    if ends is not None and ends[1] > ends[0]:
        low, high = column.text(ends[0]), column.text(ends[1])
        worded = any(sign in low + high for sign in ("+", MINUS))
        interval = f"{low} to {high}" if worded else f"{low}{DASH}{high}"
    sign = scale.better(*ends) if column.difference and ends is not None else ""
    eligible = column.references or row.name not in REFERENCES
    return Cell(column, value, text, interval, eligible and text == best, sign, drawn)


def _best(column: Column, rows: Sequence[Row]) -> str | None:
    """How the column's best number is written: rows that read the same share the mark."""
    values = [column.value(row) for row in rows if column.references or row.name not in REFERENCES]
    known = [value for value in values if value is not None]
    if len({column.text(value) for value in known}) < 2:
        return None
    return column.text(max(known, key=lambda value: column.best * value))


def _own(score: Callable[[Row], Interval | None]) -> Callable[[Row], Interval | None]:
    """A score of the mechanism's own map, where it has one."""
    return lambda row: None if row.through == GRADCAM else score(row)


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
    difference: bool = False,
) -> Column:
    def value(row: Row) -> float | None:
        found = interval(row)
        return None if found is None else found.mean

    def ends(row: Row) -> tuple[float, float] | None:
        found = interval(row)
        return None if found is None else (found.low, found.high)

    return Column(key, group, title, unit, best, value, text, ends, note, references, difference)


def _counted(
    key: str, title: str, unit: str, value: Callable[[Row], float | None], text: Callable[[float], str], note: str
) -> Column:
    return Column(key, "Cost", title, unit, -1, value, text, lambda row: None, note, references=False)


def _bytes(value: float) -> str:
    return f"{short(value)}B"


_OWN = "Own map on the object"
_CAM = "Grad-CAM on the object"

_MEAN = ", mean over the seeds. The strip shows the interval on one scale for all rows; its upright line is none."
_ACCURACY = f"Share of the test images that got the right class{_MEAN}"
_GAIN = (
    "{} minus that of none, the same backbone without attention, paired by seed. An interval that holds zero "
    "means that the difference is within noise."
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
_PARAMETERS = "Learned numbers of the whole model."
_FLOPS = "Floating point operations for one image, counted, not timed."
_LATENCY = (
    "Time of a forward pass as a multiple of none, measured in pairs in one run, median. Lower is better; it belongs "
    "to the machine that ran this."
)
_MEMORY = "Most memory held at once in one forward and backward pass."
