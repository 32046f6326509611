"""The catalogue on the terminal: one line for each entry, network, recipe or reference, and everything about one entry.

A terminal gets lines of its width, cut with an ellipsis where they are longer. A pipe gets whole lines, so that they
can be searched.
"""

from __future__ import annotations

import itertools
import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from regard import catalog
from regard.catalog import Entry
from regard.catalog.costs import Cost
from regard.catalog.recipes import Listing

ATTACHABLE = "•"
SECTIONS = ("Place", "Cost", "Deviations", "Errata")
Line = tuple[str, str]  # its first word, the name; and the rest


def facts(entry: Entry) -> dict[str, Any]:
    """Every fact of an entry's label, for programs."""
    paper = entry.paper
    return {
        "name": entry.name,
        "aliases": list(entry.aliases),
        "summary": entry.summary,
        "folder": entry.folder,
        "import": f"regard.{entry.target.replace(':', '.')}",
        "system": entry.system,
        "attachable": entry.drop_in,
        "domains": list(entry.domains),
        "mixed": entry.mixed,
        "soft": entry.soft,
        "weights": entry.weights,
        "acts_on": list(entry.acts_on),
        "grain": list(entry.grain),
        "kind": entry.kind,
        "driven_by": entry.driven_by,
        "reach": entry.reach,
        "tasks": list(entry.tasks),
        "arguments": list(entry.arguments),
        "example": dict(entry.kwargs),
        "options": [dict(option.kwargs) for option in entry.options],
        "maps": dict(entry.maps),
        "sums": dict(entry.sums),
        "shown": list(entry.shown),
        "inputs": list(entry.inputs),
        "outputs": list(entry.outputs),
        "least": list(entry.least),
        "exempt": dict(entry.exempt),
        "title": paper.title,
        "authors": paper.authors,
        "venue": paper.venue,
        "year": paper.year,
        "url": paper.url,
        "code": entry.code,
        "parity": entry.parity,
    }


def described(entry: Entry) -> list[tuple[str, str]]:
    """What an entry takes and shows, as pairs of a title and its words."""
    kinds = ("soft", "hard") if entry.soft else ("hard", "soft")
    weights = f"{kinds[0]}, or {kinds[1]} by an option" if entry.weights == "both" else kinds[0]
    what = "a focus" if entry.kind == "focus" else "weights"
    rows = [
        ("also called", ", ".join(entry.aliases)),
        ("ranges over", ", ".join(entry.domains)),
        ("acts on", ", ".join(entry.acts_on)),
        ("gives", f"{what} for each {' and '.join(entry.grain)}; {weights}"),
        ("driven by", {"bottom-up": "the image alone", "task": "the task"}[entry.driven_by]),
        ("relates", entry.reach or ""),
        ("tasks", ", ".join(entry.tasks)),
        ("takes", ", ".join(entry.inputs)),
        ("returns", ", ".join(axes or "one number" for axes in entry.outputs)),
        ("arguments", ", ".join(entry.arguments)),
    ]
    return [row for row in rows if row[1]]


def usage(entry: Entry) -> str:
    """The call that builds it."""
    if entry.drop_in and "grid" not in entry.kwargs:
        return f'regard.create("{entry.name}", channels=64)'
    given = ", ".join(f"{name}={value!r}" for name, value in entry.kwargs.items())
    return f'regard.create("{entry.name}", {given})' if given else f'regard.create("{entry.name}")'


def attaching(entry: Entry) -> str:
    """The call that attaches it; what is built for one size of map gets settings that fit small maps too."""
    small = {key: value for key, value in entry.kwargs.items() if key not in ("channels", "grid")}
    given = "".join(f", {name}={value!r}" for name, value in small.items()) if "grid" in entry.kwargs else ""
    return f'regard.attach(model, "{entry.name}"{given})'


