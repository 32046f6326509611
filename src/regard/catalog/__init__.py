"""The labels: what exists, who published it, what it takes, what it shows.

Standard library only, so that listing everything costs milliseconds and no torch. The table is the one place that the
README, the command line, the documentation, the tests and the benchmarks read.
"""

from __future__ import annotations

import ast
import difflib
import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

DOMAINS = (
    "channel",
    "spatial",
    "self",
    "cross",
    "category",
    "temporal",
    "frequency",
    "global",
    "second_order",
    "scale",
    "branch",
    "sequence",
)


@dataclass(frozen=True)
class Paper:
    """Where a mechanism was published."""

    title: str
    authors: str
    venue: str
    year: int
    arxiv: str | None = None
    doi: str | None = None

    @property
    def url(self) -> str | None:
        if self.arxiv:
            return f"https://arxiv.org/abs/{self.arxiv}"
        return f"https://doi.org/{self.doi}" if self.doi else None


@dataclass(frozen=True, eq=False)
class Option:
    """One non-default setting of an entry, and what it changes about the label.

    Args:
        kwargs: the constructor's arguments that differ from the default.
        inputs, outputs, maps, least, sizes, soft: the label's facts under this setting; None keeps the entry's own.
    """

    kwargs: Mapping[str, Any]
    inputs: tuple[str, ...] | None = None
    outputs: tuple[str, ...] | None = None
    maps: Mapping[str, str] | None = None
    least: tuple[int, ...] | None = None
    sizes: Mapping[str, int] | None = None
    soft: bool | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Entry:
    """The label of one mechanism or system; every fact in it is tested.

    Args:
        name: what `create`, `attach` and the command line call it.
        target: `package.module:Class` below `regard`; also the import path.
        paper: where it was published.
        domains: what the attention ranges over; one or more of `DOMAINS`.
        soft: differentiable weights (True), or a discrete choice learned by other means (False).
        maps: name of each map shown -> its axes, for example `"B 1 H W"`.
        kwargs: the smallest instance that means something.
        inputs, outputs: axes of each positional input, and of each output: letters, whole numbers, multiples (`2H`)
            and quotients, rounded up (`H/2`). An input that starts with `bool` is a mask, true where something is
            seen. A letter of an output that no input has may be of any size; no axes at all are a single number.
        options: every non-default setting, once.
        least: the smallest sizes of the last axes of the first input that are accepted.
        sizes: letter -> size, where the arguments fix it; C is `channels` where there are any.
        exported: the smallest side of a map that a program exported for open sizes takes; more than 4 for what halves
            its map several times.
        excused: law -> reason, where a law cannot hold; an excuse must really fail.
        code: the authors' published code, as `owner/repository`.
        parity: `exact`, recorded outputs of the authors' code are matched; `transcribed`, no such code is public.
    """

    name: str
    target: str
    paper: Paper
    domains: tuple[str, ...]
    soft: bool
    maps: Mapping[str, str]
    kwargs: Mapping[str, Any]
    inputs: tuple[str, ...] = ("B C H W",)
    outputs: tuple[str, ...] = ("B C H W",)
    options: tuple[Option, ...] = ()
    least: tuple[int, ...] = (1, 1)
    sizes: Mapping[str, int] = field(default_factory=dict)
    exported: int = 4
    excused: Mapping[str, str] = field(default_factory=dict)
    code: str | None = None
    parity: str = "exact"

    @property
    def mixed(self) -> bool:
        """More than one domain."""
        return len(self.domains) > 1

    @property
    def drop_in(self) -> bool:
        """Takes one map and returns one of the same shape, so that it can be attached."""
        return self.inputs == self.outputs == ("B C H W",)

    @property
    def system(self) -> bool:
        """A full network rather than a part to put into one."""
        return self.target.startswith("systems.")

    @cached_property
    def settings(self) -> tuple[Option, ...]:
        """The default and every option, with arguments and label facts filled in."""
        default = Option({})
        return tuple(
            Option(
                {**self.kwargs, **option.kwargs},
                option.inputs or self.inputs,
                option.outputs or self.outputs,
                self.maps if option.maps is None else option.maps,
                option.least or self.least,
                self.sizes if option.sizes is None else option.sizes,
                self.soft if option.soft is None else option.soft,
            )
            for option in (default, *self.options)
        )

    @cached_property
    def _tree(self) -> ast.Module:
        """The file that implements it, read without importing it."""
        path = Path(__file__).parent.parent.joinpath(*self.target.partition(":")[0].split("."))
        return ast.parse(path.with_suffix(".py").read_text(encoding="utf-8"))

    @property
    def header(self) -> str:
        """The header docstring of the file that implements it."""
        return ast.get_docstring(self._tree) or ""

    @property
    def summary(self) -> str:
        """The first line of the class's docstring, without its full stop."""
        name = self.target.partition(":")[2]
        cls = next(node for node in self._tree.body if isinstance(node, ast.ClassDef) and node.name == name)
        return (ast.get_docstring(cls) or "").partition("\n")[0].rstrip(".")

    def section(self, title: str) -> str:
        """The text under `title:` in the header ("Place", "Deviations", "Errata", "Cost"), or an empty string."""
        lines = self.header.splitlines()
        starts = [i for i, line in enumerate(lines) if line.startswith(f"{title}:")]
        if not starts:
            return ""
        first = starts[0]
        body = [lines[first].partition(":")[2].strip()]
        for line in lines[first + 1 :]:
            if line and not line.startswith(" "):
                break
            body.append(line.strip())
        return " ".join(part for part in body if part)

    def load(self) -> Any:
        """The class; this is what imports torch."""
        module, _, name = self.target.partition(":")
        return getattr(importlib.import_module(f"regard.{module}"), name)


