"""The catalogue: what exists, who published it, what it takes and what it shows.

    regard.catalog.get("cbam").paper.venue  # "ECCV"; "CBAM" and "ConvBlockAttention" find the same entry
    regard.catalog.find(domain="channel", since=2019)  # every entry that satisfies all conditions
    regard.catalog.find("*eca*")  # every entry whose name fits the pattern
    regard.catalog.networks()["se_resnet50"]  # "senet", the folder of the network's paper

An entry stands in the label of its paper, `papers/<paper>/label.py`. Labels are found by listing the folders, so that
adding a paper edits no table. The catalogue needs only the standard library and takes milliseconds to list. The README,
the command line, the documentation, the tests and the benchmarks all read it.
"""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache, cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

from regard.catalog.naming import hint, plain
from regard.catalog.reading import parsed, section
from regard.catalog.vocabulary import ACTS_ON, DOMAINS, DRIVEN_BY, GRAINS, KINDS, MIXED, REACHES, TASKS

FOLDER = Path(__file__).parent.parent / "papers"


@dataclass(frozen=True)
class Paper:
    """The publication of a mechanism."""

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
    """A non-default setting of an entry, and what it changes about the label.

    Args:
        kwargs: the constructor's arguments that differ from the default.
        inputs, outputs, maps, least, sizes, soft, sums, shown: the label's facts under this setting; None keeps the
            entry's own.
    """

    kwargs: Mapping[str, Any]
    inputs: tuple[str, ...] | None = None
    outputs: tuple[str, ...] | None = None
    maps: Mapping[str, str] | None = None
    least: tuple[int, ...] | None = None
    sizes: Mapping[str, int] | None = None
    soft: bool | None = None
    sums: Mapping[str, str] | None = None
    shown: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Entry:
    """A mechanism or system of the catalogue; tests hold every fact to the code.

    Args:
        name: what `create`, `attach` and the command line call it.
        target: `package.module:Class` below `regard`; also the import path.
        paper: where it was published.
        domains: what the attention ranges over; one or more of `vocabulary.DOMAINS`.
        soft: differentiable weights (True), or a discrete choice learned by other means (False).
        acts_on: `image`, `features` or both: what is weighted or looked at.
        grain: what gets a weight of its own: an `item` (a word, frame, region, branch), a `position`, a `channel`, or a
            single `value` of the map.
        kind: `weights` on what is there, or a `focus`: a place or a window that is looked at.
        driven_by: `bottom-up`, by the image alone, or by the `task`.
        reach: `point to point` or `point to region`, of what relates each element to others; None of what does not.
        tasks: the tasks for which the paper shows it; of `vocabulary.TASKS`.
        aliases: other spellings by which `get` finds it; class and folder names need not be among them.
        maps: name of each map shown -> its axes, for example `"B 1 H W"`.
        sums: name of a map -> the axes over which it sums to 1, or to 0 where there is nothing to attend to, for
            example `"K"` or `"H W"`; of a letter that stands twice in its axes, the last. A map without them is a gate.
        shown: names of maps that only show what the module computes: no edit of them changes its output.
        kwargs: the smallest instance that means something.
        inputs, outputs: axes of each positional input, and of each output: letters, whole numbers, multiples (`2H`)
            and quotients, rounded up (`H/2`). An input that starts with `bool` is a mask, true where something is
            seen; one that starts with `word<V>` holds whole numbers below V, a number or a letter of `sizes` (then
            `kwargs` name the same number). A letter of an output that no input has may be of any size; no axes at all
            are a single number.
        options: every non-default setting, once.
        least: the smallest accepted sizes of the last axes of the first input, batch and channels not counted.
        sizes: letter -> size, where the arguments fix it; C is `channels` where there are any.
        exported: the smallest side of a map that a program exported for open sizes takes; more than 4 for what halves
            its map several times.
        exempt: law -> reason, for exemptions from laws that cannot hold; a test asks that the law really fails.
        code: the authors' published code, as `owner/repository`.
        parity: `exact`, recorded outputs of the authors' code are matched; `transcribed`, no such code is public.
    """

    name: str
    target: str
    paper: Paper
    domains: tuple[str, ...]
    soft: bool
    acts_on: tuple[str, ...]
    grain: tuple[str, ...]
    tasks: tuple[str, ...]
    maps: Mapping[str, str]
    kwargs: Mapping[str, Any]
    sums: Mapping[str, str] = field(default_factory=dict)
    shown: tuple[str, ...] = ()
    kind: str = "weights"
    driven_by: str = "task"
    reach: str | None = None
    aliases: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ("B C H W",)
    outputs: tuple[str, ...] = ("B C H W",)
    options: tuple[Option, ...] = ()
    least: tuple[int, ...] = (1, 1)
    sizes: Mapping[str, int] = field(default_factory=dict)
    exported: int = 4
    exempt: Mapping[str, str] = field(default_factory=dict)
    code: str | None = None
    parity: str = "exact"

    @property
    def folder(self) -> str:
        """The name of the paper's folder below `regard/papers`."""
        return self.target.split(".")[1]

    @property
    def mixed(self) -> bool:
        """Channel and spatial attention together, as the field means the word."""
        return {"channel", "spatial"} <= set(self.domains)

    @property
    def spellings(self) -> tuple[str, ...]:
        """Every spelling that means this entry: its name, its class and its aliases."""
        return (self.name, self.target.partition(":")[2], *self.aliases)

    @property
    def weights(self) -> str:
        """`soft`, `hard`, or `both` where an option turns one into the other."""
        found = {setting.soft for setting in self.settings}
        return "both" if len(found) > 1 else "soft" if self.soft else "hard"

    @property
    def drop_in(self) -> bool:
        """True for an entry that takes one map and returns one of the same shape, so that it can be attached."""
        return self.inputs == self.outputs == ("B C H W",)

    @property
    def system(self) -> bool:
        """True for a full network, False for a part of one."""
        return ".network:" in self.target or ".network." in self.target

    @cached_property
    def settings(self) -> tuple[Option, ...]:
        """The default and every option, with arguments and label facts filled in."""
        return tuple(self._filled(option) for option in (Option({}), *self.options))

    def _filled(self, option: Option) -> Option:
        maps = self.maps if option.maps is None else option.maps
        sums = self.sums if option.sums is None else option.sums
        return Option(
            {**self.kwargs, **option.kwargs},
            option.inputs or self.inputs,
            option.outputs or self.outputs,
            maps,
            option.least or self.least,
            self.sizes if option.sizes is None else option.sizes,
            self.soft if option.soft is None else option.soft,
            {name: sums[name] for name in maps if name in sums},
            tuple(name for name in (self.shown if option.shown is None else option.shown) if name in maps),
        )

    @property
    def _classes(self) -> Mapping[str, ast.ClassDef]:
        body = parsed(self.target.partition(":")[0]).body
        return {node.name: node for node in body if isinstance(node, ast.ClassDef)}

    @property
    def header(self) -> str:
        """The header docstring of the file that implements it."""
        return ast.get_docstring(parsed(self.target.partition(":")[0])) or ""

    @property
    def summary(self) -> str:
        """The first line of the class's docstring, without its full stop."""
        docstring = ast.get_docstring(self._classes[self.target.partition(":")[2]]) or ""
        return docstring.partition("\n")[0].rstrip(".")

    @property
    def arguments(self) -> tuple[str, ...]:
        """Names of the constructor's arguments, read without importing the class."""
        cls = self._classes[self.target.partition(":")[2]]
        while True:
            for node in cls.body:
                if isinstance(node, ast.FunctionDef) and node.name == "__init__":
                    return tuple(one.arg for one in (*node.args.args[1:], *node.args.kwonlyargs))
            bases = (base.id for base in cls.bases if isinstance(base, ast.Name))
            cls = next(self._classes[name] for name in bases if name in self._classes)

    def section(self, title: str) -> str:
        """The text under `title:` in the header ("Place", "Deviations", "Errata", "Cost"), or an empty string."""
        return section(self.header, title)

    def load(self) -> Any:
        """The class; this is what imports torch."""
        module, _, name = self.target.partition(":")
        return getattr(importlib.import_module(f"regard.{module}"), name)


