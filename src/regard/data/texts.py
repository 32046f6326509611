"""Reading text and JSON files of a user: every error names the file, and quotes little of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from regard.data.images import shown

QUOTED = 100  # characters of a file that a message quotes at most


def text(path: Path) -> str:
    """The content of a UTF-8 file, without the byte order mark that some editors write.

    Raises: ValueError if the file is not UTF-8; OSError if it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{shown(path)} is not UTF-8 text: {error.reason} at byte {error.start}") from None


def parsed(path: Path) -> Any:
    """The content of a JSON file.

    Raises: ValueError if the file is not JSON, is nested too deep, or has a number of too many digits; OSError if it
        cannot be read.
    """
    try:
        return json.loads(text(path))
    except json.JSONDecodeError as error:
        raise ValueError(f"{shown(path)} line {error.lineno}: not JSON: {error.msg}") from None
    except RecursionError:
        raise ValueError(f"{shown(path)}: not JSON that can be read: it is nested too deep") from None
    except ValueError as error:
        if str(error).startswith(shown(path)):
            raise
        raise ValueError(f"{shown(path)}: not JSON that can be read: {error}") from None  # a number of 4,301 digits


def quoted(value: object) -> str:
    """A value of a file as a message quotes it: its literal, cut where it is long."""
    written = shown(repr(value)) if not isinstance(value, str) else shown(repr(value[: QUOTED + 1]))
    return written if len(written) <= QUOTED else f"{written[:QUOTED]}…"
