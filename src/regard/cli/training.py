"""The commands that follow a recipe: `train` and `eval`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from regard import comparing
from regard.cli import arguments, completion, tables
from regard.cli.progress import Steps

out = Console()
err = Console(stderr=True)

# Options of the recipes for segmentation, which both commands take.
Window = Annotated[
    int | None,
    typer.Option(help="Side of the windows through which a scored image is segmented, in pixels; 0 for the whole."),
]
Scales = Annotated[str | None, typer.Option(help="Factors by which a scored image is resized, as 0.75,1,1.25.")]
Mirrored = Annotated[
    bool | None, typer.Option("--mirror", help="Average the segmentation with that of the mirrored image.")
]
Further = Annotated[
    str | None, typer.Option("--options", help="Further options of the recipe, as JSON: '{\"ohem\": true}'.")
]


def train(
    name: Annotated[
        str, typer.Argument(help="A name that `regard recipes` prints.", autocompletion=completion.named_recipes)
    ],
    data: Annotated[Path | None, typer.Option(help="The folder of the dataset, where the recipe needs one.")] = None,
    tiny: Annotated[bool, typer.Option("--tiny", help="The tiny variant: seconds, on embedded data.")] = False,
    network: Annotated[
        str | None,
        typer.Option(
            help="The network, for recipes with several: for classify a name of `regard list --networks`.",
            autocompletion=completion.networks,
        ),
    ] = None,
    views: Annotated[
        str | None, typer.Option(help="published or one: the views of a test video, for the recipe non-local-clips.")
    ] = None,
    backbone: Annotated[
        str | None, typer.Option(help="Another trunk, any of timm's, for the recipes for segmentation.")
    ] = None,
    image_size: Annotated[
        int | None, typer.Option(help="Side of the training windows in pixels, for the recipes for segmentation.")
    ] = None,
    window: Window = None,
    scales: Scales = None,
    mirror: Mirrored = None,
    further: Further = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the data, in place of the recipe's.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images a step, in place of the recipe's.")] = None,
    optimizer: Annotated[
        str | None, typer.Option(help="adamw, sgd, adam, adadelta, adamax or rmsprop, in place of the recipe's.")
    ] = None,
    lr: Annotated[float | None, typer.Option(help="Peak learning rate, in place of the recipe's.")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="Weight decay, in place of the recipe's.")] = None,
    augment: Annotated[
        str | None, typer.Option(help="none, light or timm, in place of the recipe's augmentation.")
    ] = None,
    freeze: Annotated[str | None, typer.Option(help="backbone: only the attention and the classifier learn.")] = None,
    weights: Annotated[
        Path | None, typer.Option(help="A checkpoint of the trunk to start from, in place of the published weights.")
    ] = None,
    random: Annotated[
        bool, typer.Option("--random", help="Start from random weights where the recipe has published ones.")
    ] = False,
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

    arguments.there(data)
    arguments.there(weights)
    if weights is not None and random:
        raise ValueError("--weights and --random: one of them is accepted")
    arguments.device(device)
    arguments.at_least("--epochs", epochs, 1)
    arguments.at_least("--batch-size", batch_size, 1)
    arguments.at_least("--workers", workers, 0)
    arguments.one_of("--precision", precision, ("float32", "bfloat16", "float16"))
    arguments.one_of("--optimizer", optimizer, tuple(comparing.USUAL))
    arguments.one_of("--augment", augment, comparing.AUGMENTS)
    arguments.one_of("--freeze", freeze, comparing.FREEZE)
    arguments.at_least("--image-size", image_size, 1)
    options = _options(
        further,
        {"network": network, "views": views, "backbone": backbone, "image_size": image_size}
        | {"window": window, "scales": arguments.numbers("--scales", scales), "mirror": mirror},
    )
    listing = recipes.get(name)
    from regard.saved.files import apart
    from regard.training import running
    from regard.training.recipe import built

    place = folder or Path(f"regard-{name}{'-tiny' if tiny else ''}")
    apart(place, data)  # before the dataset is read
    recipe = built(listing, data, tiny=tiny, options=options)
    given = {
        "epochs": epochs, "batch_size": batch_size, "optimizer": optimizer, "lr": lr, "weight_decay": weight_decay,
        "augment": augment, "precision": precision,
    }  # fmt: skip
    with Steps(err) as progress:
        result = running.train(
            listing,
            recipe,
            out=place,
            device=device,
            seed=seed,
            workers=workers,
            changes=arguments.given(given),
            freeze=freeze,
            weights=weights,
            random=random,
            on_phase=progress.phase,
            on_step=progress.step,
            on_epoch=progress.epoch,
        )
    tables.scored(out, result["scores"], result["claim"])
    out.print(f"{place / 'model.safetensors'}", highlight=False, soft_wrap=True)


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
    network: Annotated[
        str | None,
        typer.Option(
            help="The network, for a NAME with several; without NAME the weights tell it.",
            autocompletion=completion.networks,
        ),
    ] = None,
    views: Annotated[
        str | None, typer.Option(help="published or one: the views of a test video, of clips; by default as trained.")
    ] = None,
    window: Window = None,
    scales: Scales = None,
    mirror: Mirrored = None,
    further: Further = None,
    against: Annotated[
        Path | None,
        typer.Option(
            help="Another run of captions or translations: how much better this one is, sentence by sentence."
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
) -> None:
    """Score trained weights of a recipe on its test data.

    Example: `regard eval --weights run/ --data mnist/`; `regard eval --weights soft/ --against nic/ --data coco/`
    """
    from regard.catalog import recipes

    arguments.there(weights)
    arguments.there(data)
    arguments.there(against)
    arguments.device(device)
    options = _options(
        further,
        {"network": network, "views": views, "window": window, "mirror": mirror}
        | {"scales": arguments.numbers("--scales", scales)},
    )
    listing = None if name is None else recipes.get(name)
    from regard.comparing.statistics import compared
    from regard.metrics.metric import figures
    from regard.training import running
    from regard.training.claims import judged
    from regard.training.recipe import built

    if listing is None:
        known, tiny, recorded = running.recorded(weights)
        options = recorded | options
        listing = recipes.get(known)
    recipe = built(listing, data, tiny=tiny, options=options)
    metric = running.metric(recipe, running.load(recipe, weights), device=device)
    tables.scored(out, figures(metric), judged(listing, recipe, running.changes_of(weights)))
    if against is not None:
        known, tiny, recorded = running.recorded(against)
        other = built(recipes.get(known), data, tiny=tiny, options=recorded)
        found = compared(metric, running.metric(other, running.load(other, against), device=device))
        tables.differences(out, found, str(against))


def _options(further: str | None, named: Mapping[str, Any]) -> dict[str, Any]:
    """The options of the recipe: those that were given by name, and the JSON of `--options`.

    Raises: ValueError if the text is no JSON object, or an option is given twice.
    """
    options = arguments.given(named)
    others = {} if further is None else arguments.json_object("--options", further)
    if twice := options.keys() & others.keys():
        raise ValueError(f"--options {further!r}: {min(twice)} is given by its own option as well; one is accepted")
    return options | others
