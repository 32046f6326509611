"""The table of results: columns, cells, the best of each column."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from regard.report.numbers import DASH, MINUS, fixed, percent, points, short
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
        ends: how the interval's ends are written.
        references: whether the reference rows can be best; for costs they trivially would.
        note: what the column says, for the notes below.
    """

    key: str
    group: str
    title: str
    unit: str
    best: int
    value: Callable[[Any], float | None]
    text: Callable[[float], str]
    interval: Callable[[Any], tuple[float, float] | None]
    ends: Callable[[float], str]
    note: str
    references: bool = True


@dataclass(frozen=True)
class Cell:
    """What stands in one cell."""

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


def columns(rows: Sequence[Any]) -> list[Column]:
    """The columns that these rows have something to say in."""
    found = [
        _measured("accuracy", "Quality", "Accuracy", "%", 1, percent, lambda row: row.accuracy, _ACCURACY),
        _measured("gain", "Quality", "Against none", "points", 1, points, lambda row: row.gain, _GAIN),
        _measured("over-plain", "Quality", "Against plain", "points", 1, points, _get("gain_over_plain"), _OVER_PLAIN),
        _measured("ece", "Quality", "Calibration error", "%", -1, percent, lambda row: row.ece, _ECE),
        _measured("energy", "Own map on the object", "Energy", "%", 1, percent, _own("energy"), _ENERGY_OWN),
        _measured("pointing", "Own map on the object", "Pointing", "%", 1, percent, _own("pointing"), _POINTING_OWN),
        _measured("energy-gradcam", "Grad-CAM on the object", "Energy", "%", 1, percent, _cam("energy"), _ENERGY_CAM),
        _measured(
            "pointing-gradcam",
            "Grad-CAM on the object",
            "Pointing",
            "%",
            1,
            percent,
            _cam("pointing"),
            _POINTING_CAM,
        ),
        _counted("parameters", "Parameters", "", lambda row: row.parameters, short, _PARAMETERS),
        _counted("flops", "FLOPs", "per image", lambda row: row.flops, short, _FLOPS),
    ]
    for batch in sorted({batch for row in rows for batch in row.latency or ()}, key=int):
        found.append(
            _measured(
                f"latency-{batch}", "Cost", f"Time, batch {batch}", "× none", -1, lambda value: fixed(value, 2),
                _latency(batch), _LATENCY, references=False,
            )
        )  # fmt: skip
    found.append(_counted("memory", "Memory", "peak", lambda row: row.peak_memory, _bytes, _MEMORY))
    return [column for column in found if any(column.value(row) is not None for row in rows)]


def lines(rows: Sequence[Any], shown: Sequence[Column], looks: dict[str, Look]) -> list[Line]:
    """The table's rows, references first, then by accuracy."""
    ordered = sorted(
        rows,
        key=lambda row: (
            (REFERENCES.index(row.mechanism), 0.0)
            if row.mechanism in REFERENCES
            else (len(REFERENCES), -row.accuracy.mean)
        ),
    )
    best = {column.key: _best(column, rows) for column in shown}
    ends = (min(row.accuracy.low for row in rows), max(row.accuracy.high for row in rows))
    base = next((row.accuracy.mean for row in rows if row.mechanism == REFERENCES[0]), ends[0])
    found = []
    for row in ordered:
        look = looks[row.mechanism]
        cells = []
        for column in shown:
            drawn = None
            if column.key == "accuracy":
                drawn = strip((row.accuracy.mean, row.accuracy.low, row.accuracy.high), ends, base, look)
            cells.append(_cell(column, row, best[column.key], drawn))
        domains = ", ".join(row.domains).replace("_", " ")
        found.append(Line(look, domains, tuple(cells), row.through))
    return found


def _cell(column: Column, row: Any, best: str | None, drawn: Markup | None) -> Cell:
    value = column.value(row)
    if value is None:
        return Cell(column, None, DASH, "", False)
    text, ends = column.text(value), column.interval(row)
    interval = ""
    if ends is not None and ends[1] > ends[0]:
        low, high = column.ends(ends[0]), column.ends(ends[1])
        worded = any(sign in low + high for sign in ("+", MINUS))
        interval = f"{low} to {high}" if worded else f"{low}{DASH}{high}"
    sign = sign_of(ends) if column.unit == "points" and ends is not None else ""
    eligible = column.references or row.mechanism not in REFERENCES
    return Cell(column, value, text, interval, eligible and text == best, sign, drawn)


def sign_of(ends: tuple[float, float]) -> str:
    """What the interval of a difference says: "better", "worse" or "noise"."""
    return "better" if ends[0] > 0 else "worse" if ends[1] < 0 else "noise"


def _best(column: Column, rows: Sequence[Any]) -> str | None:
    """How the column's best number is written: rows that read the same share the mark."""
    values = [column.value(row) for row in rows if column.references or row.mechanism not in REFERENCES]
    known = [value for value in values if value is not None]
    if len({column.text(value) for value in known}) < 2:
        return None
    return column.text(max(known, key=lambda value: column.best * value))


def _get(name: str) -> Callable[[Any], Any]:
    return lambda row: getattr(row, name, None)


def _own(name: str) -> Callable[[Any], Any]:
    """A score of the mechanism's own map."""
    return lambda row: None if row.through == "Grad-CAM" else getattr(row, name)


def _cam(name: str) -> Callable[[Any], Any]:
    """The score through Grad-CAM, which every row has."""
    return lambda row: (
        getattr(row, f"{name}_gradcam", None) or (getattr(row, name) if row.through == "Grad-CAM" else None)
    )


def _latency(batch: str) -> Callable[[Any], Any]:
    return lambda row: (row.latency or {}).get(batch)


def _measured(
    key: str,
    group: str,
    title: str,
    unit: str,
    best: int,
    text: Callable[[float], str],
    interval: Callable[[Any], Any],
    note: str,
    references: bool = True,
) -> Column:
    def value(row: Any) -> float | None:
        found = interval(row)
        return None if found is None else found.mean

    def ends(row: Any) -> tuple[float, float] | None:
        found = interval(row)
        return None if found is None else (found.low, found.high)

    return Column(key, group, title, unit, best, value, text, ends, text, note, references)


def _counted(
    key: str, title: str, unit: str, value: Callable[[Any], float | None], text: Callable[[float], str], note: str
) -> Column:
    return Column(key, "Cost", title, unit, -1, value, text, lambda row: None, text, note, references=False)


def _bytes(value: float) -> str:
    return f"{short(value)}B"


_ACCURACY = (
    "Share of the test images that got the right class, mean over the seeds. The strip shows the interval on one scale "
    "for all rows; its upright line is none."
)
_GAIN = (
    "Accuracy minus that of none, the same backbone without attention, paired by seed. An interval that holds zero "
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
