"""Backbones: timm's networks by name, and the feature maps of any network."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any, Protocol, cast

import timm
import torch
from torch import Tensor, nn

from regard.attaching.siting import Site, stages, survey
from regard.attaching.tracing import evaluating
from regard.checks import positive

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class FeatureInfo(Protocol):
    """The channels and the stride, for each map that a network built with `features_only=True` returns."""

    def channels(self) -> list[int]: ...

    def reduction(self) -> list[int]: ...


def build(
    name: str,
    *,
    classes: int,
    pretrained: bool = False,
    image_size: int | None = None,
    in_chans: int = 3,
    **kwargs: Any,
) -> nn.Module:
    """Builds a network of timm's.

    Args:
        name: as timm lists it, with or without the tag of its weights: `"resnet18"`, `"resnet18.a1_in1k"`.
        classes: number of outputs K.
        pretrained: with published weights, from timm's cache or the network; the classifier is new where K differs.
        image_size: pixels of the square images it will get; it is built for them where it takes one size only.
        in_chans: channels of the images.
        kwargs: further arguments of the network.

    Raises:
        LookupError: timm has no such network or no such weights; the message names the nearest.
        OSError: the published weights cannot be loaded; the message says why.
        ValueError: the network does not take images of `image_size`, or other arguments do not fit.
    """
    positive("classes", classes)
    positive("in_chans", in_chans)
    if image_size is not None:
        positive("image_size", image_size)
    _check_name(name)
    config = timm.get_pretrained_cfg(name)
    sized = {"img_size": image_size} if image_size and config is not None and config.fixed_input_size else {}
    try:
        model = timm.create_model(
            name, pretrained=pretrained, num_classes=classes, in_chans=in_chans, **sized, **kwargs
        )
    except (TypeError, ValueError, AssertionError) as error:
        pixels = f" for {image_size} x {image_size} pixels" if image_size else ""
        raise ValueError(f"{name!r} cannot be built{pixels}: {_first_line(error)}") from error
    except (OSError, RuntimeError) as error:
        if not pretrained:
            raise ValueError(f"{name!r} cannot be built: {_first_line(error)}") from error
        raise OSError(
            f"the published weights of {name!r} cannot be loaded; pretrained=False starts from random ones: "
            f"{_first_line(error)}"
        ) from error
    size = (image_size, image_size) if image_size else tuple(model.pretrained_cfg["input_size"])[1:]
    model.pretrained_cfg = {**model.pretrained_cfg, "input_size": (in_chans, *size)}
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


def _check_name(name: str) -> None:
    names = timm.list_models()
    architecture, _, tag = name.partition(".")
    if architecture not in names:
        near = difflib.get_close_matches(architecture, names, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else "timm.list_models() lists them"
        raise LookupError(f"no backbone {name!r}; {hint}")
    known = timm.list_models(f"{architecture}.*", pretrained=True)
    if tag and name not in known:
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.0)
        raise LookupError(f"no weights {name!r}; " + (f"there are {' and '.join(near)}" if near else "there are none"))


def _first_line(error: Exception) -> str:
    line = str(error).strip().partition("\n")[0] or type(error).__name__
    return line.removesuffix(".")
