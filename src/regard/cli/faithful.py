"""The command that asks whether a network's maps show what it uses: `faithful`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from regard.catalog.vocabulary import BASELINES
from regard.cli import arguments, completion, tables
from regard.cli.looking import After, Backbone, Kwargs, Mechanism, Pretrained, Weights

SPEAKS = {
    "deletion": "area under deletion (low is good)",
    "insertion": "area under insertion (high is good)",
    "infidelity": "infidelity (low is good)",
}
out = Console()
err = Console(stderr=True)


def faithful(
    images: Annotated[list[Path], typer.Argument(help="One photograph or several; several give intervals.")],
    mechanism: Mechanism = None,
    backbone: Backbone = None,
    weights: Weights = None,
    pretrained: Pretrained = False,
    after: After = None,
    maps: Annotated[
        str, typer.Option(help="A pattern of the maps that are tested, as 'layer4.*/spatial'; by default all.")
    ] = "*",
    target: Annotated[
        str | None, typer.Option(help="The name or number of the class that is followed; by default the predicted one.")
    ] = None,
    baseline: Annotated[
        list[str] | None,
        typer.Option(
            help="What stands in place of missing pixels: blur, mean, road; may be repeated. By default all three.",
            autocompletion=completion.baselines,
        ),
    ] = None,
    steps: Annotated[int, typer.Option(help="Steps of the curves.")] = 10,
    squares: Annotated[int, typer.Option(help="Perturbations of infidelity; 0 leaves it out.")] = 32,
    stages: Annotated[
        int, typer.Option(help="Stages in which the network loses its weights; 0 leaves the check out.")
    ] = 5,
    layer: Annotated[
        str | None, typer.Option(help="The module that Grad-CAM explains, by default the last with a map.")
    ] = None,
    kwargs: Kwargs = "{}",
    image_size: Annotated[int | None, typer.Option(help="Side in pixels, by default the network's own.")] = None,
    seed: Annotated[int, typer.Option(help="Of all that is drawn.")] = 0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON: curves and the values of every photograph.")
    ] = False,
    folder: Annotated[Path, typer.Option("--out", help="Folder of the picture.")] = Path("regard-faithful"),
) -> None:
    """Ask whether a network's maps show what it uses, beside a random map, the centre and Grad-CAM.

    Takes pixels away in the order of each map, and puts them back; asks how far the map says what the network loses
    (infidelity, 0 is best and 1 says nothing); replaces the map itself by an even one, a shuffled one or that of
    another photograph; and looks what is left of it when the network loses its weights. `docs/faithful.md` has more.

    Example: `regard faithful photo.jpg --on resnet18 --with cbam --weights trained.safetensors`;
    `regard faithful photos/*.jpg --on vit_small_patch16_224 --pretrained --maps "blocks.11.*"`;
    `regard faithful photo.jpg --weights report/trials/cbam-0 --baseline road`
    """
    given = arguments.json_object("--kwargs", kwargs)
    for image in images:
        arguments.there(image)
    for name in baseline or ():
        arguments.one_of("--baseline", name, BASELINES)
    for option, value, least in (("--steps", steps, 2), ("--squares", squares, 0), ("--stages", stages, 0)):
        arguments.at_least(option, value, least)
    if backbone is None or mechanism is not None or weights is not None:
        arguments.network(mechanism, weights, given, image_size)
    arguments.at_least("--image-size", image_size, 1)
    from regard.looking.faithfulness import tested

    seen = 0
    with err.status("") as line:  # on a terminal only

        def count(number: int) -> None:
            nonlocal seen
            seen += number
            line.update(f"{seen} changed photographs")

        result = tested(
            images, mechanism, backbone=backbone, weights=weights, pretrained=pretrained, after=after,
            image_size=image_size, kwargs=given, maps=maps, target=target, baselines=baseline or BASELINES,
            steps=steps, squares=squares, stages=stages, layer=layer, seed=seed, out=folder, on_pass=count,
        )  # fmt: skip
    if as_json:
        print(result.found.json())
        return
    if result.untrained:
        out.print(f"[red]Random weights[/]: {result.untrained} is untrained.", highlight=False)
    tables.trained(out, True, result.changed)
    for name, followed in result.classes:
        out.print(f"{name}: followed is {followed}", markup=False, highlight=False, soft_wrap=True)
    titles, lines = result.found.table()
    for kind in ("deletion", "insertion", "infidelity"):  # a terminal has room for one of them
        shown = [i for i, title in enumerate(titles) if title.startswith(kind)]
        table = Table(box=None, header_style="bold", pad_edge=False)
        table.add_column(SPEAKS[kind], overflow="fold")
        for i in shown:
            table.add_column(titles[i].partition(", ")[2], justify="right", no_wrap=True)
        for cells in lines:
            table.add_row(escape(cells[0]), *(cells[i] for i in shown))
        out.print(table)
    for sentence in result.found.sentences():
        out.print(f"• {sentence}", markup=False, highlight=False)
    out.print(f"{result.picture}", markup=False, highlight=False, soft_wrap=True)
