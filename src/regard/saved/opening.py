"""Opening a network for photographs: a mechanism on a backbone, or a full system, with or without trained weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from timm.data import ImageNetInfo, infer_imagenet_subset
from torch import Tensor, nn

from regard import catalog, published
from regard.attaching import attach
from regard.backbones import build, normalisation
from regard.catalog import Entry
from regard.core import Maps, NothingSeen
from regard.data.batches import Normalisation, normalised
from regard.saved import description as trained
from regard.saved.building import built, changes
from regard.saved.description import Trained
from regard.watching import watch


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network that is ready for photographs, and their preparation.

    Args:
        entry: the entry of the system, or of the attention in the backbone; None for a backbone without attention.
        model: the network, in evaluation mode.
        trained: whether it has trained weights, or no parameters to train.
        name: a readable name.
        size: height and width to which photographs are resized; None keeps the size of each photograph.
        channels: 3, or 1 for the mean of the colours.
        normalise: mean and standard deviation of each channel; None keeps 0..1.
        changed: the arguments that differ from those of the training, as text.
        untrained: what has random weights, as text; empty if nothing has.
        class_names: the names of the classes, in the order of the outputs; empty if they are not known.
        vocabulary: the word of each row, or of several vocabularies each by its name; empty if there are no words.
    """

    entry: Entry | None
    model: nn.Module
    trained: bool
    name: str
    size: tuple[int, int] | None = None
    channels: int = 3
    normalise: Normalisation | None = None
    changed: tuple[str, ...] = ()
    untrained: str = ""
    class_names: tuple[str, ...] = ()
    vocabulary: tuple[str, ...] | Mapping[str, tuple[str, ...]] = ()

    @property
    def system(self) -> bool:
        """Whether it is a system of the catalogue; otherwise it is a backbone."""
        return self.entry is not None and self.entry.system

    def prepared(self, pixels: Tensor) -> Tensor:
        """The network's input for one image, uint8 `3 H W`: normalised, and grey where the network needs it."""
        x = pixels.float()[None] / 255
        return normalised(x.mean(1, keepdim=True) if self.channels == 1 else x, self.normalise)

    def look(self, pixels: Tensor) -> Maps:
        """The attention maps of one image, uint8 `3 H W`, which is made grey and normalised as the network needs it."""
        return self.answer(pixels)[0]

    def answer(self, pixels: Tensor) -> tuple[Maps, object]:
        """The attention maps of one image, as `look`, and what the network returns; no maps without attention.

        Of a backbone to which nothing is attached these are the maps of its own attention.
        """
        x = self.prepared(pixels)
        with torch.no_grad():
            try:
                with watch(self.model, foreign=self.entry is None) as maps:
                    returned: object = self.model(x)
            except NothingSeen:
                return Maps(), self.model(x)
        return maps, returned


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
    """Opens a system or a backbone; weights with a description need no other arguments.

    Args:
        mechanism: a name in the catalogue, or of a network; not needed if the weights have a description, or for a
            backbone without attention.
        backbone: the name of a timm model, "resnet18" by default where there is a mechanism; not for a system.
        weights: a file of weights (.safetensors or .pth) of the system, or of the backbone with its attention; or the
            folder of a run of `regard train` or of a trial of `regard compare`.
        pretrained: load the published weights of the backbone.
        after: glob patterns over module names; None uses the default sites of the backbone.
        image_size: side of the images in pixels; by default the network's own.
        kwargs: arguments of the mechanism or system. Those that differ from a system's training are applied, and listed
            in `changed`.

    Raises:
        LookupError: no such mechanism, backbone or site.
        FileNotFoundError, ValueError: the weights cannot be read, do not fit or are of another network; a backbone is
            given for a system; the network does not take photographs.
    """
    kwargs = dict(kwargs or {})
    entry = None
    if mechanism is not None:
        entry, kwargs = catalog.resolved(mechanism, kwargs)
    found = None
    if weights is not None:
        weights = trained.located(Path(weights))
        found = trained.read(weights)
    if found is not None:
        if entry is not None and entry.name not in found.entries:
            raise ValueError(
                f"{weights} is of {' and '.join(found.entries) or 'a network without attention'}, not {entry.name}: "
                f"leave out --with, or give other weights"
            )
        host = found.attached
        bare = host is not None and not found.entries and not host.after
        if (found.entry is None and not bare) or (host is not None and (host.backbone is None or host.part != "all")):
            raise ValueError(
                f"{weights} has attention for a backbone that it does not have: open it by "
                f"regard.load(path, backbone=model)"
            )
        entry = None if found.entry is None else catalog.get(found.entry)
    elif entry is None and backbone is not None:
        if kwargs or after:
            raise ValueError(f"{'kwargs' if kwargs else 'after'}: {backbone} gets no attention: give --with too")
        return _backbone(backbone, weights, pretrained, image_size)
    if entry is None and found is None:
        what = "no network is named" if weights is None else f"{weights} does not describe its network"
        raise ValueError(f"{what}: give --with and a name from `regard list`, or weights of `regard train`")
    host = None if found is None else found.attached
    options: dict[str, Any] = {"pretrained": pretrained, "after": after}
    if host is None or backbone != host.backbone:
        options["backbone (--on)"] = backbone
    if host is not None:
        options["kwargs"] = kwargs
    given = next((option for option, value in options.items() if value), None)
    if entry is not None and entry.system:
        if given:
            raise ValueError(f"{entry.name} is a full system and needs no backbone: leave out {given}")
        return _system(entry, weights, found, image_size, kwargs)
    if host is not None and found is not None and weights is not None:
        if given:
            raise ValueError(f"{weights} already describes {found.name} with its options: leave out {given}")
        return _attached(entry, weights, found, image_size)
    assert entry is not None
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
        untrained="" if learned else "the whole network" if weights is None and not pretrained else "the attention",
        class_names=published_classes(model) if pretrained else (),
    )


