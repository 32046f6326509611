"""One look: a mechanism on a backbone, over real photographs, as pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from regard import published
from regard.attaching import attach
from regard.backbones import build, normalisation
from regard.catalog import Entry
from regard.core import watch
from regard.data import images
from regard.laws.subject import SIZES, default_arguments, size_of
from regard.viewing import draw
from regard.viewing.sheet import sheet

STANDARD = {"B": 1, "C": 256, "H": 56, "W": 56, "T": 8, "Q": 8, "K": 8, "S": 8, "N": 8}


@dataclass(frozen=True)
class Looks:
    """What was written, and whether the attention in it had learned anything."""

    pictures: tuple[Path, ...]
    trained: bool


def look_at(
    photographs: Sequence[Path],
    mechanism: str,
    *,
    backbone: str = "resnet18",
    weights: Path | None = None,
    pretrained: bool = False,
    after: Sequence[str] | None = None,
    image_size: int | None = None,
    out: Path = Path("regard-look"),
    **kwargs: Any,
) -> Looks:
    """Draws every attention map of `mechanism` on `backbone` over every photograph.

    Args:
        photographs: image files.
        mechanism: a catalogue name.
        backbone: a timm model's name.
        weights: state_dict of the backbone with the attention attached, .safetensors or .pth.
        pretrained: load the published weights of the backbone.
        after: glob patterns over module names; None takes the backbone family's default sites.
        image_size: side in pixels; None takes the backbone's own.
        out: folder for one contact sheet a photograph; made if needed, a name that is taken gets a number.
        kwargs: options of the mechanism.

    Raises:
        LookupError: no such mechanism, backbone or site.
        FileNotFoundError, ValueError: a photograph or the weights cannot be read, or do not fit.
    """
    photographs = [Path(path) for path in photographs]
    model = build(backbone, classes=1000, pretrained=pretrained)
    size = image_size or _own_size(model)
    with images.quiet():
        read = [images.read(path, size) for path in photographs]
    attach(model, mechanism, after=after, example=torch.zeros(1, 3, size, size), **kwargs)
    trained = weights is not None and _load(model, weights)
    model.eval()
    mean, std = (torch.tensor(values).reshape(1, 3, 1, 1) for values in normalisation(model))
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for path, picture in zip(photographs, read, strict=True):
        seen = picture.pixels.float() / 255
        with torch.no_grad(), watch(model) as maps:
            model((seen[None] - mean) / std)
        drawn = draw(maps, seen)
        state = "" if trained else ", untrained attention"
        page = sheet(drawn, f"{path.name}: {mechanism} on {backbone}{state}")
        target = _free(out / f"{path.stem}-{mechanism}.png")
        page.save(target)
        written.append(target)
    return Looks(tuple(written), trained)


def _own_size(model: nn.Module) -> int:
    size = getattr(model, "pretrained_cfg", {}).get("input_size", (3, 224, 224))
    return int(size[-1])


def _load(model: nn.Module, path: Path) -> bool:
    """Loads the weights and says whether the attention was among them; a classifier of other classes is left out."""
    state = published.load(path)
    head = {key for key, value in model.state_dict().items() if key in state and state[key].shape != value.shape}
    foreign = sorted(key for key in head if not key.startswith(("fc.", "head.", "classifier.", "last_linear.")))
    if foreign:
        raise ValueError(
            f"{path}: {foreign[0]} has shape {tuple(state[foreign[0]].shape)}, "
            f"the model's is {tuple(model.state_dict()[foreign[0]].shape)}"
        )
    missing, unexpected = model.load_state_dict(
        {key: value for key, value in state.items() if key not in head}, strict=False
    )
    if unexpected:
        raise ValueError(f"{path}: the model has no {unexpected[0]} ({len(unexpected)} such names)")
    absent = [key for key in missing if key not in head and ".attention" not in key]
    if absent:
        raise ValueError(f"{path}: no {absent[0]} for the model ({len(absent)} such names)")
    return not any(".attention" in key for key in missing)


def _free(path: Path) -> Path:
    number = 1
    candidate = path
    while candidate.exists():
        number += 1
        candidate = path.with_stem(f"{path.stem}-{number}")
    return candidate


def standard_cost(entry: Entry) -> dict[str, Any]:
    """Parameters and floating point operations of an entry's default at 256 × 56 × 56, or 8 frames or tokens of it."""
    factory = entry.load()
    kwargs = default_arguments(factory, entry.kwargs, entry.sizes)
    known = {**SIZES, **entry.sizes, **STANDARD}
    if "grid" in kwargs:
        kwargs["grid"] = (known["H"], known["W"])
    if "channels" in kwargs:
        kwargs["channels"] = known["C"]
    shapes = [[size_of(part, known) for part in axes.removeprefix("bool ").split()] for axes in entry.inputs]
    inputs = [
        torch.ones(shape, dtype=torch.bool) if axes.startswith("bool ") else torch.zeros(shape)
        for shape, axes in zip(shapes, entry.inputs, strict=True)
    ]
    module = factory(**kwargs).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(*inputs)
    return {
        "input": ", ".join(" × ".join(map(str, shape)) for shape in shapes),
        "parameters": sum(parameter.numel() for parameter in module.parameters()),
        "flops": counter.get_total_flops(),
    }
