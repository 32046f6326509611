"""A finished comparison as one page: self-contained, no network, light and dark, for desktop and phone."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from regard.report import plots, table
from regard.report.gallery import shots
from regard.report.numbers import fixed, percent, points, short

NAME = "report.html"
_HERE = Path(__file__).parent
_FACTS = (  # of run.json; a page can do without any of them
    "command", "data", "backbone", "pretrained", "classes", "chance", "train_size", "test_size", "image_size", "sites",
    "seeds", "epochs", "versions", "skipped", "failed",
)  # fmt: skip


def write(out: str | Path, summary: Any = None) -> Path:
    """Writes `report.html` into a run folder, whole or not at all.

    Args:
        out: the folder.
        summary: what to show; by default `regard.comparing.summary(out)`.

    Returns: the page's path.
    Raises: ValueError if the folder holds no finished comparison; OSError if the page cannot be written.
    """
    from regard import comparing
    from regard.saved.files import write_whole

    path = Path(out) / NAME
    content = page(comparing.summary(Path(out)) if summary is None else summary)
    write_whole(path, content.encode("utf-8"))
    return path


def page(summary: Any) -> str:
    """The page as text; `summary` as `regard.comparing.Summary`.

    Raises: ValueError if there is no row, or the gallery is damaged.
    """
    rows, run = list(summary.rows), {**dict.fromkeys(_FACTS), **summary.run}
    if not rows:
        raise ValueError("a report needs at least one row of results")
    looks = plots.looks([row.mechanism for row in rows], table.REFERENCES)
    shown = table.columns(rows)
    lines = table.lines(rows, shown, looks)
    ordered = sorted(rows, key=lambda row: [line.look.name for line in lines].index(row.mechanism))
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
        **_told(rows, summary.sentences, looks),
        columns=shown,
        groups=_groups(shown),
        lines=lines,
        notes=_notes(shown),
        located=any("gradcam" in column.key or column.key == "energy" for column in shown),
        chance_energy=_chance_energy(rows),
        failed=run["failed"] or [],
        scatters=_scatters(rows, looks),
        training=_training(ordered, looks),
        spans_seeds=max((len(row.history) for row in rows), default=0) > 1,
        gallery=shots(summary.gallery, ordered, looks, run["classes"] or ()),
        signs={"better": "▲", "worse": "▼", "noise": "≈"},
        words={"better": "better beyond noise", "worse": "worse beyond noise", "noise": "within noise"},
        looks=[line.look for line in lines],
        percent=percent,
    )


def _heading(run: Mapping[str, Any]) -> str:
    data = str(run["data"] or "these images")
    return f"{run['backbone'] or 'One backbone'} on {Path(data).name or data}"


def _facts(rows: Sequence[Any], run: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The figures under the title."""
    found = [(str(sum(row.mechanism not in table.REFERENCES for row in rows)), "mechanisms")]
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


def _told(rows: Sequence[Any], sentences: Sequence[str], looks: dict[str, plots.Look]) -> dict[str, Any]:
    """The summary's sentences: what was done, one verdict a row, and the rest."""
    rows_by_verdict = {getattr(row, "verdict", None): row for row in rows if row.gain is not None}
    verdicts = [
        {
            "look": looks[row.mechanism],
            "gain": points(row.gain.mean),
            "sign": table.sign_of((row.gain.low, row.gain.high)),
            "sentence": sentence,
        }
        for sentence in sentences
        if (row := rows_by_verdict.get(sentence)) is not None
    ]
    rest = [sentence for sentence in sentences if sentence not in rows_by_verdict]
    return {"lead": rest[0] if rest else "", "verdicts": verdicts, "remarks": rest[1:]}


def _groups(shown: Sequence[table.Column]) -> list[tuple[str, int]]:
    """Each heading over several columns, and over how many."""
    found: list[tuple[str, int]] = []
    for column in shown:
        if found and found[-1][0] == column.group:
            found[-1] = (column.group, found[-1][1] + 1)
        else:
            found.append((column.group, 1))
    return found


def _notes(shown: Sequence[table.Column]) -> list[tuple[str, str]]:
    """What each column says; columns that say the same share a note."""
    named = {column.note: column for column in shown}.values()
    titles = [column.title.partition(", batch")[0] for column in named]
    return [
        (title if titles.count(title) == 1 else f"{title}, {column.group.partition(' on ')[0]}", column.note)
        for title, column in zip(titles, named, strict=True)
    ]


def _chance_energy(rows: Sequence[Any]) -> float | None:
    return next((row.chance_energy for row in rows if getattr(row, "chance_energy", None) is not None), None)


def _scatters(rows: Sequence[Any], looks: dict[str, plots.Look]) -> list[tuple[str, Markup]]:
    """Accuracy against each cost."""
    found = []
    for batch in sorted({batch for row in rows for batch in row.latency or ()}, key=int):
        costs = [(row, row.latency[batch]) for row in rows if batch in (row.latency or {})]
        drawn = [
            _point(
                row, looks, (cost.mean, cost.low, cost.high),
                f"{fixed(cost.mean, 2)} times the time of none ({fixed(cost.low, 2)} to {fixed(cost.high, 2)})",
            )
            for row, cost in costs
        ]  # fmt: skip
        caption = f"Accuracy against time, batch {batch}"
        found.append((caption, _scatter(drawn, caption, "time of a forward pass, × none")))
    drawn = [
        _point(row, looks, (row.parameters,) * 3, f"{row.parameters:,} parameters")
        for row in rows
        if row.parameters is not None
    ]
    caption = "Accuracy against parameters"
    found.append(
        (caption, _scatter(drawn, caption, "parameters of the whole model", lambda value, digits: short(value)))
    )
    return found


def _point(row: Any, looks: dict[str, plots.Look], x: tuple[float, float, float], cost: str) -> plots.Point:
    interval = row.accuracy
    accuracy = f"accuracy {percent(interval.mean)} % ({percent(interval.low)} to {percent(interval.high)})"
    title = f"{row.mechanism}: {accuracy}, {cost}"
    y = (100 * interval.mean, 100 * interval.low, 100 * interval.high)
    return plots.Point(looks[row.mechanism], x, y, title)


def _scatter(drawn: Sequence[plots.Point], caption: str, x_label: str, x_text: Any = fixed) -> Markup:
    label = f"{caption}. " + "; ".join(point.title for point in drawn)
    return plots.scatter(drawn, label=label, x_label=x_label, y_label="accuracy, %", x_text=x_text)


def _training(rows: Sequence[Any], looks: dict[str, plots.Look]) -> list[tuple[str, Markup]]:
    series = [(looks[row.mechanism], row.history) for row in rows]
    found = []
    for key, caption, y_label, factor in (
        ("accuracy", "Test accuracy while training", "accuracy, %", 100.0),
        ("loss", "Training loss", "loss", 1.0),
    ):
        drawn = plots.curves(series, key, label=f"{caption}, one line a row, by epoch", y_label=y_label, factor=factor)
        if drawn is not None:
            found.append((caption, drawn))
    return found