def _system(
    entry: Entry, weights: Path | None, found: Trained | None, image_size: int | None, kwargs: dict[str, Any]
) -> Network:
    """Opens a system. Raises: ValueError if it cannot be built with these arguments, or the weights do not fit."""
    arguments = {**({} if found is None else found.arguments), **kwargs}
    if found is not None and weights is not None:
        model = built(weights, found, arguments=kwargs).float()  # images are float32, whatever type was saved
    else:
        try:
            model = entry.load()(**arguments).eval()
        except TypeError as error:
            raise ValueError(
                f"{entry.name} cannot be built: {error}; give its arguments, for example {dict(entry.kwargs)}"
            ) from error
    if weights is not None and found is None:
        _fill(model, weights, entry.name)
    image = None if found is None else found.image
    if image is not None and len(image) > 3:
        kind = "volumes" if "D" in " ".join(entry.inputs).split() else f"clips of {image[1]} frames"
        raise ValueError(f"{weights} was trained on {kind}: a network for photographs is needed")
    channels = arguments.get("channels", getattr(model, "channels", 3) if image is None else image[0])
    if "image" not in getattr(model, "seen", ("image",)):
        channels = 3  # it sees regions or features, whose channels are no colours
    channels = getattr(model, "colours", channels)  # of a photograph, where `channels` are those of features
    if channels not in (1, 3):
        raise ValueError(
            f"{entry.name} with channels={channels}: 3 channels, or 1 for grey, are needed for photographs"
        )
    grid = arguments.get("grid", getattr(model, "grid", None))
    # A recipe of segmentation trains on crops of photographs that keep their size: a photograph is seen in its own.
    crops = found is not None and found.recipe is not None and "segmentation" in entry.tasks
    if grid is None and image is not None and image_size is None and not crops:
        grid = image[1:]
    learned = weights is not None or not any(True for _ in model.parameters())
    return Network(
        entry=entry,
        model=model,
        trained=learned,
        name=entry.name,
        size=None if grid is None else (int(grid[0]), int(grid[1])),
        channels=channels,
        normalise=None if found is None else found.normalise,
        changed=() if found is None else changes(found, kwargs),
        untrained="" if learned else "the whole network",
        class_names=() if found is None else tuple(found.class_names),
        vocabulary=() if found is None else _vocabulary(found.vocabulary),
    )


