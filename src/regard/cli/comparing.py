"""The command `compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from regard import comparing
from regard.cli import arguments
from regard.cli.progress import Bars
from regard.report import Result

out = Console()
err = Console(stderr=True)
LONGEST = 16  # letters of a row's name that a table of 80 has room for
_USUAL = comparing.USUAL[comparing.OPTIMIZER]


def compare(
    data: Annotated[
        str | None,
        typer.Argument(
            help="digits, faces, frames, or a folder of images in one subfolder a class; with --task segment far-cue, "
            "or a folder with images/ and labels/.",
            show_default=comparing.SOURCE,
        ),
    ] = None,
    backbone: Annotated[str, typer.Option(help="A model name of timm.")] = comparing.BACKBONE,
    attention: Annotated[
        str | None,
        typer.Option(
            help="Rows, with commas: names that `regard list` prints, each with options and a place where wanted, as "
            "in 'cbam, cbam(order=parallel)@layer3+layer4'; or all.",
            show_default=",".join(comparing.ATTENTION),
        ),
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="segment: the class of every pixel, by heads such as pam, cca, apnb, ocr.")
    ] = None,
    seeds: Annotated[int, typer.Option(help="Number of trainings of each row.")] = comparing.SEEDS,
    epochs: Annotated[int, typer.Option(help="Passes over the training images.")] = comparing.EPOCHS,
    image_size: Annotated[int | None, typer.Option(help="Side in pixels; the dataset's own by default.")] = None,
    batch_size: Annotated[int, typer.Option(help="Images in a batch.")] = comparing.BATCH_SIZE,
    optimizer: Annotated[str, typer.Option(help=", ".join(comparing.USUAL) + ".")] = comparing.OPTIMIZER,
    lr: Annotated[
        float | None,
        typer.Option(help=f"Peak learning rate; by default {_USUAL.lr:g}, with --pretrained {_USUAL.fine:g} (adamw)."),
    ] = None,
    weight_decay: Annotated[float | None, typer.Option(help=f"By default {_USUAL.weight_decay:g} (adamw).")] = None,
    augment: Annotated[
        str, typer.Option(help="none, light (shifts and flips) or timm (crops, RandAugment, erasing).")
    ] = comparing.AUGMENT,
    freeze: Annotated[str | None, typer.Option(help="backbone: only the attention and the classifier learn.")] = None,
    pretrained: Annotated[bool, typer.Option("--pretrained", help="Start from published backbone weights.")] = False,
    after: Annotated[
        list[str] | None, typer.Option(help="Where to attach rows without a place: glob patterns over module names.")
    ] = None,
    identity: Annotated[
        bool,
        typer.Option("--identity", help="Attach as the identity: training starts from the bare backbone's function."),
    ] = False,
    regions: Annotated[Path | None, typer.Option(help="Boxes (.csv), COCO (.json) or a folder of masks.")] = None,
    train_size: Annotated[int | None, typer.Option(help="At most that many images to train on.")] = None,
    test_size: Annotated[int | None, typer.Option(help="At most that many images to test on.")] = None,
    faithful: Annotated[
        bool,
        typer.Option("--faithful", help="Also test the maps: deletion and insertion, beside random, centre, Grad-CAM."),
    ] = False,
    folder: Annotated[Path, typer.Option("--out", help="The run folder; the same command resumes there.")] = Path(
        "regard-report"
    ),
    workers: Annotated[int | None, typer.Option(help="Local processes; one per core by default.")] = None,
    ray: Annotated[str | None, typer.Option(help="Address of a running Ray cluster (needs regard[ray]).")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
) -> None:
    """Compare attention mechanisms on your images: what they gain, what they cost and where they look.

    Trains none, plain (as many extra parameters in ordinary convolutions) and every row you name from the same weights
    on the same batches, measures them, and writes one HTML report. The same command resumes an interrupted run.

    Example: `regard compare photos/ --backbone resnet18 --attention "se, cbam, cbam(order=parallel)@layer3+layer4"`;
    `regard compare street/ --task segment --attention "pam, cca(recurrence=2), apnb, ocr, se@layer4"`
    """
    arguments.one_of("--task", task, comparing.TASKS)
    if task is None:
        arguments.images(comparing.SOURCE if data is None else data)
    elif data not in (None, comparing.SCENES):
        arguments.label_maps(str(data))
    arguments.there(regions)
    arguments.one_of("--augment", augment, ("none", "light", "timm"))
    arguments.device(device)
    arguments.at_least("--workers", workers, 1)
    with Bars(err) as progress:
        result = comparing.compare(
            data,
            task=task,
            backbone=backbone,
            attention=attention,
            seeds=seeds,
            epochs=epochs,
            image_size=image_size,
            batch_size=batch_size,
            optimizer=optimizer,
            lr=lr,
            weight_decay=weight_decay,
            augment=augment,
            freeze=freeze,
            pretrained=pretrained,
            after=after,
            identity=identity,
            regions=regions,
            train_size=train_size,
            test_size=test_size,
            faithful=faithful,
            out=folder,
            ray=ray,
            workers=workers,
            device=device,
            progress=progress,
        )
    made, names = table(result)
    out.print(result.verdict, style="bold", highlight=False, markup=False)
    out.print(made)
    for number, name in enumerate(names, 1):
        out.print(f"[{number}] {name}", highlight=False, markup=False, soft_wrap=True)
    for sentence in result.sentences:
        out.print(f"• {sentence}", highlight=False, markup=False)
    out.print(f"\n{result.report()}", highlight=False, soft_wrap=True, markup=False)


def table(result: Result) -> tuple[Table, list[str]]:
    """The rows of a comparison as on the page, the best of each column in bold.

    Returns: the table, and the names that it has no room for and numbers instead, from 1.
    """
    from regard.report import text

    titles, lines, cells = text.content(result)
    made = Table(box=None, header_style="bold", pad_edge=False)
    made.add_column("", no_wrap=True)
    for title in titles:
        made.add_column(escape(title), justify="right")
    long: list[str] = []
    for line, own in zip(lines, cells, strict=True):
        name = line.look.name
        if len(name) > LONGEST:
            long.append(name)
            name = f"[{len(long)}]"
        told = [
            f"[bold]{escape(one)}[/]" if cell.best else escape(one) for cell, one in zip(line.cells, own, strict=True)
        ]
        made.add_row(escape(name), *told)
    return made, long
