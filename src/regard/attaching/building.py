"""Building a mechanism for a site: by its name in the catalogue, with the size of the site's map, or by a function."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from regard import catalog
from regard.attaching.siting import Site
from regard.catalog import Entry

SHOWN = 3  # sites that a warning names


class NarrowSite(UserWarning):
    """The default reduction of a mechanism leaves nothing at a narrow site, and a smaller one was taken."""

    @staticmethod
    def words(mechanism: str, sites: Sequence[tuple[str, int, Mapping[str, int]]]) -> str:
        """The message.

        Args:
            mechanism: its name in the catalogue.
            sites: name, channels and the arguments that differ from the defaults, for each site where some do.
        """
        named = [
            f"{' and '.join(f'{name}={value}' for name, value in changed.items())} after {site!r} "
            f"({channels} channel{'s' if channels > 1 else ''})"
            for site, channels, changed in sites[:SHOWN]
        ]
        rest = f" and {len(sites) - SHOWN} more" if len(sites) > SHOWN else ""
        return (
            f"{mechanism}: its default reduction is too large for {len(sites)} of the sites, where the largest that "
            f"fits is taken: {', '.join(named)}{rest}"
        )


def build(
    mechanism: str | Callable[..., nn.Module], site: Site, kwargs: Mapping[str, Any]
) -> tuple[nn.Module, dict[str, Any]]:
    """Returns a new module for the site, and the arguments that it was built with beside the number of channels.

    Raises:
        TypeError: the mechanism does not take the arguments, or returns no module.
        ValueError: it cannot be built for the site.
    """
    arguments = dict(kwargs)
    if built_for_a_grid(mechanism):
        arguments = {"grid": site.shape[2:], **arguments}
    try:
        if not isinstance(mechanism, str):
            module = mechanism(site.channels, **arguments)
        else:
            try:
                module = catalog.create(mechanism, channels=site.channels, **arguments)
            except ValueError:
                reductions = _reductions(catalog.get(mechanism), site.channels, arguments)
                if not reductions:
                    raise
                arguments |= reductions
                module = catalog.create(mechanism, channels=site.channels, **arguments)
    except ValueError as error:
        raise ValueError(f"after {site.name!r} with {site.channels} channels: {error}") from error
    if not isinstance(module, nn.Module):
        raise TypeError(
            f"mechanism={mechanism!r}: a function that returns a module is needed, not a {type(module).__name__}"
        )
    return module, arguments


def narrowed(given: Mapping[str, Any], arguments: Mapping[str, Any]) -> dict[str, int]:
    """The reductions that `build` chose itself."""
    return {name: value for name, value in arguments.items() if name not in given and name.endswith("reduction")}


def _reductions(entry: Entry, channels: int, given: Mapping[str, Any]) -> dict[str, int]:
    """The largest reductions with which the entry can be built, at most their defaults; only those that differ.

    Empty if another argument is at fault, or every reduction is given.
    """
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(entry.load()).parameters.items()
        if name.endswith("reduction") and name not in given
    }
    chosen = dict.fromkeys(defaults, 1)
    for name, default in defaults.items():
        fitting = (value for value in range(default, 0, -1) if _builds(entry, channels, given, chosen | {name: value}))
        value = next(fitting, None)
        if value is None:
            return {}
        chosen[name] = value
    return {name: value for name, value in chosen.items() if value != defaults[name]}


def _builds(entry: Entry, channels: int, given: Mapping[str, Any], reductions: Mapping[str, int]) -> bool:
    with torch.device("meta"):  # costs no memory and moves no random state
        try:
            entry.load()(channels, **given, **reductions)
        except ValueError:
            return False
    return True


def by_name(mechanism: str | Callable[..., nn.Module]) -> str | Callable[..., nn.Module]:
    """The name of a mechanism that is given as a class of the catalogue; anything else as it is."""
    place = (getattr(mechanism, "__module__", ""), getattr(mechanism, "__qualname__", ""))
    entry = catalog.labels_by_class().get(place)
    if isinstance(mechanism, str):
        return catalog.get(mechanism).name
    return mechanism if entry is None or entry.load() is not mechanism else entry.name


def built_for_a_grid(mechanism: object) -> bool:
    """Returns whether `mechanism` names a class with the argument `grid`, the one size of map that it takes."""
    return isinstance(mechanism, str) and "grid" in inspect.signature(catalog.get(mechanism).load()).parameters


def check_mechanism(mechanism: object) -> None:
    """Raises: LookupError, TypeError or ValueError if it is nothing that can be attached."""
    if isinstance(mechanism, str):
        entry = catalog.get(mechanism)
        if not entry.drop_in:
            raise ValueError(
                f"{mechanism!r} takes {_counted(entry.inputs, 'input')} and returns "
                f"{_counted(entry.outputs, 'output')}; only a mechanism that takes one map B C H W and returns one "
                f"can be attached"
            )
    elif isinstance(mechanism, nn.Module) or not callable(mechanism):
        raise TypeError(
            f"mechanism={type(mechanism).__name__}: a name in the catalogue is needed, or a function of the number of "
            f"channels, such as lambda channels: MyAttention(channels)"
        )


def _counted(axes: tuple[str, ...], noun: str) -> str:
    """ "1 input (B C H W)", "2 inputs (B C H W, B C K 1)"."""
    return f"{len(axes)} {noun}{'s' if len(axes) > 1 else ''} ({', '.join(axes)})"
