"""Descriptions of attached attention as JSON values, and attaching from them without a forward pass."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from regard import catalog
from regard.attaching import (
    ALPHA,
    CHILD,
    AttentionHook,
    attached,
    check_free,
    check_unwrapped,
    forget_compiled,
    install,
    like_of,
)
from regard.attaching.building import check_mechanism
from regard.attaching.layouts import Layout

GATES = ("none", "learned", "folded")
AXES = ("B C H W", "B H W C", "B N C")


@dataclass(frozen=True, kw_only=True)
class Attachment:
    """Attention at one site, as `attach` put it there.

    Args:
        site: the name of the module that it follows.
        mechanism: its name in the catalogue; None for a function or class of a user's own, and for what has arguments
            that JSON cannot hold.
        kind: the class of the module.
        channels: the number of channels.
        arguments: what it was built with beside them, as JSON holds it.
        axes, prefix, grid: see `Layout`.
        gate: `none`, or α is `learned` or `folded`.
        copy: see `AttentionHook`.
    """

    site: str
    mechanism: str | None
    kind: str = ""
    channels: int
    arguments: Mapping[str, Any] = field(default_factory=dict)
    axes: str = AXES[0]
    prefix: int = 0
    grid: Sequence[int] = (1, 1)
    gate: str = GATES[0]
    copy: bool = False


def attachments(model: nn.Module) -> list[Attachment]:
    """Describes the attention at every site of the model, in the order of its modules."""
    found = []
    for name, site, hook in attached(model):
        arguments, mechanism = _json(hook.arguments), hook.mechanism
        gate = "none" if not hook.gated else "learned" if ALPHA in site._parameters else "folded"
        found.append(
            Attachment(
                site=name,
                mechanism=None if arguments is None else mechanism,
                kind=type(site.get_submodule(CHILD)).__name__,
                channels=hook.channels,
                arguments=arguments or {},
                axes=hook.layout.axes,
                prefix=hook.layout.prefix,
                grid=list(hook.layout.grid),
                gate=gate,
                copy=hook.copy,
            )
        )
    return found


def restore(model: nn.Module, found: Sequence[Attachment]) -> nn.Module:
    """Attaches what is described to a model without it, in place, and returns the model.

    Nothing is tried in a forward pass, and the new weights are random. After an error the model is as it was.

    Raises:
        LookupError: the model has no such site, or the catalogue no such mechanism.
        TypeError, ValueError: a mechanism is of a user's own or cannot be built, a site has attention already, or the
            model is compiled or wrapped.
    """
    check_unwrapped(model)
    modules = dict(model.named_modules())
    new = []
    for each in found:
        if each.site not in modules:
            raise LookupError(f"{type(model).__name__} has no module {each.site!r}, which {each.kind} follows")
        if each.mechanism is None:
            raise ValueError(
                f"{each.kind} after {each.site!r} is not of the catalogue; attach it to the backbone before, as it was"
            )
        check_mechanism(each.mechanism)
        check_free(each.site, modules[each.site])
        new.append(catalog.create(each.mechanism, channels=each.channels, **_tuples(dict(each.arguments))))
    for each, module in zip(found, new, strict=True):
        site = modules[each.site]
        like = like_of(site, model)
        module.to(like.device, like.dtype).train(site.training)
        layout = Layout(each.axes, each.prefix, (each.grid[0], each.grid[1]))
        hook = AttentionHook(layout, gated=each.gate != "none", copy=each.copy)
        hook.mechanism, hook.channels, hook.arguments = each.mechanism, each.channels, dict(each.arguments)
        site.add_module(CHILD, module)
        install(site, hook, like, folded=each.gate == "folded")
    forget_compiled()
    return model


def _json(arguments: Mapping[str, Any]) -> dict[str, Any] | None:
    """The arguments after a round trip through JSON, or None where they do not survive it."""
    try:
        plain: dict[str, Any] = json.loads(json.dumps(dict(arguments), allow_nan=False))
    except (TypeError, ValueError):
        return None
    return plain


def _tuples(value: Any) -> Any:
    """The value with tuples for the lists of JSON, as mechanisms are built with."""
    if isinstance(value, dict):
        return {name: _tuples(each) for name, each in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
