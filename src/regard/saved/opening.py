"""One look: a mechanism on a backbone, or a full system, over real photographs, as pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from regard import catalog, published
from regard.attaching import attach
from regard.backbones import build, normalisation
from regard.catalog import Entry
from regard.core import Maps, watch
from regard.data.batches import Normalisation, normalised
from regard.saved import description as trained
from regard.saved.description import Attached, Trained


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network that is ready to look, and how it is given a photograph.

    Args:
        entry: its label, or that of the attention in it.
        model: in eval mode.
        trained: whether it has trained weights, or nothing to train.
        name: for people.
        size: height and width that every photograph is brought to; None takes each photograph's own.
        channels: 3, or 1 for the mean of the colours.
        normalise: mean and standard deviation of each channel; None leaves 0..1.
        changed: the arguments that are not those that it was trained with, in words.
    """

    entry: Entry
    model: nn.Module
    trained: bool
    name: str
    size: tuple[int, int] | None = None
    channels: int = 3
    normalise: Normalisation | None = None
    changed: tuple[str, ...] = ()

    def look(self, pixels: Tensor) -> Maps:
        """All its maps of one image: uint8 `3 H W`, made grey and normalised as the network wants it."""
        x = pixels.float()[None] / 255
        x = normalised(x.mean(1, keepdim=True) if self.channels == 1 else x, self.normalise)
        with torch.no_grad(), watch(self.model) as maps:
            self.model(x)
        return maps


def open_network(
    mechanism: str | None = None,
    *,
    backbone: str | None = None,
    weights: Path | None = None,
    pretrained: bool = False,
    after: Sequence[str] | None = None,
    image_size: int | None = None,
    kwargs: Mapping[str, Any] | None = None,
) -> Network:
    """A system, or a backbone with attention, ready to look; weights that say what they are need nothing else.

    Args:
        mechanism: a catalogue name; may be left out where the weights say it.
        backbone: a timm model's name, "resnet18" by default; a system needs none.
        weights: of the system, or of the backbone with the attention attached, .safetensors or .pth; or the folder of a
            run of `regard train` or of a trial of `regard compare`.
        pretrained: load the published weights of the backbone.
        after: glob patterns over module names; None takes the backbone family's default sites.
        image_size: side in pixels of the images, where it is not the network's own.
        kwargs: options of the mechanism or system. Those that contradict what a system was trained with are taken, and
            named in `changed`.

    Raises:
        LookupError: no such mechanism, backbone or site.
        FileNotFoundError, ValueError: the weights cannot be read, do not fit, or are of something else; a system is
            given a backbone; the network takes no photographs.
    """
    kwargs = dict(kwargs or {})
    entry = None if mechanism is None else catalog.get(mechanism)
    found = None
    if weights is not None:
        weights = trained.located(Path(weights))
        found = trained.read(weights)
    if found is not None:
        if entry is not None and entry.name != found.entry:
            raise ValueError(f"{weights} holds {found.entry}, not {entry.name}: leave out --with, or give others")
        entry = catalog.get(found.entry)
    if entry is None:
        what = "no network is named" if weights is None else f"{weights} does not say what network it is of"
        raise ValueError(f"{what}: give --with and a name that `regard list` prints, or weights of `regard train`")
    host = None if found is None else found.attached
    options: dict[str, Any] = {"pretrained": pretrained, "after": after}
    if host is None or backbone != host.backbone:
        options["backbone (--on)"] = backbone
    if host is not None:
        options["kwargs"] = kwargs
    given = next((option for option, value in options.items() if value), None)
    if entry.system:
        if given:
            raise ValueError(f"{entry.name} is a full system and stands on no backbone: leave out {given}")
        return _system(entry, weights, found, image_size, kwargs)
    if host is not None and found is not None and weights is not None:
        if given:
            raise ValueError(
                f"{weights} says itself that {entry.name} is on {host.backbone}, and how: leave out {given}"
            )
        return _attached(entry, weights, found, host, image_size)
    backbone = backbone or "resnet18"
    model = build(backbone, classes=1000, pretrained=pretrained)
    size = image_size or own_size(model)
    attach(model, entry.name, after=after, example=torch.zeros(1, 3, size, size), **kwargs)
    learned = weights is not None and load_weights(model, weights)
    return Network(
        entry=entry,
        model=model.eval(),
        trained=learned,
        name=f"{entry.name} on {backbone}",
        size=(size, size),
        normalise=normalisation(model),
    )


def _system(
    entry: Entry, weights: Path | None, found: Trained | None, image_size: int | None, kwargs: dict[str, Any]
) -> Network:
    """Raises: ValueError if it cannot be built with these arguments, or the weights do not fit."""
    arguments = {**({} if found is None else found.arguments), **kwargs}
    try:
        model = entry.load()(**arguments).eval()
    except (TypeError, ValueError, LookupError) as error:
        if found is not None:
            raise ValueError(f"{weights} of regard {found.version}: {entry.name} cannot be built: {error}") from error
        if not isinstance(error, TypeError):
            raise
        raise ValueError(
            f"{entry.name} cannot be built: {error}; give its arguments, for example {dict(entry.kwargs)}"
        ) from error
    recorded = {} if found is None else found.arguments
    changed = tuple(
        f"{name}={value!r} (trained with {recorded[name]!r})"
        for name, value in kwargs.items()
        if name in recorded and trained.plain(value) != recorded[name]
    )
    if weights is not None:
        _fill(model, weights, "" if found is None else found.prefix, ", ".join([entry.name, *changed]))
    channels = arguments.get("channels", getattr(model, "channels", 3) if found is None else found.image[0])
    if channels not in (1, 3):
        raise ValueError(f"{entry.name} takes images of channels={channels}; a photograph has 3, or 1 if made grey")
    grid = arguments.get("grid", getattr(model, "grid", None))
    if grid is None and found is not None and image_size is None:
        grid = found.image[1:]
    return Network(
        entry=entry,
        model=model,
        trained=weights is not None or not any(True for _ in model.parameters()),
        name=entry.name,
        size=None if grid is None else (int(grid[0]), int(grid[1])),
        channels=channels,
        normalise=None if found is None else found.normalise,
        changed=changed,
    )


def _attached(entry: Entry, weights: Path, found: Trained, host: Attached, image_size: int | None) -> Network:
    """Raises: ValueError if it cannot be attached as the file says, or the weights do not fit."""
    channels, _, own = found.image
    if channels not in (1, 3):
        raise ValueError(f"{weights} takes images of {channels} channels; a photograph has 3, or 1 if made grey")
    size = image_size or own
    try:
        model = build(host.backbone, classes=host.classes, image_size=own, in_chans=channels)
        example = torch.zeros(1, channels, size, size)
        attach(model, entry.name, after=host.after, identity=host.identity, example=example, **host.arguments)
    except (LookupError, TypeError, ValueError) as error:
        raise ValueError(f"{weights} of regard {found.version}: {error}") from error
    name = f"{entry.name} on {host.backbone}"
    _fill(model, weights, found.prefix, name)
    return Network(
        entry=entry,
        model=model.eval(),
        trained=True,
        name=name,
        size=(size, size),
        channels=channels,
        normalise=found.normalise,
    )


def _fill(model: nn.Module, weights: Path, prefix: str, name: str) -> None:
    try:
        model.load_state_dict(published.load(weights, prefix=prefix))
    except RuntimeError as error:
        raise ValueError(f"{weights} does not fit {name}: {' '.join(str(error).split())[:200]}") from error


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
