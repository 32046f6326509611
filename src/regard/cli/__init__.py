"""The command line: parse and call, no logic. Torch is imported by the commands that need it, not by `--help`."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from regard import __version__, catalog, comparing
from regard.cli import tables
from regard.cli.progress import Bars, Steps

out = Console()
err = Console(stderr=True)

app = typer.Typer(
    name="regard",
    help="Visual attention: list it, attach it, see it, compare it on your own images.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    add_completion=False,
)
published_app = typer.Typer(
    help="Authors' checkpoints: what is known, and conversion to our names.", no_args_is_help=True
)
app.add_typer(published_app, name="published")


Mechanism = Annotated[
    str | None, typer.Option("--with", help="A name that `regard list` prints; trained runs say it themselves.")
]
Weights = Annotated[Path | None, typer.Option(help="Trained weights of the network, or the folder of a run of ours.")]


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
    """Visual attention: list it, attach it, see it, compare it on your own images.

    Example: `regard compare digits --attention se,eca,cbam,gc --out regard-report`
    """


@app.command("list")
def list_entries(
    domain: Annotated[str | None, typer.Option(help="channel, spatial, self, mixed …")] = None,
    soft: Annotated[
        bool | None, typer.Option("--soft/--hard", help="Differentiable weights, or a discrete choice.")
    ] = None,
    since: Annotated[int | None, typer.Option(help="First year of publication.")] = None,
    until: Annotated[int | None, typer.Option(help="Last year of publication.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """What exists: every mechanism, oldest paper first.

    Example: `regard list --domain channel --since 2019`
    """
    found = catalog.find(domain=domain, soft=soft, since=since, until=until)
    if as_json:
        print(json.dumps([tables.facts(entry) for entry in found], indent=2, ensure_ascii=False))
    elif found:
        out.print(tables.entries(found))
    else:
        out.print("Nothing in the catalogue fits all of these conditions.")


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A name that `regard list` prints.")],
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """One mechanism: paper, equations, where it goes, its maps and what it costs.

    Example: `regard show cbam`
    """
    entry = catalog.get(name)
    from regard.laws.costs import standard_cost

    cost = standard_cost(entry)
    if as_json:
        print(json.dumps({**tables.facts(entry), "header": entry.header, "cost": cost}, indent=2, ensure_ascii=False))
    else:
        tables.show(out, entry, cost)


@app.command()
def look(
    images: Annotated[list[Path], typer.Argument(help="One photograph or several.")],
    mechanism: Mechanism = None,
    backbone: Annotated[
        str | None, typer.Option("--on", help="Any backbone of timm, resnet18 by default; a system needs none.")
    ] = None,
    weights: Weights = None,
    pretrained: Annotated[bool, typer.Option("--pretrained", help="Load the published backbone weights.")] = False,
    after: Annotated[list[str] | None, typer.Option(help="Where to attach: glob patterns over module names.")] = None,
    kwargs: Annotated[str, typer.Option(help="Arguments of the mechanism, as JSON.")] = "{}",
    image_size: Annotated[
        int | None, typer.Option(help="Side in pixels, by default the network's own; of a system the longer side.")
    ] = None,
    folder: Annotated[Path, typer.Option("--out", help="Where the pictures go.")] = Path("regard-look"),
) -> None:
    """See attention maps over real photographs.

    Example: `regard look photo.jpg --weights run/`, where `regard train` wrote; `regard look photo.jpg --with cbam
    --on resnet18 --weights trained.safetensors`; or, without anything to train, `regard look photo.jpg --with itti`
    """
    from regard.cli.loading import json_object
    from regard.looking.photographs import look

    looks = look(
        images, mechanism, backbone=backbone, weights=weights, pretrained=pretrained, after=after,
        image_size=image_size, out=folder, kwargs=json_object("--kwargs", kwargs),
    )  # fmt: skip
    for written in looks.pictures:
        out.print(f"{written}", highlight=False, soft_wrap=True)
    tables.trained(out, looks.trained, looks.changed)


@app.command()
def gaze(
    folder: Annotated[Path, typer.Argument(help="Images with fixations: OSIE-, SALICON-, MIT1003-like, or a CSV.")],
    mechanism: Mechanism = None,
    backbone: Annotated[
        str | None, typer.Option("--on", help="Any backbone of timm, by default resnet18; a system needs none.")
    ] = None,
    weights: Weights = None,
    pretrained: Annotated[bool, typer.Option("--pretrained", help="Load the published backbone weights.")] = False,
    after: Annotated[list[str] | None, typer.Option(help="Where to attach: glob patterns over module names.")] = None,
    kwargs: Annotated[str, typer.Option(help="Arguments of the mechanism, as JSON.")] = "{}",
    image_size: Annotated[int | None, typer.Option(help="Side in pixels; None is the network's own.")] = None,
    part: Annotated[str | None, typer.Option(help="train or val, where the folder tells them apart.")] = None,
    limit: Annotated[int | None, typer.Option(help="At most so many images.")] = None,
    blur: Annotated[float, typer.Option(help="Of the maps, as a share of the longer side.")] = 0.0,
    convention: Annotated[str, typer.Option(help="Whose measures: mit or pysaliency.")] = "mit",
    as_json: Annotated[bool, typer.Option("--json", help="For programs, with the values of every image.")] = False,
) -> None:
    """Does a network look where people look? Its maps against human fixations, centre bias and other viewers.

    Example: `regard gaze osie/ --with cbam --on resnet18 --weights trained.safetensors`
    """
    from regard.cli.loading import json_object
    from regard.looking.gaze import gaze as scored

    arguments = json_object("--kwargs", kwargs)
    with Steps(err) as progress:
        found = scored(
            folder, mechanism, backbone=backbone, weights=weights, pretrained=pretrained, after=after,
            image_size=image_size, part=part, limit=limit, blur=blur, convention=convention,
            on_image=progress.image, kwargs=arguments,
        )  # fmt: skip
    if as_json:
        print(found.json())
        return
    out.print(tables.gazed(found))
    if found.skipped:
        out.print(f"without a place, so not scored: {', '.join(found.skipped)}", highlight=False)
    tables.trained(out, found.trained, found.changed)


@app.command()
def check(
    target: Annotated[str, typer.Argument(help="A catalogue name, or PATH.py:CLASS.")],
    kwargs: Annotated[str, typer.Option(help="Arguments of the class, as JSON.")] = "{}",
    channels: Annotated[int | None, typer.Option(help="Channels of the input, where they cannot be seen.")] = None,
    inputs: Annotated[list[str] | None, typer.Option(help="Axes of an input, once for each.")] = None,
    law: Annotated[list[str] | None, typer.Option(help="Only this law; may be repeated.")] = None,
) -> None:
    """Hold a module, yours or ours, to the contract.

    Example: `regard check my_module.py:MyAttention --kwargs '{"channels": 64}'`
    """
    from regard import laws
    from regard.cli.loading import class_at, json_object

    arguments = json_object("--kwargs", kwargs)
    subject: Any = class_at(target) if ":" in target else target
    report = laws.check(
        subject, kwargs=arguments, channels=channels, inputs=tuple(inputs or ("B C H W",)), laws=law
    )  # fmt: skip
    out.print(str(report), highlight=False, markup=False, soft_wrap=True)
    if not report.ok:
        raise typer.Exit(1)


@published_app.command("list")
def published_list(
    entry: Annotated[str | None, typer.Argument(help="Only those of one mechanism.")] = None,
) -> None:
    """Every published module whose weights can be loaded, with its own arguments.

    Example: `regard published list nonlocal`
    """
    from regard import published

    if entry is not None:
        catalog.get(entry)
    for reference in published.references(entry):
        out.print(f"{reference.name} {reference.signature} -> {reference.entry}", highlight=False, soft_wrap=True)


@published_app.command("convert")
def published_convert(
    source: Annotated[Path, typer.Argument(help="The authors' .pth, .pt, .bin or .safetensors file.")],
    target: Annotated[Path, typer.Argument(help="The .safetensors file to write; never overwritten.")],
    reference: Annotated[str, typer.Option(help="A name that `regard published list` prints.")],
    args: Annotated[str, typer.Option(help="The published constructor's arguments, as JSON.")] = "{}",
    prefix: Annotated[str, typer.Option(help="Take only the keys under this prefix.")] = "",
) -> None:
    """Rewrite an authors' checkpoint under our names; no code in the file is run.

    Example: `regard published convert se.pth se.safetensors --reference se/moskomule.senet.pytorch/SELayer
    --args '{"channel": 64}' --prefix layer1.0.se.`
    """
    from regard import published
    from regard.cli.loading import json_object

    module = published.convert(source, target, reference=reference, args=json_object("--args", args), prefix=prefix)
    told = f"{target}: {type(module).__name__}, {len(module.state_dict())} tensors"
    out.print(told, highlight=False, soft_wrap=True)


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


@app.command("recipes")
def list_recipes(
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """What can be trained: the systems of the papers, with the paper's numbers.

    Example: `regard recipes`
    """
    from regard.catalog import recipes

    if as_json:
        print(json.dumps([asdict(listing) for listing in recipes.listings()], indent=2, ensure_ascii=False))
    else:
        out.print(tables.recipes(recipes.listings()))


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
    weights: Annotated[Path, typer.Option(help="The folder of a trained run, or its model.safetensors.")],
    name: Annotated[str | None, typer.Argument(help="Another recipe than the one that trained it.")] = None,
    data: Annotated[Path | None, typer.Option(help="The folder of the data set, where the recipe needs one.")] = None,
    tiny: Annotated[bool, typer.Option("--tiny", help="The small twin; without NAME the weights say it.")] = False,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
) -> None:
    """Score trained weights of a recipe on its test images.

    Example: `regard eval --weights run/ --data mnist/`
    """
    from regard.catalog import recipes
    from regard.training import running
    from regard.training.recipe import built

    if name is None:
        name, tiny = running.recorded(weights)
    listing = recipes.get(name)
    recipe = built(listing, data, tiny=tiny)
    tables.scored(out, listing, running.evaluate(recipe, running.load(recipe, weights), device=device))


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line; every error is one line and a non-zero exit code, with a traceback only for `--debug`."""
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
