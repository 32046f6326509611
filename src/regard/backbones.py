"""Backbones: timm's networks by name, and the feature maps of any network."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Protocol, cast

import timm
import torch
from huggingface_hub import constants, try_to_load_from_cache
from huggingface_hub.utils import get_session  # type: ignore[attr-defined]  # documented, though not in its __all__
from torch import Tensor, nn

from regard.attaching import attach
from regard.attaching.siting import Site, at_places, stages, survey
from regard.attaching.tracing import evaluating
from regard.catalog import rows
from regard.checks import positive, whole

BUILT = "_regard_built"  # the attribute of a model with how `build` built it
PATIENCE = 5.0  # seconds until the hub has to answer; its own client asks for each of two files, six times
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class FeatureInfo(Protocol):
    """The channels and the stride, for each map that a network built with `features_only=True` returns."""

    def channels(self) -> list[int]: ...

    def reduction(self) -> list[int]: ...


@dataclass(frozen=True)
class Built:
    """The arguments of timm that build a network: its name, and all others but the number of classes."""

    name: str
    arguments: Mapping[str, Any]


def create_model(
    name: str,
    *,
    attention: str | Callable[..., nn.Module] | None = None,
    after: str | Sequence[str] | None = None,
    identity: bool = False,
    pretrained: bool = False,
    num_classes: int | None = None,
    image_size: int | None = None,
    **kwargs: Any,
) -> nn.Module:
    """Builds a network of timm's with attention in it.

        model = regard.create_model("resnet18", attention="cbam(reduction=8)@layer4", num_classes=10)
        regard.save(model, "model.safetensors")
        model = regard.load("model.safetensors")

    Args:
        name: as timm lists it, with or without the tag of its weights: `"resnet18"`, `"resnet18.a1_in1k"`.
        attention: a mechanism, or rows as `regard.compare` takes them: `"se"`, `"cbam(reduction=8)@layer4"`,
            `"se@layer1, eca@layer2"`; or a function or class as for `attach`. None attaches nothing.
        after, identity: as for `attach`; a place in a row goes before `after`.
        pretrained: with published weights, from timm's cache or the network; the classifier is new where the number of
            classes differs.
        num_classes: number of outputs; None for as many as timm's network has.
        image_size: pixels of the square images it will get; it is built for them where it takes one size only.
        kwargs: further arguments of the network, such as `in_chans` and `drop_rate`.

    Returns:
        The network, in training mode as timm returns it.

    Raises:
        LookupError: there is no such network, mechanism or site.
        OSError: the published weights cannot be loaded.
        ValueError: the network or the attention cannot be built with these arguments.
    """
    asked = rows.rows(attention) if isinstance(attention, str) else ()
    for row in asked:
        if row.mechanism in (rows.PLAIN, rows.ALL):
            raise ValueError(f"attention={attention!r}: names of mechanisms are needed; {row} is a row of comparisons")
    model = build(name, classes=num_classes, pretrained=pretrained, image_size=image_size, **kwargs)
    for row in asked:
        if row.mechanism != rows.NONE:
            places = [site.name for site in at_places(model, row.places)] if row.places else after
            attach(model, row.mechanism, after=places, identity=identity, **row.options)
    if attention is not None and not isinstance(attention, str):
        attach(model, attention, after=after, identity=identity)
    return model


def build(
    name: str,
    *,
    classes: int | None,
    pretrained: bool = False,
    state: Mapping[str, Tensor] | None = None,
    image_size: int | None = None,
    in_chans: int = 3,
    **kwargs: Any,
) -> nn.Module:
    """Builds a network of timm's.

    Args:
        name: as timm lists it, with or without the tag of its weights: `"resnet18"`, `"resnet18.a1_in1k"`.
        classes: number of outputs K; 0 for none but the features; None for timm's own number.
        pretrained: with published weights, from timm's cache or the network; the classifier is new where K differs.
        state: weights of the whole network by timm's names, in place of published ones; the classifier may be missing.
        image_size: pixels of the square images it will get; it is built for them where it takes one size only.
        in_chans: channels of the images.
        kwargs: further arguments of the network.

    Raises:
        LookupError: timm has no such network or no such weights; the message names the nearest.
        OSError: the published weights cannot be loaded; the message says why.
        ValueError: the network does not take images of `image_size`, or other arguments do not fit, as `state`.
    """
    if classes is not None:
        whole("classes", classes, 0)
    positive("in_chans", in_chans)
    if image_size is not None:
        positive("image_size", image_size)
    _check_name(name)
    config = timm.get_pretrained_cfg(name)
    sized = {"img_size": image_size} if image_size and config is not None and config.fixed_input_size else {}
    counted = {} if classes is None else {"num_classes": classes}
    arguments = {"in_chans": in_chans, **sized, **kwargs}
    given: dict[str, Any] = {}
    if state is not None:
        _check_complete(name, state)
        given["pretrained_cfg_overlay"] = {"state_dict": dict(state)}
    elif pretrained:
        _check_hub(name, config, kwargs.get("cache_dir"))
    try:
        model = timm.create_model(name, pretrained=pretrained or state is not None, **given, **counted, **arguments)
    except (TypeError, ValueError, AssertionError) as error:
        pixels = f" for {image_size} x {image_size} pixels" if image_size else ""
        raise ValueError(f"{name!r} cannot be built{pixels}: {_first_line(error)}") from error
    except (OSError, RuntimeError) as error:
        if state is not None:
            raise ValueError(f"the weights do not fit {name!r}: {' '.join(str(error).split())[:200]}") from error
        if not pretrained:
            raise ValueError(f"{name!r} cannot be built: {_first_line(error)}") from error
        raise _unobtainable(name, _first_line(error)) from error
    setattr(model, BUILT, Built(name, arguments))
    size = (image_size, image_size) if image_size else tuple(model.pretrained_cfg["input_size"])[1:]
    declare_size(model, (in_chans, *size))
    if image_size:
        try:
            with evaluating(model):
                model(torch.zeros(1, in_chans, *size))
        except Exception as error:
            raise ValueError(
                f"{name!r} does not accept images of {size[0]} x {size[1]} pixels: {_first_line(error)}"
            ) from error
    network: nn.Module = model
    return network


def declare_size(model: Any, size: tuple[int, ...]) -> None:
    """Makes a network of timm's declare the channels, height and width of its images."""
    model.pretrained_cfg = {**model.pretrained_cfg, "input_size": size}


