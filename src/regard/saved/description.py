"""The description of a trained network, saved with its weights, from which the network can be built again.

`regard train`, `regard compare` and `regard.save` write it as JSON under one key of the metadata of a safetensors file:

    entry, arguments    the name in the catalogue, and all arguments of the constructor
    attached            for attention in a backbone: backbone, number of classes, and what is attached to each site
    normalise, image    mean and standard deviation of each channel; channels, height and width
    prefix              the prefix of the network's weights, if the file has weights of another network too
    class_names         the names of the classes, in the order of the outputs, if it is a classifier of named classes
    vocabulary          the word of each row, if it reads or writes words; of several vocabularies, each by its name
    recipe, tiny        the recipe that trained it, and whether it was the tiny variant
    options             the options of the recipe, such as the name of the network that it was to train
    format, version     the versions of this description and of regard
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from safetensors import safe_open

from regard import __version__, catalog
from regard.attaching.restoring import AXES, GATES, Attachment
from regard.checks import LARGEST
from regard.saved import digests

KEY = "regard"
FORMAT = 2
READABLE = (1, 2)  # in format 1 attached attention is one call of `attach`, without what it found at each site
PARTS = ("all", "attention")
NAME = "model.safetensors"
TRIALS = "trials"  # the folder of a comparison with a folder for each trial, ROW-SEED


@dataclass(frozen=True, kw_only=True)
class Attached:
    """Attention in a backbone, as `regard.attach` attached it.

    Args:
        backbone: the name of a timm model; None for any other, which has to be given when the file is opened.
        classes: the number of its outputs; None where the backbone does not tell.
        options: the other arguments of the timm model; JSON values.
        sites: what is attached, site by site; nothing in a network without attention.
        part: `all` weights, or those of the `attention` alone.
        unknown: why there is no name of the backbone.
        after, identity, arguments: one call of `attach` in place of `sites`: names of the modules that the attention
            follows, and the arguments that are not defaults.
    """

    backbone: str | None
    classes: int | None
    options: Mapping[str, Any] = field(default_factory=dict)
    sites: Sequence[Attachment] = ()
    part: str = PARTS[0]
    unknown: str = ""
    after: Sequence[str] = ()
    identity: bool = False
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Trained:
    """The description of a trained network.

    Args:
        entry: the name in the catalogue of the system, or of the attention in a backbone, there of the last site with
            one; None where all attention is of a user's own, or there is none.
        arguments: all arguments of a system, JSON values; for attached attention, see `Attached`.
        normalise: mean and standard deviation, one for each channel or for all; None for images in 0..1.
        image: channels, height and width of the training images, of clips channels, frames, height and width; None
            where they are not known, which only a system or a backbone without a name may have.
        prefix: the prefix of the names of its weights in the file, for example `student.` beside a teacher.
        attached: the backbone with its attention; None for a system.
        class_names: the names of the classes, in the order of the outputs; empty where they are not known.
        vocabulary: the word of each row of a network that reads or writes words; of several vocabularies, such as
            source and target of a translation, each by its name. Empty where there are no words.
        recipe, tiny: the recipe that trained it, if one did, and whether that was the tiny variant.
        options: the options that the recipe was given, JSON values.
        version: the version of regard that trained it.
    """

    entry: str | None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    normalise: tuple[Sequence[float], Sequence[float]] | None
    image: Sequence[int] | None
    prefix: str = ""
    attached: Attached | None = None
    class_names: Sequence[str] = ()
    vocabulary: Sequence[str] | Mapping[str, Sequence[str]] = ()
    recipe: str | None = None
    tiny: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    version: str = __version__

    @property
    def entries(self) -> tuple[str, ...]:
        """The names in the catalogue of the system or of all its attention, and the classes of a user's own."""
        sites = () if self.attached is None else self.attached.sites
        named = () if self.entry is None else (self.entry,)
        return tuple(dict.fromkeys(site.mechanism or site.kind for site in sites)) or named

    @property
    def name(self) -> str:
        """A readable name: `ram`, `se and cbam on resnet18`, or `resnet18` where nothing is attached."""
        names = " and ".join(self.entries)
        if self.attached is None:
            return names
        host = self.attached.backbone or "a backbone"
        return f"{names} on {host}" if names else host

    def facts(self) -> dict[str, Any]:
        """The description as a JSON object."""
        return {"format": FORMAT, **plain(asdict(self))}

    def metadata(self) -> dict[str, str]:
        """The description as metadata of a safetensors file: one key, since the order of several keys may vary."""
        return {KEY: json.dumps(self.facts())}