@cache
def labels() -> Mapping[str, ModuleType]:
    """Folder of each paper -> its module `label`, by the name of the folder."""
    folders = sorted(path.parent.name for path in FOLDER.glob("*/label.py"))
    return {folder: importlib.import_module(f"regard.papers.{folder}.label") for folder in folders}


@cache
def entries() -> tuple[Entry, ...]:
    """Every entry, oldest paper first."""
    found = (entry for label in labels().values() for entry in label.ENTRIES)
    return tuple(sorted(found, key=lambda entry: entry.paper.year))  # stable: within a year by folder


@cache
def networks() -> Mapping[str, str]:
    """Networks known by name, for `create` -> the folder of the paper whose mechanism stands in them."""
    return {name: folder for folder, label in labels().items() for name in getattr(label, "NETWORKS", ())}


@cache
def segmenters() -> Mapping[str, str]:
    """Segmentation networks known by name, for `create` -> the folder of the paper that they are of."""
    return {name: folder for folder, label in labels().items() for name in getattr(label, "SEGMENTERS", ())}


@cache
def named() -> Mapping[str, str]:
    """Every network known by name, for classification or segmentation -> the folder of its paper."""
    return {**networks(), **segmenters()}


def find(
    pattern: str | None = None,
    *,
    domain: str | Iterable[str] | None = None,
    soft: bool | None = None,
    since: int | None = None,
    until: int | None = None,
    mixed: bool | None = None,
    attachable: bool | None = None,
    acts_on: str | None = None,
    grain: str | None = None,
    kind: str | None = None,
    driven_by: str | None = None,
    reach: str | None = None,
    task: str | None = None,
) -> tuple[Entry, ...]:
    """The entries that satisfy every given condition, oldest paper first.

        [entry.name for entry in regard.find("*eca*")]
        regard.find(domain="channel+spatial", soft=True, since=2018, attachable=True)

    Args:
        pattern: has to fit the entry's name, its paper's folder, an alias or its class; `*` and `?` are wildcards,
            capitals do not count, and without a wildcard the whole name has to be the same.
        domain: one of `vocabulary.DOMAINS` or `"mixed"` (channel and spatial); of several, joined by `+` or in a
            sequence, all have to hold.
        soft: whether a setting has differentiable (True) or discrete (False) weights.
        since, until: first and last year of publication, inclusive.
        mixed: whether it is channel and spatial attention together.
        attachable: whether `regard.attach` takes it.
        acts_on, grain, kind, driven_by, reach, task: a word of the tuples in `regard.catalog.vocabulary`.

    Raises:
        LookupError: a word is none of these; the message names the nearest.
    """
    domains = [] if domain is None else domain.split("+") if isinstance(domain, str) else list(domain)
    for name in domains:
        _known("domain", name, (*DOMAINS, MIXED))
    wanted = {name for name in domains if name != MIXED} | ({"channel", "spatial"} if MIXED in domains else set())
    for axis, word, known in (
        ("acts_on", acts_on, ACTS_ON),
        ("grain", grain, GRAINS),
        ("kind", kind, KINDS),
        ("driven_by", driven_by, DRIVEN_BY),
        ("reach", reach, REACHES),
        ("task", task, TASKS),
    ):
        if word is not None:
            _known(axis, word, known)
    return tuple(
        entry
        for entry in entries()
        if (pattern is None or _matches(entry, pattern))
        and wanted <= set(entry.domains)
        and (soft is None or entry.weights in ("both", "soft" if soft else "hard"))
        and (since is None or entry.paper.year >= since)
        and (until is None or entry.paper.year <= until)
        and (mixed is None or entry.mixed == mixed)
        and (attachable is None or entry.drop_in == attachable)
        and (acts_on is None or acts_on in entry.acts_on)
        and (grain is None or grain in entry.grain)
        and (kind is None or kind == entry.kind)
        and (driven_by is None or driven_by == entry.driven_by)
        and (reach is None or reach == entry.reach)
        and (task is None or task in entry.tasks)
    )