def _vocabulary(found: Sequence[str] | Mapping[str, Sequence[str]]) -> tuple[str, ...] | dict[str, tuple[str, ...]]:
    if isinstance(found, Mapping):
        return {name: tuple(words) for name, words in found.items()}
    return tuple(found)


def _backbone(name: str, weights: Path | None, pretrained: bool, image_size: int | None) -> Network:
    """Opens a network of timm's without attention. Raises: as `open_network`."""
    model = build(name, classes=None, pretrained=pretrained, image_size=image_size)
    if weights is not None:
        state = published.load(weights)
        model = build(name, classes=_classes(model, state), image_size=image_size)
        try:
            model.load_state_dict(state)
        except RuntimeError as error:
            raise ValueError(f"{weights} does not fit {name}: {' '.join(str(error).split())[:200]}") from error
    size = image_size or own_size(model)
    return Network(
        entry=None,
        model=model.eval(),
        trained=weights is not None or pretrained,
        name=name,
        size=(size, size),
        normalise=normalisation(model),
        untrained="" if weights is not None or pretrained else "the whole network",
        class_names=published_classes(model) if pretrained and weights is None else (),
    )


def _classes(model: Any, state: Mapping[str, Tensor]) -> int | None:
    """The number of classes of the classifier in a state dict; None if it is not found."""
    head = model.get_classifier()
    heads = [name for name, module in model.named_modules() if module is head]
    bias = state.get(f"{heads[0]}.bias") if heads else None
    return None if bias is None or bias.dim() != 1 else len(bias)


def _attached(entry: Entry | None, weights: Path, found: Trained, image_size: int | None) -> Network:
    """Opens what a file describes: a backbone with its attention, or without any.

    Raises: ValueError if attaching it fails, or the weights do not fit.
    """
    assert found.image is not None
    channels, height, width = found.image
    if channels not in (1, 3):
        raise ValueError(f"{weights} with {channels} channels: 3 channels, or 1 for grey, are needed for photographs")
    model = built(weights, found, size=image_size).float()
    return Network(
        entry=entry,
        model=model,
        trained=True,
        name=found.name,
        size=(image_size, image_size) if image_size else (height, width),
        channels=channels,
        normalise=found.normalise,
        class_names=tuple(found.class_names),
    )


def published_classes(model: nn.Module) -> tuple[str, ...]:
    """The names of the classes of a timm model with published weights; empty if timm does not know them."""
    subset = infer_imagenet_subset(model)
    if subset is None:
        return ()
    names = ImageNetInfo(subset)
    return tuple(names.index_to_description(index).partition(",")[0] for index in range(names.num_classes()))


def _fill(model: nn.Module, weights: Path, name: str) -> None:
    try:
        model.load_state_dict(published.load(weights))
    except RuntimeError as error:
        raise ValueError(f"{weights} does not fit {name}: {' '.join(str(error).split())[:200]}") from error


def own_size(model: nn.Module) -> int:
    size = getattr(model, "pretrained_cfg", {}).get("input_size", (3, 224, 224))
    return int(size[-1])


def load_weights(model: nn.Module, path: Path) -> bool:
    """Loads weights and returns whether they include the attention; a classifier of another shape is left out."""
    state = published.load(path)
    head = {key for key, value in model.state_dict().items() if key in state and state[key].shape != value.shape}
    foreign = sorted(key for key in head if not key.startswith(("fc.", "head.", "classifier.", "last_linear.")))
    if foreign:
        raise ValueError(
            f"{path}: {foreign[0]} has shape {tuple(state[foreign[0]].shape)}; "
            f"{tuple(model.state_dict()[foreign[0]].shape)} is needed"
        )
    missing, unexpected = model.load_state_dict(
        {key: value for key, value in state.items() if key not in head}, strict=False
    )
    if unexpected:
        raise ValueError(f"{path}: the model has no {unexpected[0]} ({len(unexpected)} such names)")
    absent = [key for key in missing if key not in head and ".attention" not in key]
    if absent:
        raise ValueError(f"{path}: {absent[0]} of the model is missing ({len(absent)} such names)")
    return not any(".attention" in key for key in missing)
