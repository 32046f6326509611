"""Building the network that a file of weights describes, within bounds, since a description may ask for anything.

While a network is built, it may not register many more modules, parameters and values than the file has; so one that
asks for a billion layers ends at once. Then names and shapes are compared, and only then weights are read.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)

from regard import backbones, catalog
from regard.attaching import ALPHA, CHILD, attach, attached
from regard.attaching.restoring import restore
from regard.saved.description import Attached, Trained, largest, plain
from regard.saved.recognising import OUTSIDE, PLACEMENT

LARGEST = 2**16  # of a whole number in a description that is longer than every axis of the file
SPARE = 1000  # tensors and modules that a network may have beyond what its file says
SPARE_VALUES = 2**24  # for buffers that are not saved
LARGEST_EXAMPLE = 4096  # pixels on a side of the image on which attention of format 1 is tried

Shapes = Mapping[str, tuple[int, ...]]


def built(
    path: Path, found: Trained, *, arguments: Mapping[str, Any] | None = None, size: int | None = None
) -> nn.Module:
    """The network that a file describes, with the weights of the file and of their type, in evaluation mode.

    Args:
        path: the file.
        found: its description.
        arguments: those of a system that differ from the description.
        size: the side of the images where attention of format 1 is attached; None for that of the training.

    Raises: ValueError if it cannot be built or the weights do not fit it; LookupError if the backbone is not known.
    """
    shapes = shapes_of(path, found.prefix)
    with bounded(shapes):
        try:
            check_numbers(found, shapes)
            model = _untrained(found, arguments or {}, size)
        except Exception as error:  # networks raise many types for arguments that they do not take
            what = f"{found.entry} cannot be built: " if found.attached is None else ""
            reason = str(error).partition("\n")[0] or type(error).__name__
            raise ValueError(f"{path} of regard {found.version}: {what}{reason}") from error
    check_fit(path, ", ".join([found.name, *changes(found, arguments or {})]), shapes, model)
    fill(model, path, found.prefix, own_type=True)
    return model.eval()


def changes(found: Trained, arguments: Mapping[str, Any]) -> tuple[str, ...]:
    """The arguments of a system that differ from those of its training, as text."""
    recorded = found.arguments
    return tuple(
        f"{name}={value!r} (trained with {recorded[name]!r})"
        for name, value in arguments.items()
        if name in recorded and plain(value) != recorded[name]
    )


def _untrained(found: Trained, arguments: Mapping[str, Any], size: int | None) -> nn.Module:
    host = found.attached
    if host is None:
        system: nn.Module = catalog.get(str(found.entry)).load()(**{**found.arguments, **arguments})
        return system
    assert host.backbone is not None and found.image is not None
    channels, height, width = found.image
    if outside := [name for name in host.options if name in (*OUTSIDE, *PLACEMENT)]:
        raise ValueError(
            f"the argument {outside[0]}= of the backbone is refused: it has to be said by who opens the file"
        )
    if host.sites or not host.after:
        options = {"in_chans": channels, **host.options}
        model = backbones.build(host.backbone, classes=host.classes, **options)
        backbones.declare_size(model, (channels, height, width))
        return restore(model, host.sites)
    example = example_of(found, size)
    model = backbones.build(host.backbone, classes=host.classes, image_size=height, in_chans=channels, **host.options)
    return again(model, found, host, example)


def example_of(found: Trained, size: int | None = None) -> Tensor:
    """The image on which attention is attached that is described by one call, as in format 1.

    Raises: ValueError for one that is too large.
    """
    channels, height, width = found.image or (3, 224, 224)
    sides = (size, size) if size else (height, width)
    if max(sides) > LARGEST_EXAMPLE:
        raise ValueError(f"images of {max(sides)} pixels: at most {LARGEST_EXAMPLE} are accepted")
    return torch.zeros(1, channels, *sides)


def again(model: nn.Module, found: Trained, host: Attached, example: Tensor) -> nn.Module:
    """Attaches what a description says by one call, and returns the model. Raises: as `attach`."""
    return attach(model, str(found.entry), after=host.after, identity=host.identity, example=example, **host.arguments)


def check_numbers(found: Trained, shapes: Shapes) -> None:
    """Raises: ValueError for a whole number in a description beyond what a network with these tensors can ask for."""
    facts = found.facts()
    asked = largest([facts["arguments"], facts["attached"]])
    if asked > max([LARGEST, *(size for shape in shapes.values() for size in shape)]):
        raise ValueError(f"its description asks for {asked:,}, more than any axis of its {len(shapes)} tensors")


def shapes_of(path: Path, prefix: str = "") -> dict[str, tuple[int, ...]]:
    """Name -> shape of the tensors in a safetensors file whose names begin with the prefix, without it.

    Raises: ValueError if none does.
    """
    with safe_open(path, framework="pt") as file:
        names = [name for name in list(file.keys()) if name.startswith(prefix)]
        if prefix and not names:
            raise ValueError(f"{path} has no key that starts with {prefix!r}")
        return {name.removeprefix(prefix): tuple(file.get_slice(name).get_shape()) for name in names}


def check_fit(path: Path, name: str, shapes: Shapes, model: nn.Module, *, only_attention: bool = False) -> None:
    """Compares the names and shapes in a file with those of a network.

    Args:
        path, name: of the file and of the network, for the message.
        shapes: of the file.
        model: the network.
        only_attention: compare the attached attention alone.

    Raises: ValueError that names the first that differs.
    """
    own = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    if only_attention:
        own = {key: own[key] for key in attention_keys(model)}
    for key in (*own, *shapes):
        if key not in shapes:
            raise ValueError(f"{path} does not fit {name}: it has no {key}")
        if key not in own:
            raise ValueError(f"{path} does not fit {name}, which has no {key}")
        if own[key] != shapes[key]:
            raise ValueError(f"{path} does not fit {name}: {key} has shape {shapes[key]}; {own[key]} is needed")


def attention_keys(model: nn.Module) -> list[str]:
    """The names in the state dict that belong to attached attention."""
    ours = [f"{name}.{part}" for name, _, _ in attached(model) for part in (f"{CHILD}.", ALPHA)]
    return [key for key in model.state_dict() if any(key == one or key.startswith(one) for one in ours)]


def fill(model: nn.Module, path: Path, prefix: str = "", *, own_type: bool = False) -> None:
    """Copies the tensors of a file into a network whose names and shapes they fit.

    Args:
        model: the network.
        path, prefix: the file, and what its names begin with.
        own_type: give the network the floating types of the file; otherwise the tensors get those of the network.
    """
    with safe_open(path, framework="pt") as file:
        names = [name for name in list(file.keys()) if name.startswith(prefix)]
        state = {name.removeprefix(prefix): file.get_tensor(name) for name in names}
    if own_type:
        _take_types(model, state)
    model.load_state_dict(state, strict=False)


def _take_types(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    types = {value.dtype for value in state.values() if value.is_floating_point()}
    if len(types) == 1:
        model.to(types.pop())  # buffers that are not saved have the type as well
        return
    own = dict(model.named_parameters(remove_duplicate=False)) | dict(model.named_buffers(remove_duplicate=False))
    for name, value in state.items():
        if own[name].is_floating_point():
            own[name].data = own[name].data.to(value.dtype)


@contextmanager
def bounded(shapes: Shapes) -> Iterator[None]:
    """Ends the building of a network in this thread, by a ValueError, where it outgrows a file with these tensors.

    The random state is afterwards what it was, since what is drawn is overwritten.
    """
    most = {"module": 20 * len(shapes) + SPARE, "tensor": 2 * len(shapes) + SPARE}
    most["value"] = 2 * sum(map(math.prod, shapes.values())) + SPARE_VALUES
    count = dict.fromkeys(most, 0)
    me = threading.get_ident()

    def add(kind: str, number: int) -> None:
        count[kind] += number
        if count[kind] > most[kind]:
            raise ValueError(f"it has more {kind}s than fit the {len(shapes)} tensors of the file")

    def on_module(parent: nn.Module, name: str, module: nn.Module | None) -> None:
        if threading.get_ident() == me:
            add("module", 1)

    def on_tensor(parent: nn.Module, name: str, tensor: Tensor | None) -> None:
        if threading.get_ident() == me and tensor is not None:
            add("tensor", 1)
            add("value", tensor.numel())

    handles = [
        register_module_module_registration_hook(on_module),
        register_module_parameter_registration_hook(on_tensor),
        register_module_buffer_registration_hook(on_tensor),
    ]
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        for handle in handles:
            handle.remove()