def _matches(entry: Entry, pattern: str) -> bool:
    return any(fnmatchcase(name.lower(), pattern.lower()) for name in (entry.folder, *entry.spellings))


def _known(axis: str, word: str, known: tuple[str, ...]) -> None:
    if word not in known:
        raise LookupError(f"no {axis} {word!r}; {nearest(word, known)}")


def get(name: str) -> Entry:
    """The entry called `name`.

        regard.get("se") is regard.get("SE-Net") is regard.get("SqueezeExcite") is regard.get("senet")

    Args:
        name: the entry's name, an alias or the class; or the paper's folder, where it holds a single entry or a single
            mechanism. Capitals, spaces and punctuation do not count.

    Raises:
        LookupError: there is none, or a folder holds several; the message names the nearest, or those of the folder.
    """
    entry = _named(name)
    if entry is not None:
        return entry
    if name in named():
        raise LookupError(f"{name!r} is a network of {named()[name]}: regard.create({name!r}) builds it")
    raise LookupError(f"no entry {name!r}; {hint(name, _offered())}")


def _named(name: str) -> Entry | None:
    key = plain(name)
    if key in _spelled():
        return _spelled()[key]
    inside = [entry for entry in entries() if plain(entry.folder) == key]
    mechanisms = [entry for entry in inside if not entry.system]
    for choice in (inside, mechanisms):
        if len(choice) == 1:
            return choice[0]
    if inside:
        names = ", ".join(entry.name for entry in inside)
        raise LookupError(f"{name!r} is a paper with several entries: name one of {names}")
    return None


