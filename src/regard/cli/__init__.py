"""The command line: parse, check and call.

Torch and timm are imported by the commands that need them, after their arguments have been checked.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from regard import __version__, comparing
from regard.cli import arguments, browsing, completion, holding, looking, tables
from regard.cli.progress import Bars, Steps

out = Console()
err = Console(stderr=True)

app = typer.Typer(
    name="regard",
    help="Visual attention: list it, attach it, watch it, compare it on your own images.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        out.print(f"regard {__version__}", highlight=False)
        raise typer.Exit


@app.callback()
def start(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Visual attention: list it, attach it, watch it, compare it on your own images.

    Example: `regard compare digits --attention se,eca,cbam,gc --out regard-report`; `regard --install-completion`
    makes the shell complete commands, options and names.
    """


app.command("list")(browsing.list_entries)
app.command()(browsing.show)
app.command()(looking.look)
app.command()(looking.gaze)
app.command()(holding.check)
app.add_typer(holding.published_app, name="published")


@app.command()
def compare(
    data: Annotated[str, typer.Argument(help="digits, faces, or a folder of images in one subfolder a class.")] = (
        comparing.SOURCE
    ),
    backbone: Annotated[str, typer.Option(help="Any backbone of timm.")] = comparing.BACKBONE,
    attention: Annotated[str, typer.Option(help="Names that `regard list` prints, with commas, or all.")] = ",".join(
        comparing.ATTENTION
    ),
    seeds: Annotated[int, typer.Option(help="Trainings of each mechanism.")] = comparing.SEEDS,
    epochs: Annotated[int, typer.Option(help="Passes over the training images.")] = comparing.EPOCHS,
    image_size: Annotated[int | None, typer.Option(help="Side in pixels; the data's own by default.")] = None,
    batch_size: Annotated[int, typer.Option(help="Images a step.")] = comparing.BATCH_SIZE,
    lr: Annotated[float, typer.Option(help="Peak learning rate.")] = comparing.LR,
    pretrained: Annotated[bool, typer.Option("--pretrained", help="Start from published backbone weights.")] = False,
    after: Annotated[list[str] | None, typer.Option(help="Where to attach: glob patterns over module names.")] = None,
    identity: Annotated[bool, typer.Option("--identity", help="Start as the bare backbone's function.")] = False,
    regions: Annotated[Path | None, typer.Option(help="Boxes (.csv), COCO (.json) or a folder of masks.")] = None,
    train_size: Annotated[int | None, typer.Option(help="At most that many images to train on.")] = None,
    test_size: Annotated[int | None, typer.Option(help="At most that many images to test on.")] = None,
    folder: Annotated[Path, typer.Option("--out", help="Where results go; the same command goes on there.")] = Path(
        "regard-report"
    ),
    workers: Annotated[int | None, typer.Option(help="Local processes; one per core by default.")] = None,
    ray: Annotated[str | None, typer.Option(help="Address of a running Ray cluster (needs regard[ray]).")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
) -> None:
    """Which attention helps on your images, at what cost, and where does it look?

    Trains none, plain (as many extra parameters in ordinary convolutions) and every mechanism you name from the same
    weights on the same batches, measures them, and writes one HTML report. Stop it when you like: the same command
    goes on.

    Example: `regard compare photos/ --backbone resnet18 --attention se,eca,cbam,gc --seeds 3 --out report`
    """
    from regard import report

    with Bars(err) as progress:
        comparing.compare(
            data,
            backbone=backbone,
            attention=[name.strip() for name in attention.split(",") if name.strip()],
            seeds=seeds,
            epochs=epochs,
            image_size=image_size,
            batch_size=batch_size,
            lr=lr,
            pretrained=pretrained,
            after=after,
            identity=identity,
            regions=regions,
            train_size=train_size,
            test_size=test_size,
            out=folder,
            ray=ray,
            workers=workers,
            device=device,
            progress=progress,
        )
    summary = comparing.summary(folder)
    out.print(tables.comparison(summary))
    for sentence in summary.sentences:
        out.print(f"• {sentence}", highlight=False)
    page = report.write(folder, summary)
    out.print(f"\n{page}", highlight=False, soft_wrap=True)


app.command("recipes")(browsing.list_recipes)


@app.command()
def train(
    name: Annotated[str, typer.Argument(help="A name that `regard recipes` prints.")],
    data: Annotated[Path | None, typer.Option(help="The folder of the data set, where the recipe needs one.")] = None,
    tiny: Annotated[bool, typer.Option("--tiny", help="The small twin: seconds, on data that comes along.")] = False,
    epochs: Annotated[int | None, typer.Option(help="Passes over the data, in place of the recipe's.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images a step, in place of the recipe's.")] = None,
    lr: Annotated[float | None, typer.Option(help="Peak learning rate, in place of the recipe's.")] = None,
    precision: Annotated[str | None, typer.Option(help="float32, bfloat16 or float16.")] = None,
    seed: Annotated[int, typer.Option(help="Of the weights and of all that is drawn.")] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
    workers: Annotated[int, typer.Option(help="Processes that load images ahead.")] = 0,
    folder: Annotated[
        Path | None, typer.Option("--out", help="The run folder; the same command goes on there.")
    ] = None,
) -> None:
    """Train a system of a paper from its recipe, and score it beside the paper's number.

    Under `torchrun --nproc-per-node N -m regard train …` the same on N processes.

    Example: `regard train ram-mnist --data mnist/ --out run`
    """
    from regard.catalog import recipes
    from regard.training import running
    from regard.training.recipe import built

    listing = recipes.get(name)
    recipe = built(listing, data, tiny=tiny)
    given = {"epochs": epochs, "batch_size": batch_size, "lr": lr, "precision": precision}
    place = folder or Path(f"regard-{name}{'-tiny' if tiny else ''}")
    with Steps(err) as progress:
        result = running.train(
            listing,
            recipe,
            out=place,
            device=device,
            seed=seed,
            workers=workers,
            changes={field: value for field, value in given.items() if value is not None},
            on_phase=progress.phase,
            on_step=progress.step,
            on_epoch=progress.epoch,
        )
    tables.scored(out, listing, result["scores"])
    out.print(f"{place / 'model.safetensors'}", highlight=False, soft_wrap=True)


@app.command("eval")
def evaluate(
    weights: Annotated[Path, typer.Option(help="A run folder of `regard train`, or its model.safetensors.")],
    name: Annotated[
        str | None,
        typer.Argument(
            help="Another recipe than the one that trained the weights.", autocompletion=completion.named_recipes
        ),
    ] = None,
    data: Annotated[Path | None, typer.Option(help="The folder of the dataset, where the recipe needs one.")] = None,
    tiny: Annotated[
        bool, typer.Option("--tiny", help="The tiny variant; without NAME the weights tell which it is.")
    ] = False,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
) -> None:
    """Score trained weights of a recipe on its test data.

    Example: `regard eval --weights run/ --data mnist/`
    """
    from regard.catalog import recipes

    arguments.there(weights)
    arguments.there(data)
    arguments.device(device)
    listing = None if name is None else recipes.get(name)
    from regard.training import running
    from regard.training.recipe import built

    if listing is None:
        known, tiny = running.recorded(weights)
        listing = recipes.get(known)
    recipe = built(listing, data, tiny=tiny)
    tables.scored(out, listing, running.evaluate(recipe, running.load(recipe, weights), device=device))


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line. An error is one line and a non-zero exit code; `--debug` adds the traceback."""
    given = sys.argv[1:] if arguments is None else arguments
    # --debug may stand anywhere on the line, which is where people add it after an error
    debug = "--debug" in given
    command = typer.main.get_command(app)
    try:
        code = command.main([word for word in given if word != "--debug"], prog_name="regard", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        _fail("interrupted; the same command goes on where it stopped", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if hasattr(error, "show") and hasattr(error, "exit_code"):  # a wrong word on the line: click's own, or typer's
            error.show()
            sys.exit(error.exit_code)
        if debug:
            raise
        _fail(" ".join(str(error).split()) or type(error).__name__, 1)
    else:
        sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str, code: int) -> None:
    err.print(f"[red]regard:[/] {_escaped(message)}", highlight=False, soft_wrap=True)
    sys.exit(code)


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)
