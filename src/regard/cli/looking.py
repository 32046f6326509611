"""The commands that look at images through a network: `look` and `gaze`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from regard.cli import arguments, completion, tables

out = Console()
err = Console(stderr=True)

Mechanism = Annotated[
    str | None,
    typer.Option(
        "--with",
        help="A name that `regard list` prints; weights of `regard train` need none.",
        autocompletion=completion.entries,
    ),
]
Backbone = Annotated[
    str | None, typer.Option("--on", help="A model name of timm, resnet18 by default; a system needs none.")
]
Weights = Annotated[
    Path | None, typer.Option(help="Trained weights of the network, or a run folder of `regard train`.")
]
Pretrained = Annotated[bool, typer.Option("--pretrained", help="Load the published weights of the backbone.")]
After = Annotated[list[str] | None, typer.Option(help="Where to attach: glob patterns over module names.")]
Kwargs = Annotated[str, typer.Option(help="Arguments of the mechanism or system, as JSON.")]


def look(
    images: Annotated[list[Path], typer.Argument(help="One photograph or several.")],
    mechanism: Mechanism = None,
    backbone: Backbone = None,
    weights: Weights = None,
    pretrained: Pretrained = False,
    after: After = None,
    kwargs: Kwargs = "{}",
    image_size: Annotated[
        int | None, typer.Option(help="Side in pixels, by default the network's own; for a system the longer side.")
    ] = None,
    folder: Annotated[Path, typer.Option("--out", help="Folder of the pictures.")] = Path("regard-look"),
) -> None:
    """Draw every attention map of a network over photographs.

    Example: `regard look photo.jpg --weights run/`, where `regard train` wrote; `regard look photo.jpg --with cbam
    --on resnet18 --weights trained.safetensors`; or, without training, `regard look photo.jpg --with itti`
    """
    given = arguments.json_object("--kwargs", kwargs)
    for image in images:
        arguments.there(image)
    arguments.network(mechanism, weights, given, image_size)
    from regard.looking.photographs import look as drawn

    looks = drawn(
        images, mechanism, backbone=backbone, weights=weights, pretrained=pretrained, after=after,
        image_size=image_size, out=folder, kwargs=given,
    )  # fmt: skip
    for written in looks.pictures:
        out.print(f"{written}", highlight=False, soft_wrap=True)
    tables.trained(out, looks.trained, looks.changed)


def gaze(
    folder: Annotated[Path, typer.Argument(help="Images with fixations: OSIE-, SALICON-, MIT1003-like, or a CSV.")],
    mechanism: Mechanism = None,
    backbone: Backbone = None,
    weights: Weights = None,
    pretrained: Pretrained = False,
    after: After = None,
    kwargs: Kwargs = "{}",
    image_size: Annotated[
        int | None, typer.Option(help="Side in pixels, by default the network's own; for a system the longer side.")
    ] = None,
    part: Annotated[str | None, typer.Option(help="train or val, where the folder tells them apart.")] = None,
    limit: Annotated[int | None, typer.Option(help="At most this many images.")] = None,
    blur: Annotated[float, typer.Option(help="Gaussian blur of the maps, as a share of the longer side.")] = 0.0,
    convention: Annotated[str, typer.Option(help="Definition of the measures: mit or pysaliency.")] = "mit",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with the values of every image.")] = False,
) -> None:
    """Score a network's attention maps as predictions of human fixations, beside centre bias and other viewers.

    Example: `regard gaze osie/ --with cbam --on resnet18 --weights trained.safetensors`
    """
    given = arguments.json_object("--kwargs", kwargs)
    arguments.there(folder)
    arguments.one_of("--part", part, ("train", "val"))
    arguments.at_least("--limit", limit, 2)
    arguments.one_of("--convention", convention, ("mit", "pysaliency"))
    if not 0 <= blur < 1:
        raise ValueError(f"--blur={blur:g}: a share of at least 0 and below 1 is accepted")
    arguments.network(mechanism, weights, given, image_size)
    from regard.cli.progress import Steps
    from regard.looking.gaze import gaze as scored

    with Steps(err) as progress:
        found = scored(
            folder, mechanism, backbone=backbone, weights=weights, pretrained=pretrained, after=after,
            image_size=image_size, part=part, limit=limit, blur=blur, convention=convention,
            on_image=progress.image, kwargs=given,
        )  # fmt: skip
    if as_json:
        print(found.json())
        return
    out.print(tables.gazed(found))
    if found.skipped:
        out.print(f"not scored, because they have no place: {', '.join(found.skipped)}", highlight=False)
    tables.trained(out, found.trained, found.changed)
