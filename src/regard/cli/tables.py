"""What the terminal shows: tables of the catalogue and of a comparison."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from regard.catalog import Entry
from regard.catalog.recipes import Listing
from regard.comparing import Summary

if TYPE_CHECKING:
    from regard.looking.gaze import Gaze


def facts(entry: Entry) -> dict[str, Any]:
    """An entry for programs."""
    paper = entry.paper
    return {
        "name": entry.name,
        "summary": entry.summary,
        "domains": list(entry.domains),
        "soft": entry.soft,
        "maps": dict(entry.maps),
        "inputs": list(entry.inputs),
        "outputs": list(entry.outputs),
        "drop_in": entry.drop_in,
        "title": paper.title,
        "authors": paper.authors,
        "venue": paper.venue,
        "year": paper.year,
        "url": paper.url,
        "code": entry.code,
        "import": f"regard.{entry.target.replace(':', '.')}",
    }


def usage(entry: Entry) -> str:
    """How it is built."""
    if entry.drop_in and "grid" not in entry.kwargs:
        return f'regard.create("{entry.name}", channels=64)'
    given = ", ".join(f"{name}={value!r}" for name, value in entry.kwargs.items())
    return f'regard.create("{entry.name}", {given})' if given else f'regard.create("{entry.name}")'


def entries(found: Iterable[Entry]) -> Table:
    """One line for each entry."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("name", "year", "domains", "maps", "what it is"):
        table.add_column(column, no_wrap=column in ("name", "year"))
    for entry in found:
        table.add_row(
            entry.name, str(entry.paper.year), ", ".join(entry.domains), ", ".join(entry.maps), escape(entry.summary)
        )
    return table


def show(console: Console, entry: Entry, cost: Mapping[str, Any]) -> None:
    """Everything about one entry."""
    paper = entry.paper
    console.print(f"[bold]{entry.name}[/]  {escape(entry.summary)}", highlight=False)
    if paper.url:
        console.print(paper.url, highlight=False)
    console.print()
    console.print(escape(entry.header.partition("\n\n")[2]), highlight=False, soft_wrap=True)
    console.print()
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_row("domains", ", ".join(entry.domains))
    table.add_row("weights", "soft" if entry.soft else "hard")
    for name, axes in entry.maps.items():
        table.add_row(f"map {name}", axes)
    table.add_row("takes", ", ".join(entry.inputs))
    table.add_row("returns", ", ".join(axes or "one number" for axes in entry.outputs))
    table.add_row("build", usage(entry))
    if entry.drop_in:
        table.add_row("attach", f'regard.attach(model, "{entry.name}")')
    table.add_row("class", f"regard.{entry.target.replace(':', '.')}")
    table.add_row("cost", f"{cost['parameters']:,} parameters, {cost['flops'] / 1e6:,.1f} MFLOP for {cost['input']}")
    console.print(table, highlight=False)


def recipes(listings: Iterable[Listing]) -> Table:
    """What is trained, with which data, and the paper's number, for each recipe."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("name", "system", "what it trains"):
        table.add_column(column, no_wrap=column != "what it trains")
    for listing in listings:
        needs = f"needs {listing.data}" if listing.data else "brings its own data"
        paper = f"; paper: {listing.claim}" if listing.claim else ""
        table.add_row(listing.name, listing.system, f"{escape(listing.summary)}\n[dim]{escape(needs + paper)}[/]")
    return table


def scored(console: Console, listing: Listing, scores: Mapping[str, float]) -> None:
    """The scores of a trained network, with the paper's number beside the one that it reports."""
    for measure, value in scores.items():
        claim = listing.claim
        beside = f"  paper: {claim.value:g} ({claim.where})" if claim is not None and claim.measure == measure else ""
        console.print(f"{measure}: {value:.4g}{beside}", highlight=False, soft_wrap=True)


def trained(console: Console, learned: bool, changed: Iterable[str]) -> None:
    """A remark where a network is not, or not quite, what was trained."""
    if not learned:
        console.print("[yellow]The attention is untrained[/]: this is what it does before learning. Give --weights.")
    for one in changed:
        console.print(f"[yellow]Not as trained[/]: {escape(one)}", highlight=False, soft_wrap=True)


_GAZE_WITH_INTERVAL = ("nss", "auc_judd", "cc")


def gazed(found: Gaze) -> Table:
    """One line for each predictor of fixations: means over the images, with 95 % intervals of the main measures."""
    from regard.looking.gaze import MEASURES

    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column(f"{len(found.images)} images, {found.fixations} fixations", overflow="fold")
    for title in MEASURES.values():
        table.add_column(title, justify="right")
    for row in found.rows:
        cells = []
        for measure in MEASURES:
            mean, (low, high) = row.mean(measure), row.interval(measure)
            text = "–" if math.isnan(mean) else f"{mean:.2f}"
            if measure in _GAZE_WITH_INTERVAL and not math.isnan(low):
                text += f" ({low:.2f} to {high:.2f})"
            cells.append(text)
        table.add_row(escape(row.name), *cells)
    return table


# The page has every column and interval; a terminal of 80 characters has room for these.
_COLUMNS = {
    "accuracy": "accuracy, %",
    "gain": "against none",
    "ece": "ECE",
    "energy": "on object,\nown map",
    "energy-gradcam": "on object,\nGrad-CAM",
    "parameters": "para-\nmeters",
    "latency-32": "time,\n× none",
}
_WITH_INTERVAL = ("accuracy", "gain")


def comparison(summary: Summary) -> Table:
    """The rows of a comparison as on the page, the best of each column in bold."""
    from regard.report import plots
    from regard.report import table as results

    looks = plots.looks([row.mechanism for row in summary.rows], results.REFERENCES)
    shown = [column for column in results.columns(summary.rows) if column.key in _COLUMNS]
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("")
    for column in shown:
        table.add_column(_COLUMNS[column.key], justify="right")
    for line in results.lines(summary.rows, shown, looks):
        cells = []
        for cell in line.cells:
            with_interval = cell.interval and cell.column.key in _WITH_INTERVAL
            text = f"{cell.text} ({cell.interval})" if with_interval else cell.text
            cells.append(f"[bold]{escape(text)}[/]" if cell.best else escape(text))
        table.add_row(line.look.name, *cells)
    return table