def arguments(build: Callable[..., Any]) -> tuple[str, dict[str, Any]] | None:
    """The name of the entry that `build` makes, and all arguments of its constructor, defaults included.

    Args:
        build: a class of the catalogue, or a partial of one; for anything else None is returned.

    Raises: TypeError if the class does not accept the arguments; ValueError if an argument is not a JSON value.
    """
    made, given, named = (build.func, build.args, build.keywords) if isinstance(build, partial) else (build, (), {})
    place = (getattr(made, "__module__", ""), getattr(made, "__qualname__", ""))
    entry = catalog.labels_by_class().get(place)
    if entry is None:
        return None
    bound = inspect.signature(made).bind(*given, **named)
    bound.apply_defaults()
    for name, value in bound.arguments.items():
        try:
            plain(value)
        except (TypeError, ValueError):
            raise ValueError(
                f"{entry.name}: {name}={value!r}: a JSON value is needed, to be saved with the weights"
            ) from None
    return entry.name, plain(bound.arguments)


def plain(content: Any) -> Any:
    """The content after a round trip through JSON: tuples become lists."""
    return json.loads(json.dumps(content))


def located(weights: Path) -> Path:
    """The path of a file of weights: the path itself, or model.safetensors in a run folder.

    Raises: FileNotFoundError if there is no such file; for the folder of a comparison it names the trials.
    """
    if weights.is_dir():
        if not (weights / NAME).is_file():
            if (weights / TRIALS).is_dir():
                names = ", ".join(str(trial) for trial in trials(weights)) or "none of which has finished"
                raise FileNotFoundError(f"{weights} is the folder of a comparison: name one of its trials, {names}")
            raise FileNotFoundError(f"{weights} has no {NAME}, which a finished run writes")
        return weights / NAME
    if not weights.is_file():
        raise FileNotFoundError(f"no file {weights}")
    return weights


def trials(folder: Path) -> list[Path]:
    """The folders of the finished trials of a comparison that can be opened without further arguments, by name."""
    return [path.parent for path in sorted((folder / TRIALS).glob(f"*/{NAME}")) if _text(path) is not None]


