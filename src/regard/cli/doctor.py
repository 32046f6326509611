"""The command that examines the attention of a network: `doctor`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from regard.cli import arguments, completion
from regard.cli.looking import After, Backbone, Kwargs, Mechanism, Pretrained, Weights

if TYPE_CHECKING:
    from regard.examining.findings import Examination

out = Console()
err = Console(stderr=True)

COLOURS = {"error": "red", "warning": "yellow", "note": "blue"}


def doctor(
    images: Annotated[
        Path, typer.Option(help="A photograph, or a folder of some; with a subfolder for each class also a loss.")
    ],
    target: Annotated[
        str | None,
        typer.Argument(metavar="PATH.py:NAME", help="A function or class that builds the network, or the network."),
    ] = None,
    mechanism: Mechanism = None,
    backbone: Backbone = None,
    weights: Weights = None,
    pretrained: Pretrained = False,
    after: After = None,
    kwargs: Kwargs = "{}",
    image_size: Annotated[
        int | None, typer.Option(help="Side in pixels, by default the network's own, or 224.")
    ] = None,
    limit: Annotated[int, typer.Option(help="Most photographs; evenly spaced ones are taken.")] = 8,
    check: Annotated[
        list[str] | None,
        typer.Option(
            help="Make only these checks: names or patterns; may be repeated.", autocompletion=completion.checks
        ),
    ] = None,
    compile: Annotated[
        bool, typer.Option("--compile", help="Also compare the compiled network, which can take minutes.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON: findings, and the numbers of each map.")] = False,
    page: Annotated[Path | None, typer.Option("--out", help="Write a page with pictures to this HTML file.")] = None,
) -> None:
    """Examine the attention of a network, whatever its origin, and say what is usually wrong with it.

    PATH.py is run, as `python PATH.py` runs it. The exit code is 1 if there is an error; warnings and notes are none.

    Example: `regard doctor my.py:build --images photos/`; `regard doctor --on vit_small_patch16_224 --pretrained
    --images photos/ --out doctor.html`; `regard doctor --weights run/ --images photos/`
    """
    given = arguments.json_object("--kwargs", kwargs)
    arguments.there(images)
    arguments.at_least("--image-size", image_size, 1)
    arguments.at_least("--limit", limit, 1)
    arguments.checks(check or [])
    if target is not None:
        other = {"--with": mechanism, "--on": backbone, "--weights": weights, "--after": after}
        if named := next((option for option, value in other.items() if value), None):
            raise ValueError(f"{named}: leave it out, or {target}: both name a network")
    elif backbone is None or mechanism is not None or weights is not None:
        arguments.network(mechanism, weights, given, image_size)
    from regard.examining import doctor as examine
    from regard.examining import photographs

    network: Any = None
    if target is not None:
        model, name = _built(target, given), target.rpartition(":")[2]
        preparation = photographs.Preparation.of(model, image_size)
    else:
        from regard.saved.opening import open_network

        network = open_network(
            mechanism, backbone=backbone, weights=weights, pretrained=pretrained, after=after, image_size=image_size,
            kwargs=given,
        )  # fmt: skip
        model, name = network.model, network.name
        size = network.size or ((image_size,) * 2 if image_size else (photographs.SIDE,) * 2)
        preparation = photographs.Preparation(size, network.channels, network.normalise)
    paths = photographs.files(images, limit)
    batch = preparation.batch(paths)
    loss, about = photographs.class_loss(model, batch, paths, images, () if network is None else network.class_names)
    with err.status("") as line:  # on a terminal only

        def tell(asked: str, done: int, total: int) -> None:
            line.update(f"{asked} ({done + 1} of {total})")

        found = examine(
            model, batch, loss, checks=tuple(check) if check else "*", compile=compile, name=name, on_check=tell
        )
    if page is not None:
        found.report(page)
    if as_json:
        print(found.json())
    else:
        if network is not None and network.untrained:
            out.print(f"[yellow]Random weights[/]: {network.untrained} is untrained.", highlight=False)
        _print(found, about)
        if page is not None:
            out.print(f"written: {escape(str(page))}", highlight=False, soft_wrap=True)
    if not found.ok:
        raise typer.Exit(1)


def _built(target: str, kwargs: dict[str, Any]) -> Any:
    """The network that `PATH.py:NAME` is or builds.

    Raises: ValueError if it is none, or cannot be built with these arguments.
    """
    from torch import nn

    from regard.cli.loading import class_at

    found = class_at(target, "function or class")
    if callable(found) and not isinstance(found, nn.Module):
        try:
            found = found(**kwargs)
        except TypeError as error:
            raise ValueError(f"{target} cannot be built: {error}; --kwargs gives its arguments") from error
    if not isinstance(found, nn.Module):
        raise ValueError(f"{target} gives {type(found).__name__}: a torch.nn.Module is needed")
    return found


def _print(found: Examination, about: str) -> None:
    """The findings as a table, the worst of each check, and below what they usually mean."""
    from regard.examining.findings import shown

    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("", "check", "where"):
        table.add_column(title, overflow="fold")
    table.add_column("number", justify="right")
    table.add_column("found if", justify="right")
    for group in found.groups:
        worst = group.worst
        side = "above" if worst.above else "below"
        severity = f"[{COLOURS[worst.severity]}]{worst.severity}[/]"
        table.add_row(
            severity, worst.check, escape(group.place), shown(worst.number), f"{side} {shown(worst.threshold)}"
        )
    if found.groups:
        out.print(table)
        out.print()
    for group in found.groups:
        detail = (
            f" [dim]({escape(group.worst.measures)}{'; ' if group.worst.detail else ''}{escape(group.worst.detail)})[/]"
        )
        out.print(f"[bold]{group.worst.check}[/]: {escape(group.worst.means)}{detail}", highlight=False)
    for check, reason in found.unasked.items():
        out.print(f"[dim]not asked: {check}: {escape(reason)}[/]", highlight=False)
    out.print(f"{escape(found.summary)}; {about}", highlight=False)
