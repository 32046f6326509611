"""Writes what is generated from the catalogue: tables of README and two pages, entries' pages, and costs.

python docs/build.py            write
python docs/build.py --check    exit with 1 and name what is stale

The costs, `src/regard/papers/<paper>/costs.json`, are measured anew each time, on the meta device or on small inputs:
ten seconds for all entries. `regard show` reads them.
"""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from regard import catalog, published
from regard.catalog import Entry, costs
from regard.catalog.costs import Cost
from regard.cli.listing import attaching, described, usage
from regard.laws.costs import standard_cost

ROOT = Path(__file__).parent.parent
PAGES = ROOT / "docs" / "entries"
RECORDED, END_RECORDED = "<!-- recordings: written by `make docs` -->", "<!-- end of recordings -->"
ERRATA, END_ERRATA = "<!-- errata: written by `make docs` -->", "<!-- end of errata -->"
START, END = "<!-- catalogue: written by `make docs` -->", "<!-- end of catalogue -->"


def table() -> str:
    """The README's tables of everything."""
    mechanisms = [entry for entry in catalog.entries() if not entry.system]
    systems = [entry for entry in catalog.entries() if entry.system]
    attachable = sum(entry.drop_in for entry in mechanisms)
    return "\n".join(
        [
            f"### {len(mechanisms)} mechanisms",
            "",
            f"{attachable} of them take one map, return one of the same shape and can be attached (•); the others take"
            " several inputs, or are heads and losses.",
            "",
            *rows(mechanisms),
            "",
            f"### {len(systems)} systems",
            "",
            "Full networks and models. `regard recipes` lists how they are trained, and `regard list --networks` the"
            f" {len(catalog.networks())} networks that `regard.create` builds by name.",
            "",
            *rows(systems),
        ]
    )


def rows(entries: list[Entry]) -> list[str]:
    """One row for each entry."""
    lines = ["| name | year | ranges over | maps | what it is |", "|---|---|---|---|---|"]
    for entry in entries:
        maps = ", ".join(f"{name} `{axes}`" for name, axes in entry.maps.items())
        domains = ", ".join(entry.domains)
        name = f"[`{entry.name}`](docs/entries/{entry.name}.md)" + (" •" if entry.drop_in and not entry.system else "")
        lines.append(f"| {name} | {entry.paper.year} | {domains} | {maps} | {entry.summary} |")
    return lines


def page(entry: Entry, cost: Cost) -> str:
    """The page of one entry."""
    paper, cls = entry.paper, entry.target.partition(":")[2]
    citation, _, rest = entry.header.partition("\n\n")[2].partition("\n\n    ")
    equations, _, sections = rest.partition("\n\nPlace:")
    lines = [
        f"# {entry.name}",
        "",
        entry.summary + ".",
        "",
        " ".join(citation.split()) + (f" <{paper.url}>" if paper.url else ""),
        "",
        "```text",
        f"    {equations}",
        "```",
        "",
        "```python",
        *example(entry),
        "```",
        "",
        f"Class: `regard.{entry.target.replace(':', '.')}`. The default has {cost}.",
        "",
        "| | |",
        "|---|---|",
        *(f"| {title} | {words} |" for title, words in described(entry) if title != "arguments"),
        "",
        "| map | axes |",
        "|---|---|",
        *(f"| {name} | `{axes}` |" for name, axes in everything_shown(entry).items()),
        "",
    ]
    for line in f"Place:{sections}".split("\n"):
        title, colon, text = line.partition(":")
        if colon and line[:1].isupper() and title in ("Place", "Cost", "Deviations", "Errata"):
            lines += [f"## {title}", "", text.strip()]
        else:
            lines.append(line.strip())
        if not lines[-1]:
            lines.pop()
    lines = spaced(lines)
    doc = [line.strip() for line in entry.load().__doc__.split("\n")]
    lines += ["", "## Arguments", "", *arguments(doc), "", "The tests cover the default and these options:"]
    for option in entry.options:
        settings = ", ".join(f"{key}={value!r}" for key, value in option.kwargs.items())
        first = "channels, " if "channels" in set(entry.arguments) - set(option.kwargs) else ""
        lines.append(f"- `{cls}({first}{settings})`")
    if not entry.options:
        lines[-1] = "It has no options."
    known = published.references(entry.name)
    classes = [reference for reference in known if reference.recording is None]
    if known:
        lines += ["", "## Authors' weights"]
    if classes:
        lines += ["", "`regard.published.rebuild` takes checkpoints of:", ""]
        lines += [f"- `{one.name}` {one.signature}" for one in classes]
    recorded = [reference for reference in known if reference.recording is not None]
    if recorded:
        lines += ["", "Further recorded cases, which have the form of no published class:", ""]
        lines += [f"- `{case.name}` {case.signature}: {case.recording}" for case in recorded]
    return "\n".join(lines) + "\n"


