"""The networks of a session: those named on the command line, and entries and backbones chosen on the page.

A page names a network by its number on the command line, or by names of the catalogue and of timm. Names that timm
would read as a path or an address are refused, since a page may not choose what is read from the disk.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import timm
import torch

from regard import catalog
from regard.looking import examples, words
from regard.saved.description import located
from regard.saved.opening import Network, open_network

OPEN = 2  # networks that stay open
SEED = 0  # of random weights, so that the code that a page copies makes the same


@dataclass(frozen=True, kw_only=True)
class Named:
    """A network as the command line or the page names it: the arguments of `open_network`.

    Args:
        title: what the page calls it.
        mechanism, backbone, weights, pretrained, after, image_size, kwargs: as for `open_network`.
    """

    title: str
    mechanism: str | None = None
    backbone: str | None = None
    weights: Path | None = None
    pretrained: bool = False
    after: tuple[str, ...] | None = None
    image_size: int | None = None
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of `open_network` that are given."""
        named = {
            "mechanism": self.mechanism, "backbone": self.backbone, "weights": self.weights,
            "pretrained": self.pretrained, "after": self.after, "image_size": self.image_size, "kwargs": self.kwargs,
        }  # fmt: skip
        return {name: value for name, value in named.items() if value}

    def open(self) -> Network:
        """Opens it; random weights are always the same.

        Raises: as `open_network`; ValueError for weights that are no safetensors, and for a network of sentences.
        """
        if self.weights is not None and located(self.weights).suffix != ".safetensors":
            raise ValueError(f"{self.weights}: a safetensors file, or a run folder with one, is accepted")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            network = open_network(**self.arguments)
        if words.speaks(network) or (isinstance(network.vocabulary, Mapping) and "source" in network.vocabulary):
            raise ValueError(f"{network.name} works with sentences: `regard look` or `regard translate` shows it")
        return network


def named(
    mechanism: str | None = None,
    *,
    backbone: str | None = None,
    weights: Sequence[Path] = (),
    pretrained: bool = False,
    after: Sequence[str] | None = None,
    image_size: int | None = None,
    kwargs: Mapping[str, Any] | None = None,
) -> tuple[Named, ...]:
    """The networks of a command line: one for each file of weights, or the one that is named, or the shipped one.

    Args: as for `open_network`, with several weights.
    """
    shared: dict[str, Any] = {
        "mechanism": mechanism, "backbone": backbone, "pretrained": pretrained, "image_size": image_size,
        "after": None if after is None else tuple(after), "kwargs": dict(kwargs or {}),
    }  # fmt: skip
    if weights:
        return tuple(Named(title=path.name if path.name else str(path), weights=path, **shared) for path in weights)
    if mechanism or backbone:
        return (Named(title=_title(mechanism, backbone), **shared),)
    return (Named(title="gated_sononet, which comes with regard", weights=examples.weights()),)


def _title(mechanism: str | None, backbone: str | None) -> str:
    return " on ".join(name for name in (mechanism, backbone) if name)


@cache
def backbones() -> tuple[str, ...]:
    """The names of timm's networks."""
    return tuple(timm.list_models())


class Networks:
    """Opens networks, and keeps the last ones open.

    Args:
        command: the networks of the command line.
        pretrained: whether backbones that the page names get their published weights, which may have to be fetched.
    """

    def __init__(self, command: Sequence[Named], *, pretrained: bool = False) -> None:
        self.command = tuple(command)
        self.pretrained = pretrained
        self._open: OrderedDict[str, Network] = OrderedDict()

    def named(self, asked: Any) -> Named:
        """The network that a page names: `{"run": 0}`, or `{"backbone": "resnet18", "entry": "cbam"}`.

        Raises: LookupError if there is no such network; ValueError for any other form.
        """
        form = 'model: {"run": number} or {"backbone": name, "entry": name or null} is accepted'
        if not isinstance(asked, dict):
            raise ValueError(form)
        if set(asked) == {"run"}:
            number = asked["run"]
            if type(number) is not int or not 0 <= number < len(self.command):
                raise LookupError(f"model: run {number!r} is none of the {len(self.command)} of the command line")
            return self.command[number]
        backbone, entry = asked.get("backbone"), asked.get("entry")
        if set(asked) - {"backbone", "entry"} or not isinstance(backbone, str):
            raise ValueError(form)
        if backbone not in backbones():
            raise LookupError(f"model: backbone {backbone!r}: {catalog.nearest(backbone, backbones())}")
        if entry is None:
            return Named(title=backbone, backbone=backbone, pretrained=self.pretrained)
        found = catalog.get(entry) if isinstance(entry, str) else None
        if found is None or not found.drop_in:
            raise ValueError(f"model: entry {entry!r} is none that attaches to a backbone")
        return Named(
            title=_title(found.name, backbone), mechanism=found.name, backbone=backbone, pretrained=self.pretrained
        )

    def open(self, one: Named) -> Network:
        """The network, opened or still open. Raises: as `Named.open`."""
        name = repr(one)
        if name not in self._open:
            self._open[name] = one.open()
            while len(self._open) > OPEN:
                self._open.popitem(last=False)
        self._open.move_to_end(name)
        return self._open[name]

    def facts(self) -> dict[str, Any]:
        """The networks that a page can choose, as JSON."""
        drop_in = [entry for entry in catalog.entries() if entry.drop_in]
        return {
            "runs": [one.title for one in self.command],
            "entries": [
                {"name": entry.name, "domains": list(entry.domains), "year": entry.paper.year} for entry in drop_in
            ],
            "backbones": list(backbones()),
        }