@cache
def entries() -> tuple[Entry, ...]:
    """Every label, oldest paper first."""
    from regard.catalog.mechanisms import MECHANISMS
    from regard.catalog.systems import SYSTEMS

    return tuple(sorted((*MECHANISMS, *SYSTEMS), key=lambda entry: entry.paper.year))


def find(
    *,
    domain: str | None = None,
    soft: bool | None = None,
    since: int | None = None,
    until: int | None = None,
    mixed: bool | None = None,
) -> tuple[Entry, ...]:
    """The labels that satisfy every given condition, oldest paper first.

    Args:
        domain: one of `DOMAINS`, or `"mixed"`.
        soft: differentiable (True) or discrete (False).
        since, until: first and last year of publication, inclusive.
        mixed: more than one domain, or just one.

    Raises:
        LookupError: `domain` is not one.
    """
    if domain == "mixed":
        domain, mixed = None, True
    if domain is not None and domain not in DOMAINS:
        raise LookupError(f"no domain {domain!r}; {nearest(domain, (*DOMAINS, 'mixed'))}")
    return tuple(
        entry
        for entry in entries()
        if (domain is None or domain in entry.domains)
        and (soft is None or entry.soft == soft)
        and (since is None or entry.paper.year >= since)
        and (until is None or entry.paper.year <= until)
        and (mixed is None or entry.mixed == mixed)
    )


def get(name: str) -> Entry:
    """The label called `name`.

    Raises:
        LookupError: there is none; the message names the nearest.
    """
    for entry in entries():
        if entry.name == name:
            return entry
    raise LookupError(f"no entry {name!r}; {nearest(name, tuple(entry.name for entry in entries()))}")


def create(name: str, /, *args: Any, **kwargs: Any) -> Any:
    """Builds the entry called `name`: `create("cbam", channels=64)`.

    Raises:
        LookupError: there is no such entry.
        TypeError, ValueError: the arguments do not fit it.
    """
    return get(name).load()(*args, **kwargs)


@cache
def labels_by_class() -> Mapping[tuple[str, str], Entry]:
    """(module, class name) -> label, for looking a running module's label up."""
    return {(f"regard.{entry.target.partition(':')[0]}", entry.target.partition(":")[2]): entry for entry in entries()}


def nearest(name: str, known: tuple[str, ...]) -> str:
    """What to say about a name that is not known: "did you mean …?", or all that are."""
    near = difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(known)}"