def recorded() -> list[str]:
    """What was recorded -> the references of it, for those that are no published class."""
    found: dict[str, list[str]] = {}
    for reference in published.references():
        if reference.recording is not None:
            found.setdefault(reference.recording, []).append(f"`{reference.name}`")
    return ["| what was recorded | references |", "|---|---|", *(f"| {of} | {', '.join(found[of])} |" for of in found)]


def errata() -> list[str]:
    """For each paper, the errata of its files' headers, behind the entries whose pages have the deviations."""
    names: dict[str, list[str]] = {}
    for entry in catalog.entries():
        names.setdefault(entry.folder, []).append(f"[`{entry.name}`](entries/{entry.name}.md)")
    lines = ["| paper | entries | what others get wrong |", "|---|---|---|"]
    for folder in sorted(path.parent for path in catalog.FOLDER.glob("*/label.py")):
        told = [erratum(path) for path in sorted(folder.rglob("*.py"))]
        if text := " ".join(one for one in told if one):
            lines.append(f"| {folder.name} | {', '.join(names.get(folder.name, ()))} | {text.replace('|', '/')} |")
    return lines


def erratum(path: Path) -> str:
    """The section `Errata:` of a file's header on one line; empty if there is none, or none are known."""
    header = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    _, found, text = header.partition("\nErrata:")
    text = " ".join(text.split())
    return "" if not found or text == "none known." else text[:1].upper() + text[1:]


def example(entry: Entry) -> list[str]:
    """An example of its use: attached where that is possible, by itself elsewhere."""
    if entry.drop_in:
        return [
            f"module = {usage(entry)}",
            attaching(entry),
            "with regard.watch(model) as maps:",
            "    model(images)",
        ]
    taken = ", ".join(f"x{i}" for i in range(1, len(entry.inputs) + 1)) if len(entry.inputs) > 1 else "x"
    axes = "; ".join(entry.inputs)
    return [f"module = {usage(entry)}", "with regard.watch(module) as maps:", f"    y = module({taken})  # {axes}"]


def everything_shown(entry: Entry) -> dict[str, str]:
    """Every map under any option, with its axes."""
    return {name: axes for setting in reversed(entry.settings) for name, axes in (setting.maps or {}).items()}


def spaced(lines: list[str]) -> list[str]:
    """A blank line before every heading."""
    spread: list[str] = []
    for line in lines:
        if line.startswith("## ") and spread and spread[-1]:
            spread.append("")
        spread.append(line)
    return spread


def arguments(doc: list[str]) -> Iterator[str]:
    """The `Args:` of a class docstring as a list; the rest of it follows."""
    start = doc.index("Args:") + 1
    for line in doc[start:]:
        name, colon, text = line.partition(": ")
        if line.startswith(("Shapes:", "Maps:", "Raises:")):
            yield from ("", line)
        elif colon and all(part.strip().isidentifier() for part in name.split(",")):
            yield f"- `{name}`: {text}"
        elif line:
            yield f"  {line}"


def measured() -> dict[str, dict[str, Cost]]:
    """Folder of each paper -> entry -> its cost."""
    found: dict[str, dict[str, Cost]] = {}
    for entry in catalog.entries():
        found.setdefault(entry.folder, {})[entry.name] = standard_cost(entry)
    return found


def generated() -> dict[Path, str]:
    """Every generated file and what it should hold."""
    figures = measured()
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    before, _, rest = readme.partition(START)
    _, _, after = rest.partition(END)
    files = {PAGES / f"{entry.name}.md": page(entry, figures[entry.folder][entry.name]) for entry in catalog.entries()}
    for folder, costs_of in figures.items():
        written = {name: asdict(cost) for name, cost in costs_of.items()}
        files[costs.path(folder)] = json.dumps(written, indent=1, ensure_ascii=False) + "\n"
    faithfulness = ROOT / "docs" / "faithfulness.md"
    above, _, below = faithfulness.read_text(encoding="utf-8").partition(RECORDED)
    table_of = "\n".join(recorded())
    files[faithfulness] = f"{above}{RECORDED}\n{table_of}\n{END_RECORDED}{below.partition(END_RECORDED)[2]}"
    wrong = ROOT / "docs" / "wrong.md"
    above, _, below = wrong.read_text(encoding="utf-8").partition(ERRATA)
    table_of = "\n".join(errata())
    files[wrong] = f"{above}{ERRATA}\n{table_of}\n{END_ERRATA}{below.partition(END_ERRATA)[2]}"
    return {ROOT / "README.md": f"{before}{START}\n{table()}\n{END}{after}", **files}


def main() -> int:
    wanted = generated()
    stale = [path for path, text in wanted.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    there = [*PAGES.glob("*.md"), *catalog.FOLDER.glob(f"*/{costs.NAME}")]
    left = [path for path in there if path not in wanted]
    if "--check" in sys.argv[1:]:
        for path in (*stale, *left):
            print(f"{path.relative_to(ROOT)} is stale: run `make docs`")
        return bool(stale or left)
    PAGES.mkdir(parents=True, exist_ok=True)
    for path in stale:
        path.write_text(wanted[path], encoding="utf-8")
    for path in left:
        path.unlink()
    print(f"{len(stale)} written, {len(left)} removed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
