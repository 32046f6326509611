"""The labels: what exists, who published it, what it takes, what it shows.

    catalog.get("cbam")                           one entry; "CBAM" and "ConvBlockAttention" find it too
    catalog.find(domain="channel", since=2019)    all that satisfy every condition
    catalog.find("*eca*")                         all whose name fits a pattern

A label stands in the folder of its paper, `papers/<paper>/label.py`, and is found by listing the folders: adding a
paper edits no table. Standard library only, so that listing everything costs milliseconds and no torch. The labels are
the one source that the README, the command line, the documentation, the tests and the benchmarks read.
"""

from __future__ import annotations

import ast
import difflib
import importlib
import inspect
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache, cached_property
from pathlib import Path
from types import ModuleType
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
# The axes by which the surveys sort attention.
ACTS_ON = ("image", "features")
GRAINS = ("item", "position", "channel", "value")
KINDS = ("weights", "focus")
DRIVEN_BY = ("bottom-up", "task")
REACHES = ("point to point", "point to region")
TASKS = (
    "classification",
    "fine-grained classification",
    "video classification",
    "detection",
    "segmentation",
    "medical imaging",
    "saliency",
    "captioning",
    "translation",
    "re-identification",
    "diagnosis prediction",
    "transfer",
)
MIXED = "mixed"

FOLDER = Path(__file__).parent.parent / "papers"


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
        acts_on: `image`, `features` or both: what is weighted or looked at.
        grain: what gets a weight of its own: an `item` (a word, frame, region, branch), a `position`, a `channel`, or a
            single `value` of the map.
        kind: `weights` on what is there, or a `focus`: a place or a window that is looked at.
        driven_by: `bottom-up`, by the image alone, or by the `task`.
        reach: `point to point` or `point to region`, of what relates each element to others; None of what does not.
        tasks: for which the paper shows it; of `TASKS`.
        aliases: other spellings by which `get` finds it; class and folder names need not be among them.
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
    acts_on: tuple[str, ...]
    grain: tuple[str, ...]
    tasks: tuple[str, ...]
    maps: Mapping[str, str]
    kwargs: Mapping[str, Any]
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
    excused: Mapping[str, str] = field(default_factory=dict)
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
    def weights(self) -> str:
        """`soft`, `hard`, or `both` where an option turns one into the other."""
        found = {setting.soft for setting in self.settings}
        return "both" if len(found) > 1 else "soft" if self.soft else "hard"

    @property
    def drop_in(self) -> bool:
        """Takes one map and returns one of the same shape, so that it can be attached."""
        return self.inputs == self.outputs == ("B C H W",)

    @property
    def system(self) -> bool:
        """A full network rather than a part to put into one."""
        return ".network:" in self.target

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

        catalog.find("*eca*")
        catalog.find(domain="channel+spatial", soft=True, since=2018)

    Args:
        pattern: of the entry's name, its folder's or an alias, with the wildcards `*` and `?`; capitals do not count.
        domain: one of `DOMAINS` or `"mixed"` (channel and spatial); several, joined by `+` or in a sequence, have all
            to be there.
        soft: there is a setting with differentiable (True) or discrete (False) weights.
        since, until: first and last year of publication, inclusive.
        mixed: channel and spatial together, or not.
        attachable: takes one map and returns another of the same shape, so that `regard.attach` takes it; or not.
        acts_on, grain, kind, driven_by, reach, task: one word of `ACTS_ON`, `GRAINS`, `KINDS`, `DRIVEN_BY`, `REACHES`
            and `TASKS`.

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
    """A pattern without wildcards has to be the whole name."""
    return any(fnmatchcase(name.lower(), pattern.lower()) for name in (entry.name, entry.folder, *entry.aliases))


def _known(axis: str, word: str, known: tuple[str, ...]) -> None:
    if word not in known:
        raise LookupError(f"no {axis} {word!r}; {nearest(word, known)}")


def get(name: str) -> Entry:
    """The entry called `name`: by its name, its class, an alias, or the paper's folder where that holds one mechanism.

        catalog.get("se") is catalog.get("SE-Net") is catalog.get("SqueezeExcite") is catalog.get("senet")

    Raises:
        LookupError: there is none; the message names the nearest.
    """
    exact = next((entry for entry in entries() if entry.name == name), None)
    if exact is not None:
        return exact
    key = _plain(name)
    if key in _spellings():
        return _spellings()[key]
    inside = [entry for entry in entries() if _plain(entry.folder) == key]
    mechanisms = [entry for entry in inside if not entry.system]
    for choice in (inside, mechanisms):
        if len(choice) == 1:
            return choice[0]
    if inside:
        names = ", ".join(entry.name for entry in inside)
        raise LookupError(f"{name!r} is a paper with several entries: name one of {names}")
    raise LookupError(f"no entry {name!r}; {nearest(name, tuple(entry.name for entry in entries()))}")


@cache
def _spellings() -> Mapping[str, Entry]:
    """Plain spelling -> entry; a name counts before a class, a class before an alias."""
    found: dict[str, Entry] = {}
    for names in (
        lambda entry: [entry.name],
        lambda entry: [entry.target.partition(":")[2]],
        lambda entry: entry.aliases,
    ):
        for entry in entries():
            for name in names(entry):
                found.setdefault(_plain(name), entry)
    return found


def _plain(name: str) -> str:
    """A name without what people spell in several ways: capitals, hyphens, spaces."""
    return re.sub(r"[^a-z0-9]", "", name.lower().replace("²", "2"))


def create(name: str, /, *args: Any, **kwargs: Any) -> Any:
    """Builds an entry, or a network known by name.

        create("cbam", channels=64)
        create("se_resnet50", classes=10)

    Raises:
        LookupError: there is no such entry; the message names the nearest.
        TypeError: it does not take these arguments; the message lists those that it takes.
        ValueError: an argument's value is refused.
    """
    if name in networks():
        entry, kwargs = get("paper_network"), {"name": name, **kwargs}
    else:
        entry = get(name)
    factory = entry.load()
    signature = inspect.signature(factory)
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        raise TypeError(f"{name}: {error}; it takes {', '.join(signature.parameters)}") from None
    return factory(*args, **kwargs)


@cache
def labels_by_class() -> Mapping[tuple[str, str], Entry]:
    """(module, class name) -> entry, for looking a running module's label up."""
    return {(f"regard.{entry.target.partition(':')[0]}", entry.target.partition(":")[2]): entry for entry in entries()}


def nearest(name: str, known: Iterable[str]) -> str:
    """What to say about a name that is not known: the nearest three."""
    near = difflib.get_close_matches(name.lower(), tuple(known), n=3, cutoff=0.0)
    return f"did you mean {', '.join(near[:-1])} or {near[-1]}?" if len(near) > 1 else f"did you mean {near[0]}?"