def _text(path: Path) -> str | None:
    """The description in the metadata of a safetensors file, unread. Raises: ValueError if the file is damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            return (file.metadata() or {}).get(KEY)
    except Exception as error:  # the reader's own type of error does not name the file
        raise ValueError(f"{path} cannot be read as safetensors: {str(error)[:200]}") from error


def read(path: Path) -> Trained | None:
    """Reads the description in a file of weights; None if there is none, as in weights from elsewhere.

    Raises: ValueError if the file or the description is damaged; LookupError if the description has another format, or
        its entry is unknown or not of the described kind.
    """
    if path.suffix != ".safetensors":
        return None
    text = _text(path)
    digests.check_weights(path)
    if text is None:
        return None
    try:
        found = json.loads(text, parse_constant=_no_number)
        version = found["version"]
        if found["format"] not in READABLE:
            raise LookupError(f"{path} was written by regard {version}, in a format that {__version__} cannot read")
        known = _checked({name: found[name] for name in (one.name for one in fields(Trained)) if name in found})
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else error
        raise ValueError(f"{path}: the description of its network is damaged: {reason}") from error
    if known.entry is None:
        return known
    entry = next((entry for entry in catalog.entries() if entry.name == known.entry), None)
    if entry is None or not (entry.system if known.attached is None else entry.drop_in):
        what = "entry" if entry is None else "system" if known.attached is None else "attention for a backbone"
        raise LookupError(f"{path} has {known.entry!r} of regard {version}; {__version__} has no such {what}")
    return known


def check(what: Trained) -> None:
    """Checks that a description can be read again. Raises: ValueError that names what cannot."""
    facts = what.facts()
    _checked({name: facts[name] for name in (one.name for one in fields(Trained))})


def _checked(found: Mapping[str, Any]) -> Trained:
    """Checks the fields of a description. Raises: TypeError if one is missing; ValueError that names an invalid one."""
    normalise = found["normalise"]
    known = Trained(**{**found, "attached": _attached(found.get("attached"))})
    image, own = known.image, known.attached is None or known.attached.backbone is None
    axes = (3,) if known.attached is not None else (3, 4)
    channels = image[0] if image is not None and _all(int, image) and len(image) in axes else 0
    for name, right in (
        ("entry", isinstance(known.entry, str) or (known.entry is None and known.attached is not None)),
        (
            "attached",
            known.entry is None or known.attached is None or bool(known.attached.sites or known.attached.after),
        ),
        ("arguments", isinstance(known.arguments, dict) and largest(known.arguments) <= LARGEST),
        ("image", (image is None and own) or (channels > 0 and image is not None and 0 < min(image) <= max(image))),
        ("image", largest(image) <= LARGEST),
        ("normalise", normalise is None or _normalisation(normalise, channels if image else None)),
        ("prefix", isinstance(known.prefix, str)),
        ("class_names", _all(str, list(known.class_names))),
        ("vocabulary", _vocabulary(known.vocabulary)),
        ("recipe", known.recipe is None or isinstance(known.recipe, str)),
        ("tiny", isinstance(known.tiny, bool)),
        ("options", isinstance(known.options, dict) and largest(known.options) <= LARGEST),
    ):
        if not right:
            raise ValueError(f"{name} is {_short(found.get(name))}")
    return known if normalise is None else replace(known, normalise=tuple(normalise))


def _attached(found: Any) -> Attached | None:
    """Checks what is said about attention in a backbone. Raises: as `_checked`."""
    if found is None:
        return None
    if not isinstance(found, dict):
        raise ValueError(f"attached is {_short(found)}")
    sites = tuple(Attachment(**site) for site in found.get("sites", ()))
    known = Attached(**{**found, "sites": sites})
    for right in (
        known.backbone is None or isinstance(known.backbone, str),
        known.classes is None or (_all(int, [known.classes]) and 0 <= known.classes <= LARGEST),
        isinstance(known.options, dict) and largest(known.options) <= LARGEST,
        known.part in PARTS,
        isinstance(known.unknown, str),
        _all(str, list(known.after)),
        isinstance(known.identity, bool),
        isinstance(known.arguments, dict) and largest(known.arguments) <= LARGEST,
    ):
        if not right:
            raise ValueError(f"attached is {_short(found)}")
    for site in sites:
        numbers = [site.channels, site.prefix, *site.grid]
        for right in (
            isinstance(site.site, str) and isinstance(site.kind, str) and site.axes in AXES and site.gate in GATES,
            site.mechanism is None or isinstance(site.mechanism, str),
            _all(int, numbers) and len(numbers) == 4 and min(numbers) >= 0 and min(site.grid) > 0,
            isinstance(site.arguments, dict) and largest([site.arguments, numbers]) <= LARGEST,
            isinstance(site.copy, bool),
        ):
            if not right:
                raise ValueError(f"attached has {_short(asdict(site))}")
    return known


def largest(value: Any) -> int:
    """The size of the largest whole number in a JSON value, 0 if there is none."""
    if isinstance(value, dict):
        return largest(list(value.values()))
    if isinstance(value, (list, tuple)):
        return max(map(largest, value), default=0)
    return abs(value) if isinstance(value, int) else 0


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}…"


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number")


def _normalisation(value: Any, channels: int | None) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(_all((int, float), part) and len(part) in (1, channels or len(part)) for part in value)
        and all(deviation > 0 for deviation in value[1])
    )


def _vocabulary(value: Any) -> bool:
    """Whether it is the words of one vocabulary, or of several by name; no word stands twice in one."""
    several = list(value.values()) if isinstance(value, dict) else [value]
    return all(isinstance(one, list | tuple) and _all(str, list(one)) and len({*one}) == len(one) for one in several)


def _all(kind: type | tuple[type, ...], value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, kind) and not isinstance(one, bool) for one in value)
