"""The commands that look at images through a network: `look` and `gaze`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from regard.cli import arguments, completion, tables

if TYPE_CHECKING:
    from regard.looking.results import Looks

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
    Path | None,
    typer.Option(help="Trained weights: a file, a run folder of `regard train`, or a trial of `regard compare`."),
]
Pretrained = Annotated[bool, typer.Option("--pretrained", help="Load the published weights of the backbone.")]
After = Annotated[list[str] | None, typer.Option(help="Where to attach: glob patterns over module names.")]
Kwargs = Annotated[str, typer.Option(help="Arguments of the mechanism or system, as JSON.")]


def look(
    images: Annotated[
        list[Path] | None,
        typer.Argument(help="One photograph or several; without any, a trained network shows its own images."),
    ] = None,
    mechanism: Mechanism = None,
    backbone: Backbone = None,
    weights: Weights = None,
    pretrained: Pretrained = False,
    after: After = None,
    target: Annotated[
        str | None, typer.Option(help="The name or number of a class that Grad-CAM explains, also beside attention.")
    ] = None,
    layer: Annotated[
        str | None,
        typer.Option(
            help="The module that Grad-CAM explains, or whose own attention is drawn; by default the last with a map."
        ),
    ] = None,
    kwargs: Kwargs = "{}",
    image_size: Annotated[
        int | None, typer.Option(help="Side in pixels, by default the network's own; for a system the longer side.")
    ] = None,
    scale: Annotated[
        str,
        typer.Option(
            help="Values of the darkest and lightest colour: common (0 and 1 for gates), own of each map, or LOW,HIGH."
        ),
    ] = "common",
    at: Annotated[
        str | None,
        typer.Option(help="X,Y, a pixel of the photograph: draws what it attends to, and says its classes."),
    ] = None,
    truth: Annotated[
        Path | None, typer.Option(help="The true label map of the photograph, for a segmentation network.")
    ] = None,
    question: Annotated[
        str | None, typer.Option("--ask", help="A question about the photograph, for a network that answers them.")
    ] = None,
    regions: Annotated[
        Path | None,
        typer.Option(
            help="File of `regard regions`, for a network that sees regions; by default regions.tsv beside the image."
        ),
    ] = None,
    gallery: Annotated[
        Path | None,
        typer.Option(help="Folder of images, for a person network: the nearest to each photograph are drawn."),
    ] = None,
    patient: Annotated[
        int | None,
        typer.Option(help="Number of a patient, from 0, where a table or a folder of visits stands for a photograph."),
    ] = None,
    folder: Annotated[Path, typer.Option("--out", help="Folder of the pictures.")] = Path("regard-look"),
) -> None:
    """Draw every attention map of a network over photographs, with its prediction.

    `regard look` alone shows a small trained network that comes with the library, on images of its own. A photograph
    alone gets Itti's saliency, which needs no training. A network that attends by itself, as timm's transformers do, is
    shown through its own attention: one layer in full, which `--layer` names, and one picture of each other. A network
    without any is shown through Grad-CAM of its most likely classes. Without `--weights` or `--pretrained` weights are
    random: the maps then say nothing about the photograph. Of a segmentation network the label map comes first, with
    its confidence and, with `--truth`, what is wrong in it. A network that writes captions is shown with its sentence,
    and what it looks at for each word; to one that answers questions, `--ask` puts one. With `--gallery` a person
    network shows the ten nearest images of a folder. A network that predicts diagnoses is given a table or a folder of
    visits, and shows one `--patient`.

    Example: `regard look`; `regard look photo.jpg`; `regard look photo.jpg --weights run/`, where `regard train` wrote,
    or `--weights report/trials/cbam-0`, a trial of `regard compare`; `regard look photo.jpg --on resnet18 --pretrained`
    or, of its own attention, `regard look photo.jpg --on vit_small_patch16_224 --pretrained`
    """
    given = arguments.json_object("--kwargs", kwargs)
    for image in images or ():
        arguments.there(image)
    arguments.there(truth)
    arguments.there(regions)
    arguments.there(gallery)
    ends, pixel = _scale(scale), _pixel(at)
    named = mechanism is not None or weights is not None
    if named or (backbone is None and (pretrained or after or given)):
        arguments.network(mechanism, weights, given, image_size)
    arguments.at_least("--image-size", image_size, 1)
    arguments.at_least("--patient", patient, 0)
    options = (image_size, target, layer, at, truth, question, regions, gallery, patient)
    if not images and (named or backbone or any(option is not None for option in options)):
        raise ValueError("no photograph is named: give one, or no option to see the network that comes with regard")
    from regard.looking.photographs import look as drawn

    looks = drawn(
        images or None, mechanism, backbone=backbone, weights=weights, pretrained=pretrained, after=after,
        target=target, layer=layer, image_size=image_size, scale=ends, at=pixel, truth=truth, question=question,
        regions=regions, gallery=gallery, patient=patient, out=folder, kwargs=given,
    )  # fmt: skip
    _say(looks, by_default=not named)
    for written in looks.pictures:
        out.print(f"{written}", highlight=False, soft_wrap=True)
    tables.trained(out, True, looks.changed)


def _scale(text: str) -> str | tuple[float, float]:
    """The scale of the colours. Raises: ValueError if it is neither a known word nor two increasing numbers."""
    if text in ("common", "own"):
        return text
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        low = high = 0.0
    if not low < high:
        raise ValueError(f"--scale={text!r}: common, own or two increasing numbers LOW,HIGH are accepted")
    return low, high


def _pixel(text: str | None) -> tuple[int, int] | None:
    """A pixel. Raises: ValueError if the text is no pair of whole numbers."""
    if text is None:
        return None
    parts = text.split(",")
    if len(parts) != 2 or not all(part.strip().isdecimal() for part in parts):
        raise ValueError(f"--at={text!r}: two whole numbers X,Y are accepted, for example 120,80")
    return int(parts[0]), int(parts[1])


def _say(looks: Looks, *, by_default: bool) -> None:
    """Prints the warnings that belong to the pictures, and the predicted classes."""
    from regard.looking.results import listed

    if looks.untrained:
        out.print(
            f"[red]Random weights[/]: {looks.untrained} is untrained, so the maps say nothing about the photograph. "
            "`--weights` opens trained ones; `regard look` alone shows a trained network.",
            soft_wrap=True,
        )
    elif by_default and looks.network == "itti":
        out.print(
            "No network is named, so this is Itti's saliency, which needs no training. `regard look` alone shows a "
            "trained network; `--weights` opens yours.",
            soft_wrap=True,
        )
    if looks.attention:
        out.print(looks.attention, markup=False, highlight=False, soft_wrap=True)
    for name, sentence in looks.sentences:
        out.print(f"{name}: {sentence}", markup=False, highlight=False, soft_wrap=True)
    for name, prediction in looks.predictions:
        if prediction:
            out.print(f"{name}: {listed(prediction)}", markup=False, highlight=False, soft_wrap=True)


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
    task: Annotated[
        str | None,
        typer.Option(
            help="Search fixations of COCO-Search18: the kind of object, or all; scores Grad-CAM of its class."
        ),
    ] = None,
    classes: Annotated[
        str, typer.Option(help='For --task, classes of the network, as JSON: {"fork": "spatula", "cup": [504, 968]}.')
    ] = "{}",
    condition: Annotated[str, typer.Option(help="For --task, images with the object or without: present, absent.")] = (
        "present"
    ),
    layer: Annotated[
        str | None, typer.Option(help="For --task, the module that Grad-CAM explains, by default the last with a map.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with the values of every image.")] = False,
) -> None:
    """Score a network's attention maps as predictions of human fixations, beside centre bias and other viewers.

    With `--on` alone the attention that a backbone has by itself, as timm's transformers, and its rollout.

    With `--task` a classifier's Grad-CAM of what people searched for, beside the same map of another image, of another
    class and of the predicted class; such a network needs no attention.

    Example: `regard gaze osie/ --with cbam --on resnet18 --weights trained.safetensors`;
    `regard gaze osie/ --on vit_small_patch16_224 --pretrained`;
    `regard gaze coco-search18/ --task microwave --on resnet50 --pretrained`
    """
    given = arguments.json_object("--kwargs", kwargs)
    arguments.there(folder)
    arguments.one_of("--part", part, ("train", "val"))
    arguments.at_least("--limit", limit, 2)
    arguments.one_of("--convention", convention, ("mit", "pysaliency"))
    if not 0 <= blur < 1:
        raise ValueError(f"--blur={blur:g}: a share of at least 0 and below 1 is accepted")
    arguments.one_of("--condition", condition, ("present", "absent"))
    named = arguments.json_object("--classes", classes)
    if task is None and (named or layer is not None or condition != "present"):
        raise ValueError("--classes, --layer and --condition are accepted with --task")
    if mechanism is not None or weights is not None or backbone is None:
        arguments.network(mechanism, weights, given, image_size)
    from regard.cli.progress import Steps

    chosen: dict[str, Any] = {
        "backbone": backbone, "weights": weights, "pretrained": pretrained, "after": after, "image_size": image_size,
        "part": part, "limit": limit, "blur": blur, "convention": convention, "kwargs": given,
    }  # fmt: skip
    with Steps(err) as progress:
        if task is None:
            from regard.looking.gaze import gaze as scored

            found = scored(folder, mechanism, on_image=progress.image, **chosen)
        else:
            from regard.looking.searching import search

            kind = None if task == "all" else task
            found = search(
                folder, mechanism, task=kind, classes=named, condition=condition, layer=layer,
                on_image=progress.image, **chosen,
            )  # fmt: skip
    if as_json:
        print(found.json())
        return
    tables.trained(out, found.trained, found.changed)
    out.print(tables.gazed(found))
    if found.skipped:
        out.print(f"not scored, because they have no place: {', '.join(found.skipped)}", highlight=False)
    if found.without:
        out.print(
            f"left out, because the network has no such class: {', '.join(found.without)}; --classes names one",
            highlight=False,
        )
