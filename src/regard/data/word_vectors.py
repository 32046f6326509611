"""GloVe's text files: a word a line, followed by its vector.

    the 0.04656 0.21318 -0.0074364 …

`glove.6B.300d.txt` and the like, also `.gz`. A word may hold spaces (`glove.840B.300d.txt` has `. . .`); a first line
of two whole numbers, as word2vec's text files have, is passed over.

GloVe: Global Vectors for Word Representation. Pennington, Socher, Manning. EMNLP 2014.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from regard.checks import number
from regard.data.images import shown
from regard.data.texts import quoted
from regard.data.words import Words
from regard.ops.words import PAD, SPECIAL

LONGEST = 2**20  # bytes of a line; 300 numbers need 3,000
SCALE = 0.1  # standard deviation of the rows of words without a vector


@dataclass(frozen=True)
class Vectors:
    """The vectors of a vocabulary.

    Args:
        weight: float `V D`, for an embedding; the row of padding is zero, and words without a vector have random rows.
        missing: the words without a vector; the special ones are not among them.
    """

    weight: Tensor
    missing: tuple[str, ...]


def load(path: Path, words: Words, *, scale: float = SCALE, seed: int = 0) -> Vectors:
    """Reads the vectors of the words of a vocabulary; other lines are not kept.

    Args:
        path: the file, or a `.gz` of it.
        words: the vocabulary.
        scale: the standard deviation of the rows of words without a vector; 0 makes these zero.
        seed: of these rows.

    Raises: ValueError naming file and line, if a line has another number of values than the first, a value is no finite
        number, a word stands twice with different vectors, or the file is empty, not UTF-8, not gzip, or has none of
        the words; OSError if it cannot be read.
    """
    number("scale", scale, least=0)
    rows = {token: row for row, token in enumerate(words.tokens) if row >= len(SPECIAL)}
    found: dict[int, NDArray[np.float32]] = {}
    width: int | None = None
    for line_number, line in _lines(path):
        if width is None:
            width = _width(line)
            if width is None:
                continue  # word2vec's first line: how many words, and how many values
        word, *values = line.rsplit(" ", width)
        if len(values) != width or not word or any(map(_is_value, word.split(" ")[1:])):
            raise ValueError(f"{shown(path)} line {line_number}: a word and {width} values are needed, as in the first")
        row = rows.get(word)
        if row is None:
            continue
        vector = _values(values, f"{shown(path)} line {line_number}, {quoted(word)}")
        if row in found and not np.array_equal(found[row], vector):
            raise ValueError(f"{shown(path)} line {line_number}: {quoted(word)} has a vector already, another one")
        found[row] = vector
    if width is None:
        raise ValueError(f"{shown(path)} has no vectors: a word and its values a line are needed")
    if not found:
        raise ValueError(f"{shown(path)} has none of the {len(rows)} words of the vocabulary")
    weight = scale * torch.randn(len(words), width, generator=torch.Generator().manual_seed(seed))
    weight[PAD] = 0
    for row, vector in found.items():
        weight[row] = torch.from_numpy(vector)
    return Vectors(weight, tuple(words.tokens[row] for row in rows.values() if row not in found))


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines that are not empty, with their numbers."""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        line_number = 0
        while True:
            try:
                raw = file.readline(LONGEST)
            except (gzip.BadGzipFile, EOFError, zlib.error) as error:
                raise ValueError(f"{shown(path)} is not a whole gzip file: {error}") from None
            if not raw:
                return
            line_number += 1
            if len(raw) == LONGEST:
                raise ValueError(f"{shown(path)} line {line_number} has {LONGEST} bytes or more: vectors are shorter")
            try:
                line = raw.decode("utf-8").rstrip("\r\n ")
            except UnicodeDecodeError as error:
                reason = f"{error.reason} at byte {error.start}"
                raise ValueError(f"{shown(path)} line {line_number} is not UTF-8 text: {reason}") from None
            if line:
                yield line_number, line


def _width(line: str) -> int | None:
    """The number of values of the first line: what stands behind its word; None for word2vec's two whole numbers."""
    parts = line.split(" ")
    if len(parts) == 2 and all(part.isdigit() for part in parts):
        return None
    return max(1, len(parts) - 1)


def _values(parts: list[str], where: str) -> NDArray[np.float32]:
    try:
        values = np.array([float(part) for part in parts], np.float32)
    except ValueError:
        raise ValueError(f"{where}: {len(parts)} numbers are needed behind the word") from None
    if not np.isfinite(values).all():
        raise ValueError(f"{where}: finite numbers are needed")
    return values


def _is_value(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
