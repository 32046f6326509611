"""Files of sentences without images: potentials and language models are read from these.

    Flickr8k.token.txt        NAME.jpg#0<tab>A dog runs .        every line has a name and a tab
    reference0, train.1.en    A dog runs .                       one sentence a line
    train.1.en.gz             the same, compressed

Sentences become the tokens of captions: lower case, without punctuation; see `metrics.words.tokens`.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Sequence
from pathlib import Path

from regard.data.images import shown
from regard.data.texts import text
from regard.metrics.words.tokens import tokenise

LARGEST = 2**31  # bytes of a file after decompression; a small archive can hold far more
_KEY = re.compile(r"\S+#\d+\t")  # before each caption of a Flickr token file


def sentences_of(paths: str | Path | Sequence[str | Path]) -> list[tuple[str, ...]]:
    """The sentences of one file or of several, as tokens, in their order; lines without words are left out.

    Args:
        paths: the files; those that end in `.gz` are decompressed. In a file whose first line is one of a Flickr token
            file every line is.

    Raises: ValueError if no file is given, one has no sentence, a line of a token file has no key, or a file is not
        UTF-8 or not gzip; FileNotFoundError if there is no such file; OSError if it cannot be read.
    """
    several = [paths] if isinstance(paths, (str, Path)) else list(paths)
    if not several:
        raise ValueError("paths=[]: at least one file of sentences is needed")
    return [sentence for path in several for sentence in _sentences(Path(path))]


def _sentences(path: Path) -> list[tuple[str, ...]]:
    if not path.is_file():
        raise FileNotFoundError(f"no file {shown(path)}: a file of sentences, one a line, is needed")
    lines = [line for line in _content(path).replace("\r\n", "\n").split("\n") if line.strip()]
    if lines and _KEY.match(lines[0]):
        for number, line in enumerate(lines, 1):
            if not _KEY.match(line):
                raise ValueError(f"{shown(path)}: caption {number} has no NAME#NUMBER and tab before it")
        lines = [line.partition("\t")[2] for line in lines]
    found = [tuple(tokens) for tokens in map(tokenise, lines) if tokens]
    if not found:
        raise ValueError(f"{shown(path)} has no sentence: at least one line of words is needed")
    return found


def _content(path: Path) -> str:
    if path.suffix != ".gz":
        return text(path)
    try:
        with gzip.open(path) as file:
            content = file.read(LARGEST + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{shown(path)} is not a whole gzip file: {error}") from None
    if len(content) > LARGEST:
        raise ValueError(f"{shown(path)} has more than {LARGEST} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{shown(path)} is not UTF-8 text: {error.reason} at byte {error.start}") from None
