"""One look: a mechanism on a backbone, or a full system, over real photographs, as pictures."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from regard import catalog, published
from regard.attaching import attach
from regard.backbones import build, normalisation
from regard.catalog import Entry
from regard.core import watch
from regard.data import images
from regard.laws.subject import SIZES, default_arguments, size_of
from regard.viewing import draw
from regard.viewing.sheet import sheet

LONGEST = 800  # pixels, beyond which a system sees a photograph reduced
IMAGE = {"B": 1, "H": 224, "W": 224}
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
    backbone: str | None = None,
    weights: Path | None = None,
    pretrained: bool = False,
    after: Sequence[str] | None = None,
    image_size: int | None = None,
    out: Path = Path("regard-look"),
    **kwargs: Any,
) -> Looks:
    """Draws every attention map of `mechanism` on `backbone`, or of a system, over every photograph.

    Args:
        photographs: image files.
        mechanism: a catalogue name.
        backbone: a timm model's name, "resnet18" by default; a system needs none.
        weights: state_dict of the backbone with the attention attached, or of the system, .safetensors or .pth.
        pretrained: load the published weights of the backbone.
        after: glob patterns over module names; None takes the backbone family's default sites.
        image_size: side in pixels of the middle square; None takes the backbone's own. A system sees the whole
            photograph, and this is its longer side; None takes the photograph's own, up to 800.
        out: folder for one contact sheet a photograph; made if needed, a name that is taken gets a number.
        kwargs: options of the mechanism.

    Raises:
        LookupError: no such mechanism, backbone or site.
        FileNotFoundError, ValueError: a photograph or the weights cannot be read, or do not fit; a system is given a
            backbone.
    """
    photographs = [Path(path) for path in photographs]
    entry = catalog.get(mechanism)
    if entry.system:
        for option, given in (("backbone (--on)", backbone), ("pretrained", pretrained), ("after", after)):
            if given:
                raise ValueError(f"{mechanism} is a full system and stands on no backbone: leave out {option}")
        return _look_with_system(photographs, entry, weights, image_size, out, kwargs)
    backbone = backbone or "resnet18"
    model = build(backbone, classes=1000, pretrained=pretrained)
    size = image_size or own_size(model)
    with images.quiet():
        read = [images.read(path, size) for path in photographs]
    attach(model, mechanism, after=after, example=torch.zeros(1, 3, size, size), **kwargs)
    trained = weights is not None and load_weights(model, weights)
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


def build_system(entry: Entry, weights: Path | None, kwargs: Mapping[str, Any]) -> tuple[nn.Module, bool]:
    """The system in eval mode, and whether it is trained, or has nothing to train.

    Raises: FileNotFoundError, ValueError: it cannot be built with these arguments, or the weights do not fit.
    """
    try:
        model = entry.load()(**kwargs).eval()
    except TypeError as error:
        raise ValueError(
            f"{entry.name} cannot be built: {error}; give its arguments, for example {dict(entry.kwargs)}"
        ) from error
    if weights is not None:
        try:
            model.load_state_dict(published.load(weights))
        except RuntimeError as error:
            raise ValueError(f"{weights} does not fit {entry.name}: {' '.join(str(error).split())[:200]}") from error
    return model, weights is not None or not any(True for _ in model.parameters())


def _look_with_system(
    photographs: Sequence[Path],
    entry: Entry,
    weights: Path | None,
    longer: int | None,
    out: Path,
    kwargs: Mapping[str, Any],
) -> Looks:
    model, trained = build_system(entry, weights, kwargs)
    grey = kwargs.get("channels", getattr(model, "channels", None)) == 1
    grid = kwargs.get("grid", getattr(model, "grid", None))
    with images.quiet():
        read = [images.whole(path, _fitted(images.measured(path), longer, grid)) for path in photographs]
    written = []
    for path, picture in zip(photographs, read, strict=True):
        seen = picture.pixels.float() / 255
        with torch.no_grad(), watch(model) as maps:
            model((seen.mean(0, keepdim=True) if grey else seen)[None])
        title = f"{path.name}: {entry.name}{'' if trained else ', untrained'}"
        page = sheet(draw(maps, seen), title)
        out.mkdir(parents=True, exist_ok=True)
        target = _free(out / f"{path.stem}-{entry.name}.png")
        page.save(target)
        written.append(target)
    return Looks(tuple(written), trained)


def _fitted(measured: tuple[int, int], longer: int | None, grid: Sequence[int] | None) -> tuple[int, int]:
    """Height and width of what a system sees of a photograph of so much width and height."""
    if grid is not None:
        return int(grid[0]), int(grid[1])
    width, height = measured
    factor = min(1.0, LONGEST / max(measured)) if longer is None else longer / max(measured)
    return max(1, round(height * factor)), max(1, round(width * factor))


def own_size(model: nn.Module) -> int:
    size = getattr(model, "pretrained_cfg", {}).get("input_size", (3, 224, 224))
    return int(size[-1])


def load_weights(model: nn.Module, path: Path) -> bool:
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
    """Parameters and floating point operations of an entry's default at 256 × 56 × 56, or 8 frames or tokens of it.

    A full system gets one image of 224 × 224, or of the only size that its label's instance takes.
    """
    factory = entry.load()
    kwargs = default_arguments(factory, entry.kwargs, entry.sizes)
    if entry.system:
        usual = inspect.signature(factory).parameters.get("channels")
        channels = kwargs.get("channels", usual.default if usual else 3)
        known = {**SIZES, **IMAGE, "C": channels, **entry.sizes}
    else:
        free = {letter: size for letter, size in STANDARD.items() if letter not in entry.sizes or letter in "CHW"}
        known = {**SIZES, **entry.sizes, **free}
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
