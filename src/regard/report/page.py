"""The report of a comparison: one self-contained HTML page, light and dark, for desktop and phone."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from regard.report import Result, Row, plots, table
from regard.report.gallery import shots
from regard.report.numbers import Scale, fixed, percent, short
from regard.saved.files import write_whole

NAME = "report.html"
_SIGN = '<meta name="generator" content="regard compare">'  # by which a page is known again
_HERE = Path(__file__).parent
_FACTS = (  # of run.json; a page can do without any of them
    "command", "data", "backbone", "pretrained", "classes", "chance", "train_size", "test_size", "image_size", "sites",
    "seeds", "epochs", "versions", "skipped", "places",
)  # fmt: skip


def write(result: Result, path: str | Path | None = None) -> Path:
    """Writes the page, whole or not at all; see `regard.report.Result.report`."""
    if path is None:
        if result.out is None:
            raise ValueError("path=None: this result has no run folder; name a file for the page")
        place = result.out / NAME
    else:
        place = Path(path)
        if place.exists() and not _is_page(place):
            raise FileExistsError(f"{place} exists and is no report of a comparison; name another file")
    write_whole(place, page(result).encode("utf-8"))
    return place


def _is_page(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return _SIGN.encode() in file.read(4096)


def page(result: Result) -> str:
    """The page as text.

    Raises: ValueError if there is no row, or the gallery is damaged.
    """
    rows, run = list(result.rows), {**dict.fromkeys(_FACTS), **result.run}
    if not rows:
        raise ValueError("a report needs at least one row of results")
    scale = Scale(result.measure)
    looks = plots.looks([row.name for row in rows], table.REFERENCES)
    shown = table.columns(rows, result.measure)
    lines = table.lines(rows, shown, looks, result.measure)
    ordered = sorted(rows, key=lambda row: [line.look.name for line in lines].index(row.name))
    script = (_HERE / "script.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["marker"] = plots.marker
    return environment.get_template("template.html").render(
        style=Markup((_HERE / "style.css").read_text(encoding="utf-8")),
        script=Markup(script),
        script_hash=digest,
        run=run,
        heading=_heading(run),
        facts=_facts(rows, run),
        scale=scale,
        sign=Markup(_SIGN),
        **_told(rows, result.sentences, looks, scale),
        columns=shown,
        groups=_groups(shown),
        lines=lines,
        notes=_notes(shown),
        located=any("gradcam" in column.key or column.key == "energy" for column in shown),
        chance_energy=_chance_energy(rows),
        scatters=_scatters(rows, looks, scale),
        training=_training(ordered, looks, scale),
        spans_seeds=max((len(row.history) for row in rows), default=0) > 1,
        gallery=shots(result.gallery, ordered, looks, run["classes"] or ()),
        signs={"better": "▲", "worse": "▼", "noise": "≈"},
        words={"better": "better beyond noise", "worse": "worse beyond noise", "noise": "within noise"},
        looks=[line.look for line in lines],
        percent=percent,
    )


def _heading(run: Mapping[str, Any]) -> str:
    data = str(run["data"] or "these images")
    return f"{run['backbone'] or 'One backbone'} on {Path(data).name or data}"


def _facts(rows: Sequence[Row], run: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The numbers under the title, with their words."""
    found = [(str(sum(row.name not in table.REFERENCES for row in rows)), "rows with attention")]
    for key, word in (
        ("seeds", "seeds"),
        ("epochs", "epochs"),
        ("train_size", "training images"),
        ("test_size", "test images"),
    ):
        if run[key] is not None:
            count = int(run[key])
            found.append((f"{count:,}", word if count != 1 else word[:-1]))
    if run["classes"]:
        found.append((str(len(run["classes"])), "classes"))
    return found


def _told(
    rows: Sequence[Row], sentences: Sequence[str], looks: dict[str, plots.Look], scale: Scale
) -> dict[str, object]:
    """The result's sentences: what was done, one verdict a row, and the rest."""
    gains = {row.verdict: (row.name, row.gain) for row in rows if row.gain is not None}
    verdicts = [
        {
            "look": looks[gains[sentence][0]],
            "gain": f"{scale.difference(gains[sentence][1].mean)} {scale.difference_unit}".rstrip(),
            "sign": scale.better(gains[sentence][1].low, gains[sentence][1].high),
            "sentence": sentence,
        }
        for sentence in sentences
        if sentence in gains
    ]
    rest = [sentence for sentence in sentences if sentence not in gains]
    return {"lead": rest[0] if rest else "", "verdicts": verdicts, "remarks": rest[1:]}


def _groups(shown: Sequence[table.Column]) -> list[tuple[str, int]]:
    """The headings over several columns, each with its number of columns."""
    found: list[tuple[str, int]] = []
    for column in shown:
        if found and found[-1][0] == column.group:
            found[-1] = (column.group, found[-1][1] + 1)
        else:
            found.append((column.group, 1))
    return found


def _notes(shown: Sequence[table.Column]) -> list[tuple[str, str]]:
    """The notes of the columns; columns with the same note share it."""
    named = {column.note: column for column in shown}.values()
    titles = [column.title.partition(", batch")[0] for column in named]
    return [
        (title if titles.count(title) == 1 else f"{title}, {column.group.partition(' on ')[0]}", column.note)
        for title, column in zip(titles, named, strict=True)
    ]


def _chance_energy(rows: Sequence[Row]) -> float | None:
    return next((row.chance_energy for row in rows if row.chance_energy is not None), None)


def _scatters(rows: Sequence[Row], looks: dict[str, plots.Look], scale: Scale) -> list[tuple[str, Markup]]:
    """The plots of the score against each cost."""
    found = []
    for batch in sorted({batch for row in rows for batch in row.latency}, key=int):
        costs = [(row, row.latency[batch]) for row in rows if batch in row.latency]
        drawn = [
            _point(
                row, looks, scale, (cost.mean, cost.low, cost.high),
                f"{fixed(cost.mean, 2)} times the time of none ({fixed(cost.low, 2)} to {fixed(cost.high, 2)})",
            )
            for row, cost in costs
        ]  # fmt: skip
        caption = f"{scale.title} against time, batch {batch}"
        found.append((caption, _scatter(drawn, scale, caption, "time of a forward pass, × none")))
    drawn = [_point(row, looks, scale, (row.parameters,) * 3, f"{row.parameters:,} parameters") for row in rows]
    caption = f"{scale.title} against parameters"
    found.append(
        (caption, _scatter(drawn, scale, caption, "parameters of the whole model", lambda value, _: short(value)))
    )
    return found


def _point(
    row: Row, looks: dict[str, plots.Look], scale: Scale, x: tuple[float, float, float], cost: str
) -> plots.Point:
    interval = row.score
    score = (
        f"{scale.measure.title} {scale.phrase(interval.mean)} ({scale.value(interval.low)} to "
        f"{scale.value(interval.high)})"
    )
    y = (scale.factor * interval.mean, scale.factor * interval.low, scale.factor * interval.high)
    return plots.Point(looks[row.name], x, y, f"{row.name}: {score}, {cost}")


def _scatter(
    drawn: Sequence[plots.Point],
    scale: Scale,
    caption: str,
    x_label: str,
    x_text: Callable[[float, int], str] = fixed,
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


def _training(rows: Sequence[Row], looks: dict[str, plots.Look], scale: Scale) -> list[tuple[str, Markup]]:
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
