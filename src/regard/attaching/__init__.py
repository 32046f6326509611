"""Attention attached to any backbone, without a change of its parameter names, and detached again.

The new module becomes the child `attention` of the module after which it works, its site, and a forward hook on the
site applies it. So nothing of the backbone is wrapped or renamed, and copying, saving, compiling and exporting work.
Attach before compiling and before wrapping for distributed training. Conversions that replace modules come before
attaching too, since they drop the hooks of what they replace; `SyncBatchNorm.convert_sync_batchnorm` may come
afterwards: see `regard.attaching.conversion`.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from regard.attaching import conversion
from regard.attaching.building import NarrowSite, build, built_for_a_grid, by_name, check_mechanism, narrowed
from regard.attaching.layouts import Layout
from regard.attaching.siting import Site, survey
from regard.attaching.tracing import evaluating, in_words

CHILD = "attention"
ALPHA = "attention_alpha"


class AttentionHook:
    """Applies a site's `attention` to the site's output: y, or x + α (y − x) with a gate.

    It finds everything through the site that it is called with, so that a copied model uses the copy's module. The gate
    is `attention_alpha` of the site: a parameter, or a buffer once it is folded, and in the state dict either way.

    Args:
        layout: how the map lies in the output.
        gated: whether there is a gate.
        copy: the module needs its own output for its gradients, and what follows may overwrite it.

    Attributes:
        mechanism: the name in the catalogue of what is attached; None for a function or class of a user's own.
        arguments: what it was built with beside the number of channels.
        channels: the number of channels.
    """

    def __init__(self, layout: Layout, *, gated: bool = False, copy: bool = False) -> None:
        self.layout = layout
        self.gated = gated
        self.copy = copy
        self.mechanism: str | None = None
        self.arguments: Mapping[str, Any] = {}
        self.channels = 0

    def __call__(self, site: Any, inputs: object, output: Tensor) -> Tensor:
        attended = self.layout.put_back(site.attention(self.layout.bring(output)), output)
        if not self.gated:
            return attended.clone() if self.copy else attended
        gated: Tensor = output + site.attention_alpha.to(output.dtype) * (attended - output)
        return gated


def attach(
    model: nn.Module,
    mechanism: str | Callable[..., nn.Module],
    *,
    after: str | Sequence[str] | None = None,
    identity: bool = False,
    example: object = None,
    **kwargs: Any,
) -> nn.Module:
    """Attaches attention behind modules of `model`, in place.

        model = timm.create_model("resnet18")
        regard.attach(model, "cbam", after="layer[34].*.bn2", reduction=8)
        with regard.watch(model) as maps:
            model(images)

    An optimizer that was made before does not train what is attached: make it afterwards, or call
    `regard.add_attention_parameters(optimizer, model)`. What was compiled before in this process is compiled again at
    its next call, since compiled code does not notice new hooks; `attach`, `detach` and `fold` see to that.

    Args:
        model: any module that takes an image: timm's, torchvision's, or a user's own.
        mechanism: a name in the catalogue, or a function or class that takes the number of channels and returns a
            module.
        after: the modules, as for `sites`; None chooses them.
        identity: whether the model starts as the function that it was, bit for bit in eval mode. A mechanism that does
            not return its input at initialisation gets a gate x + α (attended − x) with α = 0, where α is a parameter
            `attention_alpha` of the site. The first step moves α, and from then on gradients reach the mechanism.
            `fold` makes the gates constants, buffers of the same name.
        example: an input of the model, or a tuple of its inputs, as for `sites`.
        kwargs: further arguments of the mechanism. One that is built for a single size of map (`grid`) gets that of
            its site on the example, by default an example of the size that the model declares. Where the default
            `reduction` leaves a narrow site no hidden channel, the largest that leaves one is taken, with a warning of
            the category `regard.attaching.building.NarrowSite` that names the sites; one that is given stays.

    Returns:
        `model`. `regard.watch` shows its maps as `"<site>.attention/<map>"`. After an error the model is as it was.

    Raises:
        LookupError: there is no such mechanism, or `after` matches no module.
        TypeError: the mechanism does not take the arguments, or returns no module.
        ValueError: a site outputs no map, has attention already or does not fit the mechanism, or the model is
            compiled or wrapped.
    """
    mechanism = by_name(mechanism)
    check_mechanism(mechanism)
    check_unwrapped(model)
    chosen, inputs = survey(model, after, example, full_size=built_for_a_grid(mechanism))
    for site in chosen:
        check_free(site.name, site.module)
    built = [build(mechanism, site, kwargs) for site in chosen]
    modules = [module for module, _ in built]
    if len(set(modules)) < len(modules):
        raise ValueError(f"mechanism={mechanism!r}: a function that returns a new module for every site is needed")
    for site, module in zip(chosen, modules, strict=True):
        like = like_of(site.module, model)
        module.to(like.device, like.dtype)
    try:
        for site, module in zip(chosen, modules, strict=True):
            site.module.add_module(CHILD, module)
        hooks = _rehearse(model, inputs, chosen, identity)
    except BaseException:
        for site in chosen:
            site.module._modules.pop(CHILD, None)
        raise
    for site, (module, arguments), hook in zip(chosen, built, hooks, strict=True):
        module.train(model.training)
        hook.mechanism = mechanism if isinstance(mechanism, str) else None
        hook.arguments, hook.channels = arguments, site.channels
        install(site.module, hook, like_of(site.module, model))
    forget_compiled()
    changed = [
        (site.name, site.channels, narrowed(kwargs, arguments))
        for site, (_, arguments) in zip(chosen, built, strict=True)
    ]
    if narrow := [each for each in changed if each[2]]:
        warnings.warn(NarrowSite.words(str(mechanism), narrow), NarrowSite, stacklevel=2)
    return model


def install(site: nn.Module, hook: AttentionHook, like: Tensor, *, folded: bool = False) -> None:
    """Registers the hook at a site that has its child already, and the gate, α = 0, if there is one.

    Args:
        like: a tensor with the device and the type of the gate.
        folded: whether the gate is a buffer in place of a parameter.
    """
    if hook.gated:
        # One element, not a scalar: FSDP shards no parameter without axes.
        alpha = torch.zeros(1, device=like.device, dtype=like.dtype)
        if folded:
            site.register_buffer(ALPHA, alpha)
        else:
            site.register_parameter(ALPHA, nn.Parameter(alpha))
    site.register_forward_hook(hook)
    conversion.link(site.get_submodule(CHILD), site)


def detach(model: nn.Module) -> nn.Module:
    """Removes all attention that `attach` added, in place, and returns the model.

        regard.detach(model)  # computes what it did before regard.attach(model, "cbam"), if it was not trained since

    A model without attached attention stays as it is.
    """
    check_unwrapped(model)
    for _, site, hook in list(attached(model)):
        for key in [key for key, value in site._forward_hooks.items() if value is hook]:
            del site._forward_hooks[key]
        conversion.unlink(site.get_submodule(CHILD))
        delattr(site, CHILD)
        if hook.gated:
            delattr(site, ALPHA)
    forget_compiled()
    return model


def fold(model: nn.Module) -> nn.Module:
    """Makes a constant of every gate that `attach(…, identity=True)` added, in place, and returns the model.

        regard.attach(model, "cbam", identity=True)
        ...  # train
        regard.fold(model)

    Each parameter `attention_alpha` becomes a buffer of the same name: no optimizer moves it, and the model computes
    the same function bit for bit. The state dict keeps its names, so that it loads into a model with gates, folded or
    not, and into no other without a word.
    """
    check_unwrapped(model)
    for _, site, _ in list(attached(model)):
        if ALPHA in site._parameters:
            alpha = getattr(site, ALPHA).detach()
            delattr(site, ALPHA)
            site.register_buffer(ALPHA, alpha)
    forget_compiled()
    return model


def sites(model: nn.Module, after: str | Sequence[str] | None = None, example: object = None) -> list[Site]:
    """Returns the sites behind which `attach` puts attention, in the order in which they run.

        for site in regard.sites(model, after="layer4.*"):
            print(site.name, site.shape)  # layer4.1 (2, 512, 4, 4)

    The model runs on the example in eval mode, without gradients, and is left as it was.

    Args:
        model: any module that takes an image.
        after: a glob pattern over module names, or several; `*` stays within one part of a dotted name, as in
            `"layer*.*.bn3"`. A container whose children make up its forward stands for the last of them. None chooses
            the end of the residual branch of every block, which is its last norm where it ends in one. Without
            residual blocks it chooses the blocks that add parallel branches. Without those, or where they are few and
            in half of the stages at most, it chooses the ends of timm's feature stages or the last module at every
            resolution. A last site whose map the output ignores, because only the class token is read after it, is
            left out.
        example: an input, or a tuple of the inputs. None takes a random image of the size that the model declares, or
            of 224 x 224 pixels, or a smaller one where timm says that the model takes any.

    Returns:
        The sites, with the name and the module of each, and with the shape of its map on the example.

    Raises:
        LookupError: a pattern matches no module.
        ValueError: the model does not run on the example; a module outputs no map, or runs more than once; nothing
            could be chosen.
    """
    return survey(model, after, example)[0]


def _rehearse(model: nn.Module, inputs: tuple[object, ...], chosen: list[Site], identity: bool) -> list[AttentionHook]:
    """Tries every new module on its site's output in one pass, and returns how each is to be applied.

    Raises: ValueError if a module does not fit its site.
    """
    hooks: dict[nn.Module, AttentionHook] = {}
    ended = set()
    handles = []
    for site in chosen:

        def try_out(module: nn.Module, inputs: object, output: Tensor, site: Site = site) -> None:
            ended.add(site)
            hooks[module] = _fitting(module.get_submodule(CHILD), site, site.layout.bring(output), identity)

        def guard(module: nn.Module, inputs: object, site: Site = site) -> None:
            if site not in ended:
                raise ValueError(
                    f"{site.name!r} ({type(site.module).__name__}) calls all of its children, so that none can be "
                    f"added; name the module at its end instead"
                )

        handles.append(site.module.register_forward_hook(try_out))
        handles.append(site.module.get_submodule(CHILD).register_forward_pre_hook(guard))
    try:
        with evaluating(model):
            model(*inputs)
    finally:
        for handle in handles:
            handle.remove()
    return [hooks[site.module] for site in chosen]


def _fitting(module: nn.Module, site: Site, maps: Tensor, identity: bool) -> AttentionHook:
    """Returns the hook for `module` at `site`, whose output on the example is `maps`.

    Raises: ValueError if the module does not take the maps or changes their shape, or if no gate can silence it.
    """
    what = f"{type(module).__name__} after {site.name!r}"
    given = maps.clone()
    try:
        attended = module(given)
    except Exception as error:
        line = str(error).partition("\n")[0]
        raise ValueError(f"{what} does not accept its map {in_words(maps)} (B C H W): {line}") from error
    if not isinstance(attended, Tensor) or attended.shape != maps.shape:
        raise ValueError(f"{what} returns {in_words(attended)} for {in_words(maps)}; the shape must stay the same")
    if not identity:
        return AttentionHook(site.layout, copy=_needs_output(module, maps))
    # On noise as well: a module may pass this one map by chance, as a ReLU does where nothing is negative.
    noise = torch.randn(maps.shape, generator=torch.Generator().manual_seed(0)).to(maps)
    if torch.equal(attended, maps) and torch.equal(module(noise.clone()), noise):
        return AttentionHook(site.layout, copy=_needs_output(module, maps))
    if not torch.equal(given, maps):
        raise ValueError(f"{what} overwrites its input; with identity=True it has to leave it unchanged")
    if not attended.isfinite().all():
        raise ValueError(f"{what} returns values that are not finite; with identity=True they have to be finite")
    return AttentionHook(site.layout, gated=True)


def _needs_output(module: nn.Module, maps: Tensor) -> bool:
    """Whether the gradient of `module` needs its output as it was: an activation in place after the site breaks it."""
    with torch.enable_grad():
        x = maps.clone().requires_grad_()
        output = module(x * 1)  # no leaf, which could not be overwritten
        if not output.requires_grad:
            return False
        learned = [parameter for parameter in module.parameters() if parameter.requires_grad]
        try:
            torch.autograd.grad(output.mul_(1).sum(), [x, *learned], allow_unused=True)
        except RuntimeError:
            return True
    return False


def check_unwrapped(model: nn.Module) -> None:
    """Raises: ValueError if a module of the model is compiled, or wrapped for several processes."""
    for module in model.modules():
        kind = type(module).__name__
        if kind in ("OptimizedModule", "DistributedDataParallel", "FullyShardedDataParallel") or kind.startswith(
            "FSDP"
        ):
            raise ValueError(
                f"the model is wrapped in {kind}, which does not see new modules; attach or detach before wrapping it"
            )
        if getattr(module, "_compiled_call_impl", None) is not None:
            raise ValueError(f"{kind} is compiled and does not see new modules; attach or detach before compile()")


def check_free(name: str, site: nn.Module) -> None:
    """Raises: ValueError if the module with this name has attention, or an attribute of a name that attention needs."""
    if any(isinstance(hook, AttentionHook) for hook in site._forward_hooks.values()):
        inner = type(site.get_submodule(CHILD)).__name__
        raise ValueError(f"{name!r} has attention already ({inner}); detach(model) first, or name other modules")
    for taken in (CHILD, ALPHA):
        if hasattr(site, taken):
            raise ValueError(f"{name!r} ({type(site).__name__}) has an attribute {taken!r} already; name other modules")


def like_of(site: nn.Module, model: nn.Module) -> Tensor:
    """A tensor with the device and floating type of the site's parameters, or else of the model's."""
    parameters = (*site.parameters(), *model.parameters())
    return next((parameter for parameter in parameters if parameter.is_floating_point()), torch.empty(0))


def attached(model: nn.Module) -> Iterator[tuple[str, nn.Module, AttentionHook]]:
    """Yields the name, the module and the hook of every site with attention."""
    for name, module in model.named_modules():
        for hook in module._forward_hooks.values():
            if isinstance(hook, AttentionHook):
                yield name, module, hook


def forget_compiled() -> None:
    """Makes code that was compiled before compile again: it would go on without the hooks and gates of now."""
    if "torch._dynamo" in sys.modules:
        torch.compiler.reset()
