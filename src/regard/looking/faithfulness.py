"""Whether a network's maps of photographs show what it uses: figures, and one picture of curves and maps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from regard.catalog.vocabulary import BASELINES
from regard.core import Maps, NothingSeen
from regard.data import images
from regard.insight.faithfulness.faithful import faithful
from regard.insight.faithfulness.results import Faithful
from regard.looking.explaining import class_number, drawn
from regard.looking.results import saved, stem, warning
from regard.saved.opening import Network, open_network
from regard.viewing.curves import curves
from regard.viewing.painting import picture_of
from regard.viewing.pictures import Picture
from regard.viewing.sheet import photograph, sheet

SIDE = 224  # of the photographs, for a network without a size of its own
SHOWN = 4  # photographs and maps in the picture


@dataclass(frozen=True, eq=False)
class Tested:
    """What was found of photographs.

    Args:
        found: the figures.
        picture: the file with the curves and the maps.
        network: its name.
        untrained: what has random weights; empty if nothing has.
        changed: the arguments that differ from those of the training, as text.
        classes: for each photograph its name, and the class that is followed, by its name where it is known.
    """

    found: Faithful
    picture: Path
    network: str
    untrained: str
    changed: tuple[str, ...]
    classes: tuple[tuple[str, str], ...]


def tested(
    photographs: Sequence[Path],
    mechanism: str | None = None,
    *,
    backbone: str | None = None,
    weights: Path | None = None,
    pretrained: bool = False,
    after: Sequence[str] | None = None,
    image_size: int | None = None,
    kwargs: Mapping[str, Any] | None = None,
    maps: str = "*",
    target: int | str | None = None,
    baselines: Sequence[str] = BASELINES,
    steps: int = 10,
    squares: int = 32,
    stages: int = 5,
    layer: str | None = None,
    seed: int = 0,
    out: Path = Path("regard-faithful"),
    on_pass: Callable[[int], None] | None = None,
) -> Tested:
    """Measures the maps of a network over photographs, all in one size, and draws curves and maps.

    Args:
        photographs: image files.
        mechanism, backbone, weights, pretrained, after, kwargs: as for `regard.saved.opening.open_network`.
        image_size: side in pixels of the square to which photographs are brought, by default the network's own.
        maps: a pattern of the maps that are tested; of a network without attention only the references are.
        target: the name or the number of the class that is followed; None takes the predicted one of each photograph.
        baselines, steps, squares, stages, layer, seed, on_pass: as for `regard.faithful`.
        out: the folder of the picture.

    Raises: LookupError, OSError, ValueError: as `open_network` and `regard.faithful`; a photograph cannot be read.
    """
    network = open_network(
        mechanism, backbone=backbone, weights=weights, pretrained=pretrained, after=after, image_size=image_size,
        kwargs=kwargs,
    )  # fmt: skip
    label = None if target is None else class_number(network.class_names, target)
    size = network.size or (image_size or SIDE,) * 2
    with images.quiet():
        pixels = [
            images.read(path, size[0]).pixels if size[0] == size[1] else images.whole(path, size).pixels
            for path in photographs
        ]
    x = torch.cat([network.prepared(one) for one in pixels])
    settings: dict[str, Any] = {
        "baselines": baselines, "steps": steps, "squares": squares, "stages": stages, "layer": layer, "seed": seed,
        "on_pass": on_pass,
    }  # fmt: skip
    try:
        found = faithful(network.model, x, maps, label, **settings)
    except NothingSeen:
        found = faithful(network.model, x, lambda images: {}, label, **settings)
    names = [path.name for path in photographs]
    with torch.no_grad():
        numbers = network.model(x).argmax(1).tolist() if label is None else [label] * len(names)
    classes = tuple(zip(names, (_named(network, number) for number in numbers), strict=True))
    page = sheet(
        pictures_of(found, [one.float() / 255 for one in pixels], classes),
        f"{network.name}: {', '.join(names[:SHOWN])}{' and others' if len(names) > SHOWN else ''}",
        warning=warning(network),
    )
    place = saved(page, out, f"{photographs[0].stem}-{stem(network)}-faithful")
    return Tested(found, place, network.name, network.untrained, network.changed, classes)


def pictures_of(found: Faithful, shown: Sequence[Tensor], classes: Sequence[tuple[str, str]]) -> list[Picture]:
    """The curves, one picture for each baseline and direction, and the maps over the first photographs."""
    pictures = []
    for curve, speaks in (("deletion", "the lower the better"), ("insertion", "the higher the better")):
        for baseline in found.rows[0].deletion:
            lines = {
                row.name: list(zip(of.shares, of.mean, strict=True))
                for row in found.rows
                for of in [getattr(row, curve)[baseline]]
            }
            title = f"{found.of} by share {'taken away' if curve == 'deletion' else 'put back'}, {baseline}"
            areas = ", ".join(f"{row.name} {getattr(row, curve)[baseline].area.mean:.3f}" for row in found.rows)
            pictures.append(Picture(f"{curve}, {speaks}", curves(lines, title), f"areas: {areas}"))
    rows = [row for row in found.rows if not row.reference][-SHOWN:] + [row for row in found.rows if row.reference]
    for number, image in enumerate(shown[:SHOWN]):
        name, of = classes[number]
        pictures.append(photograph(picture_of(image), name, f"followed: {of}"))
        for row in rows:
            one = Maps()
            one[row.name], one.axes[row.name] = [row.heat[number : number + 1].float()], "B H W"
            pictures += drawn(one, image, "own")
    return pictures


def _named(network: Network, number: int) -> str:
    return network.class_names[number] if number < len(network.class_names) else f"class {number}"
