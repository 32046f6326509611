"""The description of a trained network, saved with its weights, from which the network can be built again.

`regard train` and `regard compare` write it as JSON under one key of the metadata of model.safetensors:

    entry, arguments    the name in the catalogue, and all arguments of the constructor
    attached            for attention in a backbone: backbone, number of classes, sites, options of the mechanism
    normalise, image    mean and standard deviation of each channel; channels, height and width
    prefix              the prefix of the network's weights, if the file has weights of another network too
    class_names         the names of the classes, in the order of the outputs, if it is a classifier of named classes
    recipe, tiny        the recipe that trained it, and whether it was the tiny variant
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
from regard.saved import digests

KEY = "regard"
FORMAT = 1
NAME = "model.safetensors"
TRIALS = "trials"  # the folder of a comparison with a folder for each trial, ROW-SEED


@dataclass(frozen=True, kw_only=True)
class Attached:
    """Attention in a backbone, as `regard.attach` attached it.

    Args:
        backbone: the name of a timm model.
        classes: the number of its outputs.
        after: names of the modules that the attention follows.
        identity: whether it was attached with `identity=True`.
        arguments: the arguments of the mechanism that are not defaults; JSON values.
    """

    backbone: str
    classes: int
    after: Sequence[str]
    identity: bool = False
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Trained:
    """The description of a trained network.

    Args:
        entry: the name in the catalogue of the system, or of the attention in a backbone.
        arguments: all arguments of a system, JSON values; for attached attention, see `Attached`.
        normalise: mean and standard deviation, one for each channel or for all; None for images in 0..1.
        image: channels, height and width of the training images.
        prefix: the prefix of the names of its weights in the file, for example `student.` beside a teacher.
        attached: the backbone with its attention; None for a system.
        class_names: the names of the classes, in the order of the outputs; empty where they are not known.
        recipe, tiny: the recipe that trained it, if one did, and whether that was the tiny variant.
        version: the version of regard that trained it.
    """

    entry: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    normalise: tuple[Sequence[float], Sequence[float]] | None
    image: Sequence[int]
    prefix: str = ""
    attached: Attached | None = None
    class_names: Sequence[str] = ()
    recipe: str | None = None
    tiny: bool = False
    version: str = __version__

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
                names = (
                    ", ".join(str(trial) for trial in trials(weights)) or "none of which has finished with attention"
                )
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
        raise ValueError(f"{path} cannot be read as safetensors: {error}") from error


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
        found = json.loads(text)
        version = found["version"]
        if found["format"] != FORMAT:
            raise LookupError(f"{path} was written by regard {version}, in a format that {__version__} cannot read")
        known = _checked({name: found[name] for name in (one.name for one in fields(Trained)) if name in found})
    except (KeyError, TypeError, ValueError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else error
        raise ValueError(f"{path}: the description of its network is damaged: {reason}") from error
    entry = next((entry for entry in catalog.entries() if entry.name == known.entry), None)
    if entry is None or not (entry.system if known.attached is None else entry.drop_in):
        what = "entry" if entry is None else "system" if known.attached is None else "attention for a backbone"
        raise LookupError(f"{path} has {known.entry!r} of regard {version}; {__version__} has no such {what}")
    return known


def _checked(found: Mapping[str, Any]) -> Trained:
    """Checks the fields of a description. Raises: TypeError if one is missing; ValueError that names an invalid one."""
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
        ("class_names", _all(str, list(known.class_names))),
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