@cache
def _spelled() -> Mapping[str, Entry]:
    """Plain spelling -> entry; a test asks that no two entries share one."""
    return {plain(spelling): entry for entry in entries() for spelling in entry.spellings}


def _offered() -> dict[str, str]:
    return {spelling: entry.name for entry in entries() for spelling in entry.spellings}


def resolved(name: str, kwargs: Mapping[str, Any]) -> tuple[Entry, dict[str, Any]]:
    """The entry that builds what is called `name`, and its arguments: `name` is one of them for a network.

    Raises: LookupError if there is neither an entry nor a network of this name; the message names the nearest.
    """
    if name in named():
        return get("paper_network" if name in networks() else "segmenter"), {"name": name, **kwargs}
    found = _named(name)
    if found is None:
        offered = _offered() | {network: network for network in named()}
        raise LookupError(f"no entry {name!r}; {hint(name, offered)}")
    return found, dict(kwargs)


def create(name: str, /, *args: Any, **kwargs: Any) -> Any:
    """Builds a mechanism or system of the catalogue, or a network known by name.

        gate = regard.create("cbam", channels=64)
        classifier = regard.create("se_resnet50", classes=10)

    Args:
        name: as for `get`, or one of `catalog.networks()` or `catalog.segmenters()`.
        args, kwargs: the constructor's arguments; `regard show NAME` lists them.

    Raises:
        LookupError: there is no such entry; the message names the nearest.
        TypeError: it does not take these arguments; the message names the nearest and lists all that it takes.
        ValueError: the value of an argument is refused.
    """
    entry, kwargs = resolved(name, kwargs)
    check_arguments(entry, kwargs, name)
    factory = entry.load()
    try:
        inspect.signature(factory).bind(*args, **kwargs)
    except TypeError as error:
        raise TypeError(f"{name}: {error}; it takes {', '.join(entry.arguments)}") from None
    return factory(*args, **kwargs)


def check_arguments(entry: Entry, names: Iterable[str], name: str | None = None) -> None:
    """Checks names of arguments against the entry's constructor, without importing it.

    Args:
        entry: the entry that is to be built.
        names: of the arguments.
        name: how the user calls the entry, for the message.

    Raises:
        TypeError: it has no such argument; the message names the nearest and lists all.
    """
    for argument in names:
        if argument not in entry.arguments:
            taken = f" It takes {', '.join(entry.arguments)}." if len(entry.arguments) > 3 else ""
            raise TypeError(
                f"{name or entry.name}: no argument {argument!r}; {nearest(argument, entry.arguments)}{taken}"
            )


@cache
def labels_by_class() -> Mapping[tuple[str, str], Entry]:
    """(module, class name) -> entry, for looking a running module's label up."""
    return {(f"regard.{entry.target.partition(':')[0]}", entry.target.partition(":")[2]): entry for entry in entries()}


def nearest(name: str, known: Iterable[str]) -> str:
    """A question that offers the three of the `known` names nearest to `name`, for an error message."""
    return hint(name, {one: one for one in known})
