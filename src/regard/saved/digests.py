"""Digests inside files: a flipped bit or a lost end is an error when the file is read, not another result.

Each digest is a BLAKE2b of 16 bytes, written as text. It stands where the format of a file has room for it:

    JSON objects     a last key `digest`
    zip archives     (checkpoints of torch, .npz of NumPy) a line after the archive, which their own readers skip
    safetensors      the key `digest` of the metadata

It tells damage, not forgery.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

KEY = "digest"
SIZE = 16  # bytes
_LINE = b"\nregard digest blake2b "
_TRAILER = len(_LINE) + 2 * SIZE + 1
_CHUNK = 1 << 20


class Damaged(ValueError):
    """Content that is not what was written; the message says why, and whoever knows the file adds its name."""


def of(parts: Iterable[bytes]) -> str:
    """The digest of the parts, one after the other."""
    content = hashlib.blake2b(digest_size=SIZE)
    for part in parts:
        content.update(part)
    return content.hexdigest()


def sealed(content: bytes) -> bytes:
    """The content with its digest in a line at the end."""
    return content + _LINE + of([content]).encode() + b"\n"


def opened(content: bytes) -> bytes:
    """What `sealed` was given. Raises: Damaged if the digest is missing or of another content."""
    own, trailer = content[:-_TRAILER], content[-_TRAILER:]
    if not trailer.startswith(_LINE):
        raise Damaged("it has no digest at its end, so it is cut off or from an earlier version")
    if trailer != _LINE + of([own]).encode() + b"\n":
        raise Damaged("its digest is of another content")
    return own


def sealed_object(content: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON object with its digest as its last key."""
    return {**content, KEY: of([_plain(content)])}


def opened_object(text: str | bytes) -> dict[str, Any]:
    """Reads a JSON object that `sealed_object` made, and returns it without its digest.

    Raises: Damaged if the text is no JSON object, or the digest is missing or of another content.
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Damaged(f"it is not JSON ({error})") from error
    if not isinstance(content, dict):
        raise Damaged(f"it is a JSON {type(content).__name__}, not an object")
    if KEY not in content:
        raise Damaged("it has no digest, so it is from an earlier version or was changed")
    found = content.pop(KEY)
    if found != of([_plain(content)]):
        raise Damaged("its digest is of another content")
    return content


def sealed_weights(content: bytes) -> bytes:
    """A file in the format of safetensors, with a digest of its tensors and its metadata in the metadata."""
    length = 8 + int.from_bytes(content[:8], "little")
    header, body = json.loads(content[8:length]), content[length:]
    metadata = dict(header.pop("__metadata__", {}))
    metadata = {**metadata, KEY: of([_plain(header), _plain(metadata), body])}
    named = {"__metadata__": dict(sorted(metadata.items())), **header}  # sorted: the writer's order varies
    text = json.dumps(named, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # the format aligns the tensors
    return len(text).to_bytes(8, "little") + text + body


def check_weights(path: Path) -> None:
    """Checks the digest of a readable safetensors file; a file without one, as from elsewhere, passes.

    Raises: ValueError naming the file if the digest is of another content; OSError if it cannot be read.
    """
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        metadata = dict(header.pop("__metadata__", {}))
        found = metadata.pop(KEY, None)
        if found is None:
            return
        body = iter(lambda: file.read(_CHUNK), b"")
        if found != of(chain([_plain(header), _plain(metadata)], body)):
            raise ValueError(f"{path} is damaged: its digest is of another content; take a copy, or train again")


def _plain(content: Mapping[str, Any]) -> bytes:
    """The same bytes for the same JSON content."""
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
