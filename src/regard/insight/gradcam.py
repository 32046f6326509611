"""Grad-CAM: where a network looks if its attention has no place, or if it has none.

Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization. Selvaraju, Cogswell, Das, Vedantam,
Parikh, Batra. ICCV 2017, arXiv:1610.02391.

    α_k = 1/(HW) Σ_hw ∂y_c / ∂A_khw          weight of channel k for class c, Eq. 1          (1)
    L   = relu(Σ_k α_k A_k)                  the map, Eq. 2                                  (2)
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import overload

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from regard.attaching import siting
from regard.attaching.layouts import Layout
from regard.attaching.siting import Site
from regard.core import eager
from regard.insight.targets import Target, explained
from regard.ops.precision import widened

Layer = str | nn.Module | Site
Layers = list[Layer] | tuple[Layer, ...]


@overload
def gradcam(
    model: nn.Module,
    images: Tensor,
    target: Target = None,
    layer: Layer | None = None,
    *,
    upsample: bool = True,
    differentiable: bool = False,
) -> Tensor: ...


@overload
def gradcam(
    model: nn.Module,
    images: Tensor,
    target: Target = None,
    *,
    layer: Layers,
    upsample: bool = True,
    differentiable: bool = False,
) -> list[Tensor]: ...


def gradcam(
    model: nn.Module,
    images: Tensor,
    target: Target = None,
    layer: Layer | Layers | None = None,
    *,
    upsample: bool = True,
    differentiable: bool = False,
) -> Tensor | list[Tensor]:
    """Returns the Grad-CAM maps of a network: the places of each image that speak for a class.

        heat = regard.gradcam(model, images)  # of the predicted classes, B H W
        heat = regard.gradcam(model, images, target=281, layer="layer3")
        cat = regard.gradcam(model, images, target=lambda scores: scores[:, 281] - scores[:, 207])

    The network may be of any layout: maps with channels first or last, or tokens, whose class and register tokens are
    left out and whose grid need not be square. It runs in evaluation mode, compiled code eagerly, and is left as it
    was, also after an error: training flags, hooks, `requires_grad` and `grad`. It works inside `torch.no_grad()`,
    `torch.inference_mode()` and `torch.autocast`, and with frozen parameters.

    Args:
        model: any module that takes images.
        images: the images, as the network needs them.
        target: what is explained. A class, or one for each image, of a network that returns scores `B K` before any
            softmax; None takes each image's predicted class. A function gets what the network returns, whatever that
            is, and gives one number for each image, `B`, or one for all.
        layer: the module whose output is explained, with what is attached to it: its name, the module, or a site of
            `regard.sites`. Several of them give a list of maps, from one pass. None takes the last map on which the
            output depends, which three passes over two images find; give the site that
            `regard.attaching.siting.last(model, images)` returns where many batches are explained.
        upsample: scale the maps to the size of the images, bilinearly; otherwise they have the size of the layer.
        differentiable: keep the maps in the graph of gradients, for losses on maps. The network then runs in the mode
            that it is in, as in any step of a training.

    Shapes: images `B C H W` -> `B H W`, or `B h w` without `upsample`; zero or more, not normalised, float32 or wider.

    Raises:
        LookupError: the network has no such layer.
        ValueError: the layer does not run exactly once, outputs no map, or the output does not depend on its map; the
            network does not return class scores, or `target` does not fit them; `differentiable`, and nothing needs
            gradients.
    """
    model = unwrapped(model)
    check_images(images)
    several = isinstance(layer, list | tuple)
    sites = _sites(model, images, list(layer) if isinstance(layer, list | tuple) else [layer])
    found = _pass(model, images, [site.module for site in sites], target, differentiable=differentiable)
    for site, (_, slopes) in zip(sites, found, strict=True):
        _check_heeded(site, slopes)
    maps = [_map(site.layout, *pair) for site, pair in zip(sites, found, strict=True)]
    if upsample:
        maps = [_upsampled(map, images) for map in maps]
    return maps if several else maps[0]


def at(model: nn.Module, images: Tensor, module: nn.Module, layout: Layout, target: Target = None) -> Tensor:
    """Returns the Grad-CAM maps at a module whose layout is known, `B h w` at its own size; else as `gradcam`."""
    (pair,) = _pass(model, images, [module], target)
    return _map(layout, *pair)


@contextmanager
def explaining(model: nn.Module, *, training: bool = False) -> Iterator[None]:
    """Gradients on, compiled code run eagerly, and evaluation mode unless `training` keeps the mode that there is."""
    flags = [(module, module.training) for module in model.modules()]
    try:
        if not training:
            model.eval()
        with eager(), torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        for module, flag in flags:
            module.training = flag


def check_images(images: Tensor) -> None:
    """Raises: ValueError if they are no batch of images."""
    if not isinstance(images, Tensor) or images.dim() != 4 or not images.is_floating_point() or not images.numel():
        what = f"{images.dtype} {tuple(images.shape)}" if isinstance(images, Tensor) else type(images).__name__
        raise ValueError(f"images={what}: floating-point images B C H W are needed")


def unwrapped(model: nn.Module) -> nn.Module:
    """The module that `torch.compile` wrapped, whose names a user knows."""
    inner = getattr(model, "_orig_mod", model)
    return inner if isinstance(inner, nn.Module) else model


def _sites(model: nn.Module, images: Tensor, layers: Sequence[Layer | None]) -> list[Site]:
    """Raises: as `gradcam`."""
    if not layers:
        raise ValueError("layer=[]: at least one layer is needed")
    wanted = [layer if layer is None or isinstance(layer, Site) else _name(model, layer) for layer in layers]
    names = [name for name in wanted if isinstance(name, str)]
    example = images.detach()[[0, -1]]  # of two, so that the batch is told from other axes
    found: dict[str, Site] = {}
    with eager(), torch.inference_mode(False):
        try:
            found = dict(zip(names, siting.named(model, names, example), strict=True)) if names else {}
            chosen = [siting.last(model, example) if site is None else site for site in wanted]
        except ValueError as error:
            raise ValueError(f"layer={layers[0] if len(layers) == 1 else layers!r}: {error}") from error
        finally:
            torch.clear_autocast_cache()  # of weights without gradients, on which an older torch would go on training
    return [found[site] if isinstance(site, str) else site for site in chosen]


def _name(model: nn.Module, layer: str | nn.Module) -> str:
    names: dict[str, nn.Module] = {name: module for name, module in model.named_modules() if name}
    if isinstance(layer, str):
        if layer in names:
            return layer
        near = difflib.get_close_matches(layer, names, n=3, cutoff=0.3) or list(names)[:3]
        raise LookupError(f"layer={layer!r}: a module of {type(model).__name__} is needed; near: {', '.join(near)}")
    if not isinstance(layer, nn.Module):
        raise ValueError(f"layer={layer!r}: a module, its name or a site is needed")
    for name, module in names.items():
        if module is layer:
            return name
    raise LookupError(f"layer={type(layer).__name__}: a module of {type(model).__name__} is needed")


def _pass(
    model: nn.Module, images: Tensor, modules: Sequence[nn.Module], target: Target, *, differentiable: bool = False
) -> list[tuple[Tensor, Tensor]]:
    """The output of each module and the gradient of the explained numbers with respect to it."""
    outputs: dict[nn.Module, list[Tensor]] = {module: [] for module in modules}

    def catch(module: nn.Module, inputs: object, output: object) -> Tensor:
        if not isinstance(output, Tensor):
            raise ValueError(f"{type(module).__name__} returns {type(output).__name__}; Grad-CAM needs one tensor")
        if differentiable and not output.requires_grad:
            raise ValueError("differentiable=True: parameters or images that need gradients are needed")
        if not differentiable and not (output.requires_grad and len(outputs) > 1):
            output = output.detach().requires_grad_()  # nothing before it is needed
        outputs[module].append(output)
        return output.clone()  # what follows may work in place, which a leaf forbids

    handles = [module.register_forward_hook(catch) for module in outputs]
    # Only the plain form of attention has second derivatives.
    attention = sdpa_kernel(SDPBackend.MATH) if differentiable else nullcontext()
    try:
        with explaining(model, training=differentiable), attention:
            returned = model(images.clone() if images.is_inference() else images)
            for module, seen in outputs.items():
                if len(seen) != 1:
                    raise ValueError(f"{type(module).__name__} was called {len(seen)} times; Grad-CAM needs one call")
            reached = [outputs[module][0] for module in modules]
            score = explained(returned, target, len(images)).sum()
            slopes = _slopes(score, reached, differentiable)
    finally:
        for handle in handles:
            handle.remove()
    if not differentiable:
        reached = [output.detach() for output in reached]
    return list(zip(reached, slopes, strict=True))


def _slopes(score: Tensor, reached: Sequence[Tensor], differentiable: bool) -> Sequence[Tensor]:
    """Zero where the score does not depend on an output."""
    if not score.requires_grad:
        return [torch.zeros_like(output) for output in reached]
    return torch.autograd.grad(
        score, list(reached), create_graph=differentiable, allow_unused=True, materialize_grads=True
    )


def _check_heeded(site: Site, slopes: Tensor) -> None:
    """Raises: ValueError if the class tokens alone reach the output."""
    prefix = site.layout.prefix
    if prefix and bool(slopes[:, :prefix].any()) and not slopes[:, prefix:].any():
        raise ValueError(
            f"layer={site.name!r}: after it the network reads its class tokens alone, so its map explains nothing; "
            "name an earlier layer"
        )


def _map(layout: Layout, output: Tensor, slopes: Tensor) -> Tensor:
    """Equations (1) and (2). `B h w`."""
    activation, slopes = widened(layout.bring(output)), widened(layout.bring(slopes))
    weights = slopes.mean((2, 3), keepdim=True)  # [B, C, 1, 1]
    return (weights * activation).sum(1).relu()


def _upsampled(map: Tensor, images: Tensor) -> Tensor:
    size = images.shape[-2:]
    return functional.interpolate(map[:, None], size, mode="bilinear", align_corners=False)[:, 0]
