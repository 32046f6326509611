"""The description of a trained network in the file of its weights: enough to open it again.

`regard train` and `regard compare` write it as JSON under one key of the metadata of model.safetensors, so that the one
file is enough:

    entry, arguments    the catalogue's name, and every argument of its constructor
    attached            of attention in a backbone: which one, how many classes, after which modules, its options
    normalise, image    mean and standard deviation of each channel; channels, height and width
    prefix              of the network's own weights, where another's lie in the same file
    recipe, tiny        what trained it
    format, version     of this description, and of regard
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

KEY = "regard"
FORMAT = 1
NAME = "model.safetensors"


@dataclass(frozen=True, kw_only=True)
class Attached:
    """Attention in a backbone, as `regard.attach` put it there.

    Args:
        backbone: a timm model's name.
        classes: number of its outputs.
        after: names of the modules that the attention follows.
        identity: attached so that the first pass was the bare backbone's.
        arguments: of the mechanism's constructor, those that are not its defaults; as JSON holds them.
    """

    backbone: str
    classes: int
    after: Sequence[str]
    identity: bool = False
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What a trained network is.

    Args:
        entry: the catalogue's name of the system, or of the attention in a backbone.
        arguments: all of a system's constructor, as JSON holds them; of attached attention, see `Attached`.
        normalise: mean and standard deviation, one for each channel or for all; None for images in 0..1.
        image: channels, height and width of the images that it was trained on.
        prefix: what the names of its weights start with in the file; for example `student.` beside a teacher.
        attached: where attention stands in a backbone; None for a system.
        recipe, tiny: the recipe that trained it, if one did, and whether that was the tiny variant.
        version: of regard, that trained it.
    """

    entry: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    normalise: tuple[Sequence[float], Sequence[float]] | None
    image: Sequence[int]
    prefix: str = ""
    attached: Attached | None = None
    recipe: str | None = None
    tiny: bool = False
    version: str = __version__

    def facts(self) -> dict[str, Any]:
        """For JSON."""
        return {"format": FORMAT, **plain(asdict(self))}

    def metadata(self) -> dict[str, str]:
        """For a safetensors file: one key, since the order of several is not always the same."""
        return {KEY: json.dumps(self.facts())}


def arguments(build: Callable[..., Any]) -> tuple[str, dict[str, Any]] | None:
    """The entry that `build` makes, and every argument that its constructor gets, the defaults too.

    Args:
        build: a class of the catalogue, or a partial of one; None is returned of anything else.

    Raises: TypeError if the class does not take the arguments; ValueError if JSON cannot hold one.
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
            raise ValueError(f"{entry.name}: {name}={value!r} cannot be written beside the weights as JSON") from None
    return entry.name, plain(bound.arguments)


def plain(content: Any) -> Any:
    """The content as it comes back from JSON: tuples are lists."""
    return json.loads(json.dumps(content))


def located(weights: Path) -> Path:
    """The file of weights: itself, or model.safetensors of a run folder.

    Raises: FileNotFoundError if there is none.
    """
    if weights.is_dir():
        if not (weights / NAME).is_file():
            raise FileNotFoundError(f"{weights} holds no {NAME}, which a run writes when it has finished")
        return weights / NAME
    if not weights.is_file():
        raise FileNotFoundError(f"no file {weights}")
    return weights


def read(path: Path) -> Trained | None:
    """What the file says of its network; None if it says nothing, as others' weights.

    Raises: ValueError if the file or what it says is damaged, or of a later form; LookupError if there is no such
        entry, or none that stands where it says.
    """
    if path.suffix != ".safetensors":
        return None
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(KEY)
    except Exception as error:  # the reader has a type of its own, which names no file
        raise ValueError(f"{path} cannot be read as safetensors: {error}") from error
    if text is None:
        return None
    try:
        found = json.loads(text)
        version = found["version"]
        if found["format"] != FORMAT:
            raise LookupError(f"{path} was written by regard {version}, in a form that {__version__} does not know")
        known = _checked({name: found[name] for name in (one.name for one in fields(Trained)) if name in found})
    except (KeyError, TypeError, ValueError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else error
        raise ValueError(f"{path}: what it says of its network is damaged: {reason}") from error
    entry = next((entry for entry in catalog.entries() if entry.name == known.entry), None)
    if entry is None or not (entry.system if known.attached is None else entry.drop_in):
        what = "entry" if entry is None else "system" if known.attached is None else "attention for a backbone"
        raise LookupError(f"{path} holds {known.entry!r} of regard {version}; {__version__} has no such {what}")
    return known


def _checked(found: Mapping[str, Any]) -> Trained:
    """Raises: TypeError if something is missing; ValueError naming what is wrong."""
    attached, normalise = found.get("attached"), found["normalise"]
    known = Trained(**{**found, "attached": None if attached is None else Attached(**attached)})
    host, image = known.attached, known.image
    channels = image[0] if _all(int, image) and len(image) == 3 else 0
    for name, right in (
        ("entry", isinstance(known.entry, str)),
        ("arguments", isinstance(known.arguments, dict)),
        ("image", channels > 0 and min(image) > 0),
        ("normalise", normalise is None or _normalisation(normalise, channels)),
        ("prefix", isinstance(known.prefix, str)),
        ("attached", host is None or (isinstance(host.backbone, str) and _all(str, host.after))),
        ("attached", host is None or (_all(int, [host.classes]) and isinstance(host.identity, bool))),
        ("attached", host is None or isinstance(host.arguments, dict)),
        ("recipe", known.recipe is None or isinstance(known.recipe, str)),
        ("tiny", isinstance(known.tiny, bool)),
    ):
        if not right:
            raise ValueError(f"{name} is {found.get(name)!r}")
    return known if normalise is None else replace(known, normalise=tuple(normalise))


def _normalisation(value: Any, channels: int) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(_all((int, float), part) and len(part) in (1, channels) for part in value)
        and min(value[1]) > 0
    )


def _all(kind: type | tuple[type, ...], value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, kind) and not isinstance(one, bool) for one in value)
