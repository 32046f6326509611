"""The command `serve`: a local page on which attention is looked at and changed."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from regard.cli import arguments, completion

out = Console()

MISSING = 'the page needs Starlette and uvicorn, which are not installed: pip install "regard[serve]"'


def serve(
    photographs: Annotated[
        list[Path] | None, typer.Argument(help="Photographs that the page has from the start.")
    ] = None,
    mechanism: Annotated[
        str | None,
        typer.Option("--with", help="A name that `regard list` prints.", autocompletion=completion.entries),
    ] = None,
    backbone: Annotated[
        str | None, typer.Option("--on", help="A model name of timm, resnet18 by default; a system needs none.")
    ] = None,
    weights: Annotated[
        list[Path] | None,
        typer.Option(help="Trained weights: a file, or a folder of `regard train` or `compare`; several are accepted."),
    ] = None,
    pretrained: Annotated[bool, typer.Option("--pretrained", help="Load the published weights of backbones.")] = False,
    after: Annotated[list[str] | None, typer.Option(help="Where to attach: glob patterns over module names.")] = None,
    kwargs: Annotated[str, typer.Option(help="Arguments of the mechanism or system, as JSON.")] = "{}",
    image_size: Annotated[int | None, typer.Option(help="Side in pixels, by default the network's own.")] = None,
    port: Annotated[int, typer.Option(help="Port on this machine; 0 takes any that is free.")] = 8130,
    browser: Annotated[bool, typer.Option(help="Open the page in the browser.")] = True,
) -> None:
    """Open a local page: attention maps over photographs, and what changes when they are edited.

    Without a network it shows the small trained one that comes with the library, on images of its own. The page can
    also choose any entry and any backbone. It is reached from this machine alone, and only with the token in the
    address that is printed.

    Example: `regard serve`; `regard serve photo.jpg --weights run/`; `regard serve photos/*.jpg --on
    vit_small_patch16_224 --pretrained`
    """
    given = arguments.json_object("--kwargs", kwargs)
    for path in (*(photographs or ()), *(weights or ())):
        arguments.there(path)
    if mechanism is not None:
        arguments.network(mechanism, None, given, image_size)
    arguments.at_least("--image-size", image_size, 1)
    if not 0 <= port < 2**16:
        raise ValueError(f"--port={port}: a number from 0 to {2**16 - 1} is accepted")
    if mechanism is None and backbone is None and not weights and (pretrained or after or given or image_size):
        raise ValueError("no network is named: give --with, --on or --weights")
    try:
        from regard.serving.running import run
    except ModuleNotFoundError as error:
        if error.name in ("starlette", "uvicorn"):
            raise ModuleNotFoundError(MISSING) from error
        raise
    from regard.serving.networks import Networks, named
    from regard.serving.starting import studio

    command = named(
        mechanism, backbone=backbone, weights=weights or (), pretrained=pretrained, after=after, image_size=image_size,
        kwargs=given,
    )  # fmt: skip
    opened = studio(Networks(command, pretrained=pretrained), photographs or ())
    out.print(f"{command[0].title} is open", highlight=False)

    def ready(address: str) -> None:
        out.print(f"regard serves {address}", highlight=False, soft_wrap=True)
        out.print("Ctrl-C ends it; the address holds a token, so give it to nobody", style="dim", highlight=False)
        if browser:
            webbrowser.open(address)

    run(opened, port=port, ready=ready)