def declared_size(model: nn.Module) -> tuple[int, ...] | None:
    """The channels, height and width of the images that a network of timm's declares; None for others."""
    size = (getattr(model, "pretrained_cfg", None) or {}).get("input_size")
    return None if size is None else tuple(size)


def built(model: nn.Module) -> Built | None:
    """Returns the arguments with which `build` built the model; None if another function built it."""
    found = getattr(model, BUILT, None)
    return found if isinstance(found, Built) else None


def feature_info(model: nn.Module) -> FeatureInfo:
    """Returns the facts that timm declares about the maps of a network built with `features_only=True`."""
    return cast("FeatureInfo", model.feature_info)


def normalisation(model: nn.Module) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation, for each channel, of the images in [0, 1] that the model was trained on.

    ImageNet's where the model declares none; their average for images that are not of three channels.
    """
    config = getattr(model, "pretrained_cfg", None) or {}
    mean, std = tuple(config.get("mean") or IMAGENET[0]), tuple(config.get("std") or IMAGENET[1])
    convolution = next((module for module in model.modules() if isinstance(module, nn.Conv2d)), None)
    declared = config.get("input_size") or (convolution.in_channels if convolution else 3,)
    if declared[0] == len(mean):
        return mean, std
    return (sum(mean) / len(mean),) * declared[0], (sum(std) / len(std),) * declared[0]


def features(model: nn.Module, x: Tensor, at: str | Sequence[str] | Sequence[Site] | None = None) -> list[Tensor]:
    """Returns the maps `B C H W` that the model forms of `x`, in the order in which it forms them, with gradients.

    Args:
        model: any module that takes an image.
        x: images `B C H W`.
        at: after which modules: glob patterns over their names, or sites; sites cost no extra pass to find. None
            takes those of `attaching.siting.stages`: timm's feature stages, or the last module at every resolution.

    Raises:
        LookupError: a pattern matches no module.
        ValueError: a module outputs no map, or there is none.
    """
    if at is None:
        chosen = stages(model, x)
    else:
        given = [at] if isinstance(at, str) else list(at)
        chosen = [site for site in given if isinstance(site, Site)]
        patterns = [pattern for pattern in given if isinstance(pattern, str)]
        if patterns:
            chosen += survey(model, patterns, x)[0]
    found: dict[Site, Tensor] = {}
    handles = []
    for site in chosen:

        def keep(module: nn.Module, inputs: object, output: Tensor, site: Site = site) -> None:
            found[site] = site.layout.bring(output)

        handles.append(site.module.register_forward_hook(keep))
    try:
        model(x)
    finally:
        for handle in handles:
            handle.remove()
    return [found[site] for site in chosen]


def _check_hub(name: str, config: Any, cache_dir: str | None) -> None:
    """Asks the hub once where the weights of a network come from it and are not in its cache.

    Raises: OSError if it does not answer; its own client would repeat the question for most of a minute.
    """
    hub = getattr(config, "hf_hub_id", None)
    if not hub or config.file or constants.HF_HUB_OFFLINE:  # offline, the client answers at once
        return
    repository, _, revision = hub.partition("@")
    usual = config.hf_hub_filename or constants.PYTORCH_WEIGHTS_NAME
    safe = usual.replace(constants.PYTORCH_WEIGHTS_NAME, "model.safetensors")
    for file in (safe, usual):
        if isinstance(try_to_load_from_cache(repository, file, cache_dir, revision or None), str):
            return
    if config.url and Path(torch.hub.get_dir(), "checkpoints", PurePosixPath(config.url).name).is_file():
        return
    try:
        get_session().head(constants.ENDPOINT, timeout=PATIENCE)
    except Exception as error:  # of `requests` or of `httpx`, as the version of the client has it
        raise _unobtainable(name, f"{constants.ENDPOINT} does not answer: {_first_line(error)}") from error


def _unobtainable(name: str, why: str) -> OSError:
    return OSError(
        f"the published weights of {name!r} cannot be loaded; pretrained=False starts from random ones: {why}"
    )


def _check_complete(name: str, state: Mapping[str, Tensor]) -> None:
    """Raises: ValueError if the weights lack a tensor of the network that is not of its classifier."""
    plain = timm.create_model(name)
    heads = plain.pretrained_cfg.get("classifier") or ()
    heads = tuple(f"{head}." for head in ([heads] if isinstance(heads, str) else heads))
    missing = [key for key in plain.state_dict() if key not in state and not key.startswith(heads)]
    if missing:
        raise ValueError(
            f"the weights have no {missing[0]} of {name!r} ({len(missing)} such names); "
            f"their first is {next(iter(state), None)!r}"
        )


def _check_name(name: str) -> None:
    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        near = difflib.get_close_matches(architecture, timm.list_models(), n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else "timm.list_models() lists them"
        raise LookupError(f"no backbone {name!r}; {hint}")
    if tag and name not in (known := timm.list_models(f"{architecture}.*", pretrained=True)):
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.0)
        raise LookupError(f"no weights {name!r}; " + (f"there are {' and '.join(near)}" if near else "there are none"))


def _first_line(error: Exception) -> str:
    line = str(error).strip().partition("\n")[0] or type(error).__name__
    return line.removesuffix(".")
