"""Parallel corpora: a folder with one file a split and language, line by line, as Multi30k and WMT have them.

train.de.gz  train.en.gz      or without .gz; `training` means train, and `valid`, `validation` and `dev` mean val
val.de.gz    val.en.gz
test_2016_flickr.de.gz  …     every split whose name begins with `test`
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Mapping
from pathlib import Path

from regard.checks import text as named
from regard.data.images import shown

Pair = tuple[str, str]
SAME = {"training": "train", "valid": "val", "validation": "val", "dev": "val"}
LARGEST = 2**31  # bytes of a file after decompression; a small archive can hold far more


def read(folder: Path, source: str, target: str) -> dict[str, list[Pair]]:
    """The pairs of every split that has a file in both languages, source first.

    Args:
        folder: the folder, or one that contains it: the files of the first folder with any, by name, are read.
        source, target: the languages, as the files' names end: `de`, `en`.

    Raises: FileNotFoundError if there is no folder or no training split; ValueError if the files of a split have
        different numbers of lines, a sentence is empty, a file is not UTF-8 or not gzip, or the languages are one;
        OSError if a file cannot be read.
    """
    for name, language in (("source", source), ("target", target)):
        named(name, language)
    if source == target:
        raise ValueError(f"source={source!r}, target={target!r}: two languages are needed")
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {shown(folder)}")
    sides = [_files(_inside(folder, source, target), language) for language in (source, target)]
    splits = {split: (sides[0][split], sides[1][split]) for split in sides[0] if split in sides[1]}
    if "train" not in splits:
        found = ", ".join(sorted({*sides[0], *sides[1]})) or "none"
        raise FileNotFoundError(
            f"{shown(folder)}: train.{source} and train.{target} are needed, or .gz; splits found: {found}"
        )
    return {split: _pairs(*files) for split, files in splits.items()}


def _inside(folder: Path, source: str, target: str) -> Path:
    """The folder itself, or the first one below it, that has the training split."""
    for one in (folder, *sorted(path for path in folder.rglob("*") if path.is_dir())):
        if "train" in _files(one, source) and "train" in _files(one, target):
            return one
    return folder


def _files(folder: Path, language: str) -> Mapping[str, Path]:
    """Split -> file of a language, sorted by name."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        name = path.name.removesuffix(".gz")
        if name.endswith(f".{language}") and path.is_file():
            split = name.removesuffix(f".{language}")
            found.setdefault(SAME.get(split, split), path)
    return found


def _pairs(one: Path, other: Path) -> list[Pair]:
    sides = [_lines(path) for path in (one, other)]
    if len(sides[0]) != len(sides[1]):
        raise ValueError(
            f"{shown(one)} has {len(sides[0])} lines, and {shown(other)} {len(sides[1])}: a pair has as many"
        )
    for path, lines in zip((one, other), sides, strict=True):
        if not lines:
            raise ValueError(f"{shown(path)} has no lines")
        for number, line in enumerate(lines, 1):
            if not line:
                raise ValueError(f"{shown(path)} line {number}: an empty sentence")
    return list(zip(*sides, strict=True))


def _lines(path: Path) -> list[str]:
    """The lines of a text file, without spaces around them."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{shown(path)} is not a whole gzip file: {error}") from None
    if len(content) > LARGEST:
        raise ValueError(f"{shown(path)} has more than {LARGEST} bytes")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{shown(path)} is not UTF-8 text: {error.reason} at byte {error.start}") from None
    lines = [line.strip() for line in text.replace("\r\n", "\n").split("\n")]
    return lines[:-1] if lines and not lines[-1] else lines
