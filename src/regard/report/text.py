"""A finished comparison as a table of plain text, for terminals and notebooks."""

from __future__ import annotations

from collections.abc import Sequence

from regard.report import Result, table
from regard.report.judging import Judge
from regard.report.looks import looks
from regard.report.table import Column, Line

# The page has every column and interval; a terminal of 80 characters has room for these.
TITLES = {
    "gain": "against none",
    "ece": "ECE",
    "energy": "on\nobject,\nown map",
    "energy-gradcam": "on\nobject,\nGrad-CAM",
    "parameters": "para-\nmeters",
    "latency-32": "time,\n× none",
    "replaced-even": "even\nmap",
}
_WITH_INTERVAL = ("score", "gain")


def content(result: Result) -> tuple[list[str], list[Line], list[list[str]]]:
    """Titles of the columns, the rows in the page's order, and the text of each row's cells."""
    names = [row.name for row in result.rows]
    shown = [column for column in table.columns(result.rows, result.measure) if column.key in ("score", *TITLES)]
    lines = table.lines(result.rows, shown, looks(names), Judge.of(result))
    return [_title(column) for column in shown], lines, [[_text(cell) for cell in line.cells] for line in lines]


def table_of(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns of text: the first to the left, the others to the right; a title may have several lines."""
    heads = [title.split("\n") for title in titles]
    tall = max(map(len, heads))
    above = [["" if tall - line > len(head) else head[line - tall] for head in heads] for line in range(tall)]
    every = [*above, *rows]
    widths = [max(len(row[i]) for row in every) for i in range(len(titles))]
    return "\n".join(
        "  ".join(
            text.ljust(width) if i == 0 else text.rjust(width)
            for i, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in every
    )


def written(result: Result) -> str:
    """The table; the best of each column has a star, if its interval lies apart from the others'."""
    titles, lines, cells = content(result)
    starred = [
        [f"*{text}" if cell.best else text for cell, text in zip(line.cells, own, strict=True)]
        for line, own in zip(lines, cells, strict=True)
    ]
    return table_of(["", *titles], [[line.look.name, *own] for line, own in zip(lines, starred, strict=True)])


def _title(column: Column) -> str:
    if column.key != "score":
        return TITLES[column.key]
    title = column.title.lower() if column.title[:1].isupper() else column.title  # mIoU stays as it is
    return f"{title}, {column.unit}" if column.unit else title


def _text(cell: table.Cell) -> str:
    return f"{cell.text} ({cell.interval})" if cell.interval and cell.column.key in _WITH_INTERVAL else cell.text
