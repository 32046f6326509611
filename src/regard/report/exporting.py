"""A result as CSV and as JSON, in the units of the run: shares from 0 to 1, times as multiples of none."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from regard.catalog.rows import PLAIN, REFERENCES
from regard.report import ClassScore, Interval, Result, Row, Tested
from regard.report.judging import Judge
from regard.report.table import ordered

MOST_ANSWERS = 1000  # pairs of class and answer of one row, the commonest ones


def spreadsheet(result: Result) -> str:
    """CSV with one line for each row, in the usual order: every number with the ends of its interval."""
    judge, rows = Judge.of(result), {row.name: row for row in result.rows}
    measure = result.measure.name
    lines = []
    for row in ordered(result.rows, result.measure):
        line: dict[str, object] = {"row": row.name, "reference": row.name in REFERENCES}
        line |= _ends(measure, row.score)
        for key, gain, reference in (
            ("gain_over_none", row.gain, REFERENCES[0]),
            ("gain_over_plain", row.gain_over_plain, PLAIN),
        ):
            strict = row.corrected.get(reference)
            line |= _ends(key, gain)
            line |= {
                f"{key}_corrected_low": None if strict is None else strict.low,
                f"{key}_corrected_high": None if strict is None else strict.high,
                f"{key}_judged": judge.sign(row, rows[reference]) if gain is not None and reference in rows else None,
            }
        for key in ("ece", "energy", "pointing", "energy_gradcam", "pointing_gradcam"):
            line |= _ends(key, getattr(row, key))
        line |= {key: getattr(row, key) for key in ("parameters", "extra_parameters", "flops", "peak_memory")}
        for batch in sorted({batch for each in result.rows for batch in each.latency}, key=int):
            line |= _ends(f"time_batch_{batch}", row.latency.get(batch))
        for name in {name: None for each in result.rows for name in each.replaced}:
            line |= _ends(f"{measure}_gain_by_{name}_maps", row.replaced.get(name))
        for name in {name: None for each in result.rows for name in each.faithful}:
            one = row.faithful.get(name)
            line |= _ends(f"area of {name}", None if one is None else one.area)
        line |= {f"{measure}_seed_{seed}": value for seed, value in enumerate(row.score.values)}
        for number, own in row.classes.items():
            line |= _ends(f"{measure}_class_{number}", own.score)
        lines.append(line)
    names = list(dict.fromkeys(name for line in lines for name in line))
    file = io.StringIO()
    writer = csv.DictWriter(file, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return file.getvalue()


def everything(result: Result) -> str:
    """JSON with the verdict, all rows, all trials and the facts of the run."""
    judge, rows = Judge.of(result), {row.name: row for row in result.rows}
    content = {
        "verdict": result.verdict,
        "sentences": list(result.sentences),
        "measure": asdict(result.measure),
        "rows": [_row(row, judge, rows) for row in ordered(result.rows, result.measure)],
        "trials": [asdict(record) for record in result.records],
        "run": dict(result.run),
    }
    return json.dumps(finite(content), ensure_ascii=False, allow_nan=False)


def _row(row: Row, judge: Judge, rows: Mapping[str, Row]) -> dict[str, Any]:
    told = [field.name for field in fields(row) if field.name != "classes" or row.classes]
    found = {name: _plain(getattr(row, name)) for name in told}
    answers = sorted((row.answers or {}).items(), key=lambda item: (-item[1], item[0]))[:MOST_ANSWERS]
    found["answers"] = [[label, answer, count] for (label, answer), count in answers] if row.answers else None
    found["judged"] = {name: judge.sign(row, rows[name]) for name in row.corrected if name in rows}
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, Interval | ClassScore | Tested):
        return asdict(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    return value


def _ends(name: str, interval: Interval | None) -> dict[str, object]:
    ends = (None,) * 3 if interval is None else (interval.mean, interval.low, interval.high)
    return dict(zip((name, f"{name}_low", f"{name}_high"), ends, strict=True))


def finite(content: Any) -> Any:
    """Replaces numbers that are not finite by null, since JSON has none."""
    if isinstance(content, Mapping):
        return {str(key): finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
