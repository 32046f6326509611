"""The attention maps of a network for volumes, and what it predicts, in slices of a volume.

A volume is read as in training (`regard.data.volumes`): standardised, and resampled to the spacing that the network was
trained at, if it was trained at one. Slices are drawn in the proportions of the body, from the darkest to the lightest
half percent of its values.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from regard import catalog
from regard.catalog import Entry
from regard.core import Attention, Maps
from regard.data import volumes as files
from regard.data.images import shown as shown_path
from regard.saved import description as trained
from regard.saved.building import built, changes
from regard.saved.description import Trained
from regard.saved.opening import Network
from regard.tasks.volumes import label_map
from regard.viewing import draw
from regard.viewing.pictures import SIDE, Picture
from regard.viewing.scaling import Scale
from regard.viewing.slices import orthogonal, through
from regard.watching import watch

LONGEST = 192  # voxels of the longest side: larger volumes are reduced, as one pass sees the whole volume
ENDS = (0.005, 0.995)  # quantiles of the values that are drawn black and white
COUNTED = 2**20  # values of which the quantiles are taken


def opened(mechanism: str | None, weights: Path | None, kwargs: Mapping[str, Any]) -> tuple[Network, Trained | None]:
    """Opens a system for volumes, and the description of its weights, if they have one.

    Args:
        mechanism: the name of the system; not needed if the weights have a description.
        weights: a file of trained weights, or the folder of a run.
        kwargs: arguments of the system.

    Raises: LookupError if there is no such system; FileNotFoundError, ValueError if the weights cannot be read or do
        not fit, or the network is not one for volumes.
    """
    path = None if weights is None else trained.located(weights)
    found = None if path is None else trained.read(path)
    name = mechanism if found is None or found.entry is None else found.entry
    if name is None or (path is not None and found is None):
        what = "no network is named" if path is None else f"{path} does not describe its network"
        raise ValueError(f"{what}: weights of `regard train` for volumes are needed")
    entry = catalog.get(name)
    if mechanism is not None and catalog.get(mechanism) is not entry:
        raise ValueError(f"{path} is of {entry.name}, not {mechanism}: leave out --with, or give other weights")
    model: nn.Module | None = None
    if _for_volumes(entry):
        model = built(path, found, arguments=dict(kwargs)) if path and found else entry.load()(**kwargs)
    if model is None or getattr(model, "dims", 3) != 3 or (found is not None and len(found.image or ()) != 4):
        raise ValueError(f"{entry.name} is not for volumes here: a network that takes B C D H W is needed")
    network = Network(
        entry=entry,
        model=model.float().eval(),
        trained=path is not None,
        name=entry.name,
        channels=int(getattr(model, "channels", 1)),
        changed=() if found is None else changes(found, dict(kwargs)),
        untrained="" if path is not None else "the whole network",
        class_names=() if found is None else tuple(found.class_names),
    )
    return network, found


def _for_volumes(entry: Entry) -> bool:
    return any(setting.inputs == ("B C D H W",) for setting in entry.settings)


def pictures(
    path: Path, network: Network, found: Trained | None, *, longest: int | None, scale: Scale
) -> list[Picture]:
    """The slices of one volume, of what the network predicts for each class, and of its attention maps.

    Args:
        path: the file.
        network, found: as `opened` gives them.
        longest: the longest side that the network sees, in voxels; None takes that of the file, up to 192.
        scale: as for `regard.draw`.

    Raises: ValueError, with the file, if it cannot be read, or has other modalities than the network.
    """
    volume = files.load(path)
    if len(volume.values) != network.channels:
        raise ValueError(
            f"{shown_path(path)} has {len(volume.values)} modalities: {network.channels} are needed for {network.name}"
        )
    spacing = None if found is None else found.options.get("spacing")
    seen = _seen(volume, spacing, longest)
    attends = any(isinstance(module, Attention) for module in network.model.modules())
    with torch.no_grad(), watch(network.model, foreign=False) if attends else nullcontext(Maps()) as maps:
        returned = network.model(seen[None])
    logits = returned[0] if isinstance(returned, tuple | list) else returned
    probabilities = logits.softmax(1)[0]
    shown = _proportioned(_grey(volume.values), volume.spacing)
    labels = label_map(probabilities, volume.values.shape[1:])
    drawn = _predicted(shown, probabilities, labels, network, volume)
    facts = [" x ".join(map(str, volume.values.shape[1:])) + " voxels"]
    facts.append("of " + " x ".join(f"{side:.3g}" for side in volume.spacing) + " mm")
    if seen.shape != volume.values.shape:
        facts.append("seen at " + " x ".join(map(str, seen.shape[1:])))
    strongest = probabilities[1:].sum(0) if len(probabilities) > 1 else probabilities[0]
    plain = orthogonal(shown, strongest, SIDE, alpha=0)
    return [Picture(path.name, plain, "; ".join(facts)), *drawn, *draw(maps, shown, scale=scale)]


def _predicted(
    shown: Tensor, probabilities: Tensor, labels: Tensor, network: Network, volume: files.Volume
) -> list[Picture]:
    """For each class but the first, the background, its probability and the volume that it takes."""
    drawn = []
    for label in range(1, len(probabilities)):
        name = network.class_names[label] if label < len(network.class_names) else f"class {label}"
        values = probabilities[label]
        image = orthogonal(shown, values, SIDE, low=0.0, high=1.0)
        count = int((labels == label).sum())
        takes = f"{count} voxels, {count * math.prod(volume.spacing) / 1000:.3g} ml"
        at = " ".join(f"{letter} {place}" for letter, place in zip("DHW", through(values), strict=True))
        span = (float(values.min()), float(values.max()))
        facts = f"{takes}; probability up to {span[1]:.3g} at {at}"
        drawn.append(Picture(f"predicted: {name}", image, facts, (0.0, 1.0), span))
    return drawn


def _seen(volume: files.Volume, spacing: Sequence[float] | None, longest: int | None) -> Tensor:
    """What the network sees, `C D H W`."""
    grid = [float(n) for n in volume.values.shape[1:]]
    if spacing is not None:
        grid = [n * own / new for n, own, new in zip(grid, volume.spacing, spacing, strict=True)]
    most = longest if longest is not None else min(max(grid), LONGEST)
    factor = most / max(grid)
    return _resized(volume.values, [max(1, round(n * factor)) for n in grid])


def _proportioned(values: Tensor, spacing: Sequence[float]) -> Tensor:
    """The volume with voxels that are as long as wide, of at most `LONGEST` along a side, for pictures."""
    lengths = [n * side for n, side in zip(values.shape[1:], spacing, strict=True)]
    factor = min(max(values.shape[1:]), LONGEST) / max(lengths)
    return _resized(values, [max(1, round(length * factor)) for length in lengths])


def _grey(values: Tensor) -> Tensor:
    """The first modality in [0, 1]: `1 D H W`."""
    first = values[:1]
    some = first.flatten()[:: max(1, first.numel() // COUNTED)]
    low, high = some.quantile(torch.tensor(ENDS)).tolist()
    grey: Tensor = ((first - low) / max(high - low, 1e-6)).clamp(0, 1)
    return grey


def _resized(values: Tensor, grid: Sequence[int]) -> Tensor:
    if tuple(values.shape[1:]) == tuple(grid):
        return values
    resized: Tensor = functional.interpolate(values[None], tuple(grid), mode="trilinear", align_corners=False)[0]
    return resized
