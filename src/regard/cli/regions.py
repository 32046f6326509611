"""The command that writes regions of photographs: `regions`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from regard.cli import arguments

out = Console()
err = Console(stderr=True)


def regions(
    photographs: Annotated[Path, typer.Argument(help="A photograph, or a folder with photographs.")],
    file: Annotated[Path, typer.Option("--out", help="The file of regions, which must not be there yet.")] = Path(
        "regions.tsv"
    ),
    detector: Annotated[
        str, typer.Option(help="A Faster R-CNN of torchvision, such as fasterrcnn_resnet50_fpn_v2.")
    ] = "fasterrcnn_resnet50_fpn",
    weights: Annotated[Path | None, typer.Option(help="A file of the detector's published weights.")] = None,
    pretrained: Annotated[
        bool, typer.Option("--pretrained", help="Let torchvision fetch the published weights.")
    ] = False,
    confidence: Annotated[float, typer.Option(help="From which a region is kept, 0 to 1.")] = 0.2,
    least: Annotated[int, typer.Option(help="At least this many regions of a photograph.")] = 10,
    most: Annotated[int, typer.Option(help="At most this many regions of a photograph.")] = 100,
) -> None:
    """Write regions of photographs with their features, as the networks over regions read them.

    The file has the six columns of the published bottom-up features. The detector is torchvision's Faster R-CNN.

    Example: `regard regions photos/ --out features.tsv --pretrained`;
    `regard regions photos/ --out features.tsv --weights fasterrcnn_resnet50_fpn_coco-258fb6c6.pth`
    """
    arguments.there(photographs)
    arguments.there(weights)
    arguments.at_least("--least", least, 1)
    arguments.at_least("--most", most, 1)
    if (weights is None) == (not pretrained):
        raise ValueError(
            "--weights names a file of the detector's weights, --pretrained fetches them: give one of them"
        )
    from regard.cli.progress import Steps
    from regard.looking.regions import write_regions

    with Steps(err) as progress:
        count, skipped = write_regions(
            photographs, file, detector=detector, weights=weights, pretrained=pretrained, confidence=confidence,
            least=least, most=most, on_image=progress.image,
        )  # fmt: skip
    for one in skipped:
        out.print(f"left out: {one.path}: {one.reason}", markup=False, highlight=False, soft_wrap=True)
    out.print(f"{file}: regions of {count} photographs", markup=False, highlight=False, soft_wrap=True)
