"""Checks of arguments that need neither torch nor timm, so that a mistake is answered at once."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from regard import catalog
from regard.catalog import vocabulary

EMBEDDED = ("digits", "faces", "frames")  # as in `regard.data`, which imports torch


def json_object(option: str, text: str) -> dict[str, Any]:
    """The JSON object in `text`.

    Raises: ValueError naming the option and the place of the mistake.
    """
    example = "for example '{\"channels\": 64}'"
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:  # a number of too many digits, or lists nested too deep, too
        raise ValueError(f"{option} {text!r} is not JSON ({error}); a JSON object is accepted, {example}") from None
    if not isinstance(value, dict):
        raise ValueError(f"{option} {text!r}: a JSON object is accepted, {example}")
    return value


def given(values: Mapping[str, Any]) -> dict[str, Any]:
    """The options that were given: those that are not None."""
    return {name: value for name, value in values.items() if value is not None}


def at_least(option: str, value: int | None, least: int) -> None:
    """Raises: ValueError if the number is smaller."""
    if value is not None and value < least:
        raise ValueError(f"{option}={value}: a whole number of at least {least} is accepted")


def numbers(option: str, text: str | None) -> list[float] | None:
    """The numbers of a text with commas between them; None for no text.

    Raises: ValueError if a part is no number.
    """
    if text is None:
        return None
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"{option}={text!r}: numbers with commas between them are accepted, as 0.75,1,1.25") from None


def one_of(option: str, value: str | None, known: tuple[str, ...]) -> None:
    """Raises: ValueError if the word is none of the known ones."""
    if value is not None and value not in known:
        raise ValueError(f"{option}={value!r}: {' or '.join(known)} is accepted")


def device(text: str) -> None:
    """Raises: ValueError if the text is no device."""
    if not re.fullmatch(r"cpu|cuda(:\d+)?", text):
        raise ValueError(f"--device={text!r}: cpu, cuda or cuda:N is accepted")


def there(path: Path | None) -> None:
    """Raises: FileNotFoundError if there is no such file or folder."""
    if path is not None and not path.exists():
        raise FileNotFoundError(f"no file or folder {str(path)!r}")


def images(data: str) -> None:
    """Raises: FileNotFoundError if `data` names neither embedded images nor a folder."""
    if data == "far-cue" and not Path(data).is_dir():
        raise ValueError("far-cue has label maps: --task segment is needed")
    if data not in EMBEDDED and not Path(data).is_dir():
        hint = catalog.nearest(data, EMBEDDED) if "/" not in data else "give a folder with a subfolder for each class"
        raise FileNotFoundError(f"no images named {data!r} and no such folder; {hint}")


def label_maps(data: str) -> None:
    """Raises: FileNotFoundError if `data` names no folder of images with label maps."""
    if not Path(data).is_dir():
        raise FileNotFoundError(f"no folder {data!r}: far-cue, or a folder with images/ and labels/, is needed")


def axes(option: str, texts: list[str]) -> None:
    """Raises: ValueError if a text is not the axes of an input or an output."""
    for text in texts:
        parts = text.split(" ")
        typed = parts[0] == "bool" or "<" in parts[0]
        if not parts[typed:] or not all(re.fullmatch(r"\d+|\d*[A-Za-z](/\d+)?", part) for part in parts[typed:]):
            raise ValueError(f"{option}={text!r}: axes with a space between them are accepted, for example 'B C H W'")


def laws(names: list[str]) -> None:
    """Raises: LookupError if one is not the name of a law."""
    for name in names:
        if name not in vocabulary.LAWS:
            raise LookupError(f"no law {name!r}; {catalog.nearest(name, vocabulary.LAWS)}")


def checks(patterns: list[str]) -> None:
    """Raises: LookupError if a pattern matches the name of no check of `regard doctor`."""
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in vocabulary.CHECKS):
            raise LookupError(f"no check {pattern!r}; {catalog.nearest(pattern, vocabulary.CHECKS)}")


def network(mechanism: str | None, weights: Path | None, kwargs: Mapping[str, Any], image_size: int | None) -> None:
    """Checks how the network of `regard look` and `regard gaze` is named.

    Raises:
        LookupError: there is no such mechanism.
        FileNotFoundError: there are no such weights.
        TypeError: the mechanism has no such argument.
        ValueError: neither names the network; the size is not positive.
    """
    at_least("--image-size", image_size, 1)
    if mechanism is None and weights is None:
        raise ValueError(
            "no network is named: give --with and a name that `regard list` prints, or --weights of `regard train`"
        )
    if mechanism is not None:
        entry, given = catalog.resolved(mechanism, kwargs)
        catalog.check_arguments(entry, given, f"--with {mechanism}")
    there(weights)