def shown(entry: Entry, cost: Cost | None, width: int | None) -> Iterator[str]:
    """Everything about one entry, as lines of at most `width` characters."""
    whole = f"{entry.name}  {entry.summary}"
    yield from [whole] if width is None else _filled(whole, width, "    ")
    if entry.paper.url:
        yield entry.paper.url
    yield ""
    yield from _wrapped(entry.header.partition("\n\n")[2], width)
    networks = [name for name, folder in catalog.named().items() if folder == entry.folder]
    rows = [
        *described(entry),
        *((f"map {name}", axes) for name, axes in entry.maps.items()),
        ("build", usage(entry)),
        *([("attach", attaching(entry))] if entry.drop_in else []),
        ("class", f"regard.{entry.target.replace(':', '.')}"),
        *([("networks", ", ".join(networks))] if networks else []),
        *([("cost", str(cost))] if cost else []),
    ]
    indent = max(len(title) for title, _ in rows) + 2
    for title, words in rows:
        whole = f"{title:<{indent}}{words}"
        yield from [whole] if width is None else _filled(whole, width, " " * indent)


def _wrapped(text: str, width: int | None) -> Iterator[str]:
    """A header: its paragraphs and sections filled to the width, its equations as they are where they fit."""
    if width is None:
        yield from (*text.strip().splitlines(), "")
        return
    for block in text.strip().split("\n\n"):
        lines = block.splitlines()
        if not block.startswith("    "):
            sections = [i for i, line in enumerate(lines) if line.partition(":")[0] in SECTIONS]
            for start, end in itertools.pairwise([*dict.fromkeys([0, *sections]), len(lines)]):
                yield from _filled(_joined(lines[start:end]), width, "    " if start in sections else "")
        elif not any("   " in line.strip() for line in lines):  # prose
            yield from _filled(f"    {_joined(lines)}", width, "    ")
        else:
            for line in lines:
                close = "    " + re.sub(" {3,}", "  ", line.strip())
                yield from [line] if len(line) <= width else _filled(close, width, "        ")
        yield ""


def _joined(lines: Iterable[str]) -> str:
    return " ".join(line.strip() for line in lines)


def _filled(text: str, width: int, indent: str) -> list[str]:
    return textwrap.wrap(text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def entries(found: Sequence[Entry], width: int | None) -> Iterator[Line]:
    """Name, year, whether it can be attached, domains and summary, for each entry."""
    name = min(20, max((len(entry.name) for entry in found), default=0))  # the few longer ones push their line
    domains = 24 if width is None else max(8, min(24, (width - name - 38) // 2))
    for entry in found:
        mark = ATTACHABLE if entry.drop_in else " "
        over = "+".join(entry.domains)
        over = over if width is None else cut(over, domains)
        rest = f" {entry.paper.year} {mark} {over:<{domains}} {entry.summary}"
        yield _line(entry.name, name, rest, width)


def networks(found: Iterable[str], width: int | None) -> Iterator[Line]:
    """Name, folder and title of the paper, for each network known by name."""
    names = list(found)
    name = max(map(len, names), default=0)
    folders = catalog.named()
    folder = max((len(folders[one]) for one in names), default=0)
    for one in names:
        yield _line(one, name, f" {folders[one]:<{folder}} {paper_of(folders[one])}", width)


def paper_of(folder: str) -> str:
    """The title of a paper, by its folder."""
    return next(entry.paper.title for entry in catalog.entries() if entry.folder == folder)


def recipes(found: Sequence[Listing], width: int | None) -> Iterator[Line]:
    """Name, the paper's number, the system, what is trained and on which data, for each recipe."""
    name = max((len(listing.name) for listing in found), default=0)
    for listing in found:
        claim = f"{listing.claim.measure} {listing.claim.value:g}" if listing.claim else ""
        data = listing.data or "embedded data"
        words = listing.summary if width else f"{listing.system:<26} {listing.summary}; data: {data}"
        if listing.claim and not width:
            words += f"; paper: {listing.claim}"
        yield _line(listing.name, name, f" {claim:<12} {words}", width)


def recipe(listing: Listing) -> list[tuple[str, str]]:
    """Everything about one recipe, as pairs of a title and its words."""
    return [
        ("trains", listing.summary),
        ("system", listing.system),
        ("data", listing.data or "embedded; it needs none"),
        ("paper", str(listing.claim) if listing.claim else "no number to compare with"),
        ("try", f"regard train {listing.name} --tiny"),
    ]


def _line(name: str, room: int, rest: str, width: int | None) -> Line:
    rest = f"{name:<{room}}{rest}".rstrip()[len(name) :]
    return name, rest if width is None else cut(rest, width - len(name))


def cut(text: str, width: int) -> str:
    """The text, with an ellipsis in place of what is beyond the width."""
    return text if len(text) <= width else f"{text[: max(0, width - 1)].rstrip()}…"
