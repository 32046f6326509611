"""The commands that read the catalogue: `list`, `show` and `recipes`. None of them needs torch."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from fnmatch import fnmatchcase
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from regard import catalog
from regard.catalog import costs
from regard.cli import completion, listing

out = Console()

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def list_entries(
    pattern: Annotated[
        str | None,
        typer.Argument(help="A name, or a pattern with * and ? in quotes.", autocompletion=completion.entries),
    ] = None,
    domain: Annotated[
        list[str] | None,
        typer.Option(
            help="channel, spatial, self, mixed …; several, joined by + or given again, all have to hold.",
            autocompletion=completion.domains,
        ),
    ] = None,
    soft: Annotated[
        bool | None, typer.Option("--soft/--hard", help="Differentiable weights, or a discrete choice.")
    ] = None,
    attachable: Annotated[
        bool | None, typer.Option("--attachable/--not-attachable", help="Whether `regard.attach` takes it.")
    ] = None,
    acts_on: Annotated[str | None, typer.Option(help="image or features.", autocompletion=completion.acts_on)] = None,
    grain: Annotated[
        str | None,
        typer.Option(help="Weights for each item, position, channel or value.", autocompletion=completion.grains),
    ] = None,
    kind: Annotated[str | None, typer.Option(help="weights or focus.", autocompletion=completion.kinds)] = None,
    driven_by: Annotated[str | None, typer.Option(help="bottom-up or task.", autocompletion=completion.drivers)] = None,
    reach: Annotated[
        str | None,
        typer.Option(help="'point to point' or 'point to region'.", autocompletion=completion.reaches),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(help="A task of the paper: classification, segmentation …", autocompletion=completion.tasks),
    ] = None,
    since: Annotated[int | None, typer.Option(help="First year of publication.")] = None,
    until: Annotated[int | None, typer.Option(help="Last year of publication.")] = None,
    networks: Annotated[
        bool, typer.Option("--networks", help="List the papers' networks that `regard.create` builds by name.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the mechanisms and systems of the catalogue, oldest paper first.

    Each has one line: name, year, • where it can be attached to a backbone, what it ranges over, what it is. A pipe
    gets whole lines.

    Example: `regard list "*eca*"`, `regard list --domain channel+spatial --since 2018`
    """
    conditions: dict[str, Any] = {
        "domain": [word for given in domain or () for word in given.split("+")] or None,
        "soft": soft, "attachable": attachable, "acts_on": acts_on, "grain": grain, "kind": kind,
        "driven_by": driven_by, "reach": reach, "task": task, "since": since, "until": until,
    }  # fmt: skip
    if networks:
        folders = {entry.folder for entry in catalog.find(**conditions)}
        if any(value is not None for value in conditions.values()):
            folders -= {
                catalog.get(name).folder for name in ("paper_network", "segmenter")
            }  # plain ones ask for nothing
        _list_networks(pattern, folders, as_json)
        return
    found = catalog.find(pattern, **conditions)
    if as_json:
        _print_json([listing.facts(entry) for entry in found])
    elif found:
        _print_lines(listing.entries(found, _width()))
        if out.is_terminal:
            out.print(
                f"\n{listing.ATTACHABLE} can be attached to a backbone. `regard show NAME` says more.", style="dim"
            )
    else:
        out.print("Nothing in the catalogue fits all of these conditions.")


def _list_networks(pattern: str | None, folders: set[str], as_json: bool) -> None:
    found = [
        name
        for name, folder in catalog.named().items()
        if folder in folders
        and (pattern is None or any(fnmatchcase(one.lower(), pattern.lower()) for one in (name, folder)))
    ]
    if as_json:
        papers = catalog.named()
        _print_json([{"name": one, "folder": papers[one], "title": listing.paper_of(papers[one])} for one in found])
    elif found:
        _print_lines(listing.networks(found, _width()))
    else:
        out.print("No network fits all of these conditions.")


def show(
    name: Annotated[str, typer.Argument(help="A name that `regard list` prints.", autocompletion=completion.entries)],
    as_json: AsJson = False,
) -> None:
    """Show one entry: paper, equations, place in a network, maps, arguments and cost.

    Example: `regard show cbam`
    """
    entry = catalog.get(name)
    cost = costs.cost(entry)
    if as_json:
        figures = None if cost is None else asdict(cost)
        _print_json({**listing.facts(entry), "header": entry.header, "cost": figures})
        return
    for line in listing.shown(entry, cost, _width()):
        out.print(line, markup=False, highlight=False, soft_wrap=True)


def list_recipes(
    pattern: Annotated[
        str | None,
        typer.Argument(help="A recipe, or a pattern with * and ?.", autocompletion=completion.named_recipes),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the recipes that `regard train` follows, with the numbers of the papers; of a single one show everything.

    Example: `regard recipes`, `regard recipes ram-mnist`
    """
    from regard.catalog import recipes

    found = [one for one in recipes.listings() if pattern is None or fnmatchcase(one.name, pattern.lower())]
    if pattern is not None and not found and not any(sign in pattern for sign in "*?["):
        recipes.get(pattern)
    if as_json:
        _print_json([asdict(one) for one in found])
    elif pattern is not None and len(found) == 1:
        _print_lines([(found[0].name, "")])
        _print_lines((title, f"{'':<{8 - len(title)}}{words}") for title, words in listing.recipe(found[0]))
    elif found:
        _print_lines(listing.recipes(found, _width()))
        if out.is_terminal:
            out.print("\n`regard recipes NAME` shows the dataset and where the paper's number stands.", style="dim")
    else:
        out.print("No recipe has such a name.")


def _width() -> int | None:
    """The terminal's width; None where the output goes elsewhere, and lines stay whole."""
    return out.width if out.is_terminal else None


def _print_lines(lines: Iterable[listing.Line]) -> None:
    for name, rest in lines:
        out.print(Text.assemble((name, "bold"), rest), soft_wrap=True)


def _print_json(content: Any) -> None:
    print(json.dumps(content, indent=2, ensure_ascii=False))
