"""The report of a comparison: one self-contained HTML page, light and dark, for desktop and phone."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from regard.catalog.rows import NONE, REFERENCES
from regard.report import Result, Row, exporting, figures, strips, table
from regard.report.classes import classes
from regard.report.gallery import Shot, shots
from regard.report.gallery import legend as label_colours
from regard.report.judging import SIGNS, Judge, difference, pairs
from regard.report.looks import Look, looks, marker
from regard.report.numbers import percent, written
from regard.saved.files import write_whole

NAME = "report.html"
FIRST = 8  # images of the gallery that are shown at once
_SIGN = '<meta name="generator" content="regard compare">'  # by which a page is known again
_HERE = Path(__file__).parent
_FACTS = (  # of run.json; a page can do without any of them
    "command", "data", "backbone", "pretrained", "classes", "chance", "train_size", "test_size", "image_size", "sites",
    "seeds", "epochs", "versions", "skipped", "places", "left_out",
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
    if not result.rows:
        raise ValueError("a report needs at least one row of results")
    rows, run = table.ordered(result.rows, result.measure), {**dict.fromkeys(_FACTS), **result.run}
    judge = Judge.of(result)
    scale = judge.scale
    look = looks([row.name for row in rows])
    shown = table.columns(rows, result.measure)
    lines = table.lines(rows, shown, look, judge)
    gallery = shots(result.gallery, rows, look, run["classes"] or ())
    legend = label_colours(result.gallery, run["classes"] or ())
    styles = ("style.css", "labels.css") if legend else ("style.css",)
    heading = _heading(run)
    script = (_HERE / "script.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"marker": marker, "percent": percent}
    environment.filters["tight"] = _tight
    return environment.get_template("template.html").render(
        style=Markup("".join((_HERE / name).read_text(encoding="utf-8") for name in styles)),
        script=Markup(script),
        script_hash=digest,
        run=run,
        heading=heading,
        verdict=result.verdict,
        files=_files(result, heading),
        scale=scale,
        seeds=judge.seeds,
        sign=Markup(_SIGN),
        lead=result.sentences[0] if result.sentences else "",
        remarks=result.sentences[1:],
        differences=_differences(rows, look, judge),
        columns=shown,
        groups=_groups(shown),
        lines=lines,
        notes=_notes(shown),
        chance_energy=next((row.chance_energy for row in rows if row.chance_energy is not None), None),
        scatters=figures.against_costs(rows, look, scale),
        classes=classes(rows, look, run["classes"] or ()),
        training=figures.while_training(rows, look, scale),
        faithful=figures.faithful(rows, look),
        spans_seeds=max((len(row.history) for row in rows), default=0) > 1,
        gallery=gallery,
        legend=legend,
        kinds=_kinds(gallery),
        labels=list(dict.fromkeys(shot.label for shot in gallery if shot.label)),
        first=FIRST,
        commands=[(look[row.name], row.look) for row in rows if row.look],
        signs=SIGNS,
        words=judge.words,
        looks=list(look.values()),
    )


def _heading(run: Mapping[str, Any]) -> str:
    data = str(run["data"] or "these images")
    return f"{run['backbone'] or 'One backbone'} on {Path(data).name or data}"


def _differences(rows: Sequence[Row], look: Mapping[str, Look], judge: Judge) -> dict[str, Any] | None:
    """Every row's difference from `none` as a strip, with words; None if there is nothing to compare with."""
    named = {row.name: row for row in rows}
    compared = [row for row in rows if row.gain is not None and row.corrected]
    if NONE not in named or not compared:
        return None
    scale = judge.scale
    ruler = strips.ruler([row.gain for row in compared if row.gain is not None])
    drawn = []
    for row in compared:
        assert row.gain is not None
        told = []
        for reference in REFERENCES:
            gain = difference(row, reference)
            if gain is not None and reference in named:
                sign = judge.sign(row, named[reference])
                value = f"{scale.difference(gain.mean)} {scale.difference_unit}".rstrip()
                told.append({"reference": reference, "sign": sign, "value": value, "words": judge.words(sign)})
        strict = row.corrected.get(NONE, row.gain)
        drawn.append((look[row.name], strips.contrast(row.gain, strict, ruler, look[row.name]), told))
    marks = strips.axis(ruler, scale.factor)
    digits = written([value for value, _ in marks])
    return {
        "lines": drawn,
        "axis": [
            (f"+{text}" if value > 0 else text, f"{place:.2f}")
            for (value, place), text in zip(marks, digits, strict=True)
        ],
        "pairs": len(pairs(list(named))),
    }


def _files(result: Result, heading: str) -> list[dict[str, str]]:
    """The results to download: the name, the kind, and the content as an address."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", f"regard {heading}").strip("-.")[:80]
    return [
        {
            "kind": kind,
            "name": f"{stem}.{kind.lower()}",
            "address": f"data:{mime};charset=utf-8;base64,{base64.b64encode(text.encode('utf-8')).decode('ascii')}",
        }
        for kind, mime, text in (
            ("CSV", "text/csv", exporting.spreadsheet(result)),
            ("JSON", "application/json", exporting.everything(result)),
        )
    ]


def _kinds(gallery: Sequence[Shot]) -> list[tuple[str, str]]:
    """The kinds of maps in the gallery, with their names; the page shows the first."""
    tiles = [tile for shot in gallery for tile in shot.tiles]
    found = [("labels", "Label maps")] if any(tile.labels for tile in tiles) else []
    found += [("gradcam", "Grad-CAM")] if any(tile.gradcam for tile in tiles) else []
    found += [("own", "Own maps")] if any(tile.own for tile in tiles) else []
    return [*found, ("backbone", "The backbone's attention")] if any(tile.backbone for tile in tiles) else found


def _tight(text: str) -> str:
    """Text whose numbers stay together with their units."""
    return re.sub(r"(?<=\d) (?=%|×|points?\b)|(?<=×) (?=\d)", "\N{NO-BREAK SPACE}", text)


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
