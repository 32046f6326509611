"""Which of timm's networks a model with attached attention is, so that it can be built again from its name.

A model is recognised if timm, asked for the same name and arguments, builds the same: the same modules with the same
settings, and the same names and shapes of weights. The network is built on the meta device, where it costs no memory.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import timm
import torch
from torch import nn

from regard.attaching import ALPHA, CHILD, attached
from regard.backbones import built

WRAPPER = "_orig_mod"  # what `torch.compile` puts before the names of a module that it wraps
OUTSIDE = ("pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir")
PLACEMENT = ("device", "dtype")  # arguments that say where a network is, and not which
TRANSIENT = ("training", "grad_checkpointing", "fused_attn")  # what changes no output


@dataclass(frozen=True)
class Recognised:
    """A network of timm's.

    Args:
        name: as timm lists it; None if the model was not recognised.
        classes: number of outputs; None where the network does not tell.
        arguments: the other arguments, as JSON holds them.
        reason: why it was not recognised.
    """

    name: str | None
    classes: int | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""


def recognised(model: nn.Module) -> Recognised:
    """Finds out how timm builds the model without its attention."""
    recorded, config = built(model), getattr(model, "pretrained_cfg", None) or {}
    classes = getattr(model, "num_classes", None)
    classes = classes if isinstance(classes, int) else None
    if recorded is not None:
        name, arguments = recorded.name, dict(recorded.arguments)
    elif config.get("architecture") in timm.list_models():
        name = config["architecture"]
        if f"{name}.{config.get('tag')}" in timm.list_models(f"{name}.*", pretrained=True):
            name = f"{name}.{config['tag']}"
        arguments = dict(getattr(model, "_model_args", None) or _seen(model))
        arguments.pop("num_classes", None)
    else:
        return Recognised(None, reason=f"{type(model).__name__} is not a network of timm's")
    arguments = {key: value for key, value in arguments.items() if key not in PLACEMENT}
    try:
        plain = json.loads(json.dumps(arguments, allow_nan=False))
    except (TypeError, ValueError):
        return Recognised(None, reason=f"an argument of {name} is a class or a function")
    if outside := [each for each in plain if each in OUTSIDE]:
        return Recognised(None, reason=f"{name} was built with {outside[0]}=")
    difference = ""
    for more in ({}, _pooling(model)):  # `reset_classifier` may have changed the pooling
        try:
            with torch.device("meta"):
                again = timm.create_model(
                    name, **({} if classes is None else {"num_classes": classes}), **plain, **more
                )
        except Exception as error:  # timm's networks raise many types for arguments that they do not take
            difference = difference or f"timm does not build it: {str(error).partition(chr(10))[0]}"
            continue
        differs = _difference(dict(_parts(model)), dict(_parts(again)))
        if not differs:
            return Recognised(name, classes, {**plain, **more})
        difference = difference or differs
    return Recognised(None, reason=f"it is not {name} as timm builds it: {difference}")


def _pooling(model: nn.Module) -> dict[str, str]:
    """The pooling before the classifier, as the argument of timm's networks; empty where it cannot be told."""
    for module in (model, getattr(model, "head", None)):
        pooling = getattr(module, "global_pool", None)
        kind = pooling if isinstance(pooling, str) else getattr(pooling, "pool_type", None)
        if isinstance(kind, str):
            return {"global_pool": kind}
    return {}


def _seen(model: nn.Module) -> dict[str, Any]:
    """Arguments that can be read off a network, for versions of timm that do not keep them."""
    convolution = next((module for module in model.modules() if isinstance(module, nn.Conv2d)), None)
    seen: dict[str, Any] = {} if convolution is None else {"in_chans": convolution.in_channels}
    size = getattr(getattr(model, "patch_embed", None), "img_size", None)
    return seen | ({"img_size": list(size)} if isinstance(size, tuple) else {})


def clean(name: str) -> str:
    """A dotted name without what `torch.compile` puts into it."""
    return ".".join(part for part in name.split(".") if part != WRAPPER)


def _parts(model: nn.Module) -> Iterator[tuple[str, Any]]:
    """Name -> kind and settings of each module, and shape of each weight, without the attention."""
    sites = {clean(name) for name, _, _ in attached(model)}
    for name, module in model.named_modules(remove_duplicate=False):
        if type(module).__name__ != "OptimizedModule" and not _within(clean(name), sites):
            yield f"module {clean(name) or type(model).__name__}", (_kind(module), _settings(module))
    for name, value in model.state_dict().items():
        if not _within(clean(name), sites):
            yield f"weight {clean(name)}", tuple(value.shape)


def _within(name: str, sites: set[str]) -> bool:
    """Whether the name is of something attached."""
    parts = name.split(".")
    return any(part in (CHILD, ALPHA) and ".".join(parts[:position]) in sites for position, part in enumerate(parts))


def _kind(module: nn.Module) -> str:
    """The class; batch norms that synchronise processes are as good as the others."""
    kind = type(module).__name__
    return kind.removeprefix("Sync").removesuffix("2d") if "BatchNorm" in kind else kind


def _settings(module: nn.Module) -> dict[str, Any]:
    """The attributes of a module that are numbers, texts or tuples of them."""
    return {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_") and name not in TRANSIENT and _simple(value)
    }


def _simple(value: Any) -> bool:
    return type(value) in (bool, int, float, str) or (isinstance(value, tuple) and all(map(_simple, value)))


def _difference(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    """The first thing that two models do not share, in words; an empty text if there is none."""
    for name in (*ours, *theirs):
        if name not in theirs:
            return f"{name} is not in it"
        if name not in ours:
            return f"{name} is missing"
        if ours[name] != theirs[name]:
            if name.startswith("weight") or ours[name][0] != theirs[name][0]:
                return f"{name} differs"
            mine, own = ours[name][1], theirs[name][1]
            return f"{next(each for each in {**mine, **own} if mine.get(each) != own.get(each))} of {name} differs"
    return ""
