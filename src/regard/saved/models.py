"""Saving and loading of models with attached attention: one safetensors file that says how the model is built."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from safetensors.torch import save as serialised
from torch import Tensor, nn

from regard.attaching import check_unwrapped, detach
from regard.attaching.restoring import Attachment, attachments, restore
from regard.backbones import declared_size, normalisation
from regard.saved import description
from regard.saved.building import (
    again,
    attention_keys,
    bounded,
    built,
    check_fit,
    check_numbers,
    example_of,
    fill,
    shapes_of,
)
from regard.saved.description import Attached, Trained
from regard.saved.digests import sealed_weights
from regard.saved.files import write_whole
from regard.saved.recognising import clean, recognised

SUFFIX = ".safetensors"
# Classes that hold a model, and the attribute under which they do: compiled, averaged, and on several processes.
WRAPPERS = {
    "OptimizedModule": "_orig_mod",
    "AveragedModel": "module",
    "ModelEmaV2": "module",
    "ModelEmaV3": "module",
    "DataParallel": "module",
    "DistributedDataParallel": "module",
}


def save(
    model: nn.Module,
    path: str | Path,
    *,
    only: str | None = None,
    normalise: tuple[Sequence[float], Sequence[float]] | None = None,
    image: tuple[int, int, int] | None = None,
) -> None:
    """Saves a model with attached attention to one file, from which it can be built again.

        regard.save(model, "model.safetensors")
        regard.save(model, "cbam.safetensors", only="attention")  # an adapter, without the backbone

    The file has the weights, and a description of the model: the name and arguments of the timm network, and for each
    site the mechanism, its arguments and its gate. A network that is not timm's, or was changed after timm built it, is
    described without its name and has to be given to `regard.load`. An existing file is replaced once the new one is
    complete.

    Args:
        model: a model with attention, also compiled, averaged (`AveragedModel`, timm's `ModelEmaV3`) or wrapped in
            `DistributedDataParallel`.
        path: the file, whose name ends in .safetensors.
        only: `"attention"` for the attached modules and gates alone; None for everything.
        normalise: mean and standard deviation of each channel, by which images in 0..1 are normalised; None for those
            that the network of timm declares, or ImageNet's.
        image: channels, height and width of its images; None for those that the network declares.

    Raises:
        TypeError: `model` is no module.
        ValueError: nothing is attached to it, it is sharded, `path` has another suffix, or another argument is wrong.
        OSError: the file cannot be written.
    """
    if only not in (None, "attention"):
        raise ValueError(f"only={only!r}: None or 'attention' is needed")
    path = Path(path)
    if path.suffix != SUFFIX:
        raise ValueError(f"path={str(path)!r}: a name that ends in {SUFFIX} is needed")
    bare = _unwrapped(model)
    sites = [replace(each, site=clean(each.site)) for each in attachments(bare)]
    if not sites:
        raise ValueError(f"model={type(bare).__name__}: nothing is attached to it; regard.attach(model, name) does")
    state = _state(bare, attention_keys(bare) if only else None)
    size = image or declared_size(bare)
    network = recognised(bare)
    if size is None and network.name is not None:
        raise ValueError(f"image=None: channels, height and width are needed, since {network.name} declares none")
    known = [each.mechanism for each in sites if each.mechanism is not None]
    what = Trained(
        entry=known[-1] if known else None,
        normalise=normalisation(bare) if normalise is None else normalise,
        image=size,
        attached=Attached(
            backbone=network.name,
            classes=network.classes,
            options=network.arguments,
            sites=sites,
            part=only or "all",
            unknown=network.reason,
        ),
    )
    description.check(what)
    check_numbers(what, {name: tuple(value.shape) for name, value in state.items()})
    write_whole(path, sealed_weights(serialised(state, what.metadata())))


def load(path: str | Path, *, backbone: nn.Module | None = None) -> nn.Module:
    """Loads a model that `regard.save`, `regard train` or `regard compare` wrote.

        model = regard.load("model.safetensors")
        model = regard.load("cbam.safetensors", backbone=timm.create_model("resnet18", pretrained=True))

    Nothing in the file is run. What it describes is built within bounds that its tensors set, names and shapes are
    compared, and then the weights are read.

    Args:
        path: the file, or the folder of a run of `regard train` or of a trial of `regard compare`.
        backbone: the network to which the attention is attached, in place. It is needed where the file has the
            attention alone or does not name a network of timm's. Where it has attention already, that has to be what
            the file describes: so come back mechanisms that are not of the catalogue.

    Returns:
        The model: a new one on the CPU, in evaluation mode and of the floating type that was saved; or `backbone`,
        whose device, type and mode stay. After an error `backbone` is as it was.

    Raises:
        FileNotFoundError: there is no such file.
        LookupError: the catalogue or timm does not know what the file names, or the backbone has no such site.
        TypeError: `backbone` is no module.
        ValueError: the file is no safetensors file, is damaged or has no description; a backbone is missing; or the
            weights do not fit.
    """
    path = description.located(Path(path))
    if path.suffix != SUFFIX:
        raise ValueError(
            f"path={str(path)!r}: a {SUFFIX} file is needed; others may run code when they are opened, and "
            f"model.load_state_dict(torch.load(path, weights_only=True)) reads weights alone"
        )
    found = description.read(path)
    if found is None:
        raise ValueError(f"{path} does not describe its network, as regard.save does; load_state_dict reads weights")
    host = found.attached
    if backbone is not None:
        if not isinstance(backbone, nn.Module):
            raise TypeError(f"backbone={type(backbone).__name__}: a module is needed")
        if host is None:
            raise ValueError(f"{path} is {found.entry}, a full system: leave out backbone=")
        return _into(backbone, path, found, host)
    if host is not None and host.part == "attention":
        raise ValueError(f"{path} has the attention alone: give the network for it as backbone=")
    if host is not None and host.backbone is None:
        raise ValueError(f"{path} does not name a network of timm's ({host.unknown}): give it as backbone=")
    own = None if host is None else next((each for each in host.sites if each.mechanism is None), None)
    if own is not None:
        raise ValueError(
            f"{path}: {own.kind} after {own.site!r} is not of the catalogue: attach it to a network as it was, and "
            f"give that as backbone="
        )
    return built(path, found)


def _into(backbone: nn.Module, path: Path, found: Trained, host: Attached) -> nn.Module:
    """Attaches what the file describes to the backbone, and loads the weights. Raises: as `load`."""
    check_unwrapped(backbone)
    present, shapes = attachments(backbone), shapes_of(path, found.prefix)
    try:
        with bounded(shapes):
            check_numbers(found, shapes)
            if present:
                _check_same(path, found, present, host.sites)
            elif host.sites or not host.after:
                restore(backbone, host.sites)
            else:
                again(backbone, found, host, example_of(found))
        check_fit(path, found.name, shapes, backbone, only_attention=host.part == "attention")
    except Exception as error:  # mechanisms raise many types for arguments that they do not take
        if not present:
            detach(backbone)
        if str(path) in str(error):
            raise
        kind = LookupError if isinstance(error, LookupError) else ValueError
        raise kind(f"{path}: {error}") from error
    fill(backbone, path, found.prefix)
    return backbone


def _check_same(path: Path, found: Trained, present: Sequence[Attachment], described: Sequence[Attachment]) -> None:
    """Raises: ValueError if a backbone has other attention than a file describes, beyond learned and folded gates."""
    own, theirs = ({each.site: _function(each) for each in one} for one in (present, described))
    for site in dict.fromkeys((*own, *theirs)):
        if own.get(site) != theirs.get(site):
            raise ValueError(f"{path} is {found.name}: the attention of the backbone after {site!r} is another")


def _function(attachment: Attachment) -> dict[str, Any]:
    """What an attachment computes, with its weights."""
    facts = dict(vars(attachment))
    return {**facts, "gate": attachment.gate != "none", "copy": None, "grid": list(attachment.grid)}


def _unwrapped(model: object) -> nn.Module:
    """The model inside of what compiles, averages or distributes it. Raises: TypeError, ValueError; see `save`."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model={type(model).__name__}: a module is needed")
    while (inner := WRAPPERS.get(type(model).__name__)) is not None:
        model = model.get_submodule(inner)
    for module in model.modules():
        if type(module).__name__.startswith(("FSDP", "FullyShardedDataParallel")):
            raise ValueError(
                f"model={type(model).__name__}: it is sharded, and each process has a part of it; load its full state "
                f"dict into a model that is not, and save that"
            )
    return model


def _state(model: nn.Module, keys: Sequence[str] | None) -> dict[str, Tensor]:
    """The tensors of the state dict on the CPU, under the names of a model that is not compiled."""
    state = model.state_dict()
    kept: dict[str, Tensor] = {}
    for key in state if keys is None else keys:
        value = state[key]
        if not isinstance(value, Tensor) or value.is_meta or type(value).__name__ not in ("Tensor", "Parameter"):
            raise ValueError(f"model={type(model).__name__}: {key} is no tensor with values, and cannot be saved")
        kept[clean(key)] = value.detach().cpu().contiguous().clone()
    return kept
