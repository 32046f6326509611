"""Mutated files and what a reader may do with them: mutations of every kind, reproducible from a seed.

A reader may accept a mutated file, or raise a ValueError, TypeError, LookupError or OSError that names the file; every
other exception, a hang and memory out of proportion are failures.
"""

from __future__ import annotations

import io
import json
import random
import signal
import struct
import sys
import traceback
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

SECONDS = 20  # for one file of a few kilobytes: a reader that takes longer hangs
MEMORY = 2**30  # bytes that reading small files may add to the process
NUMBERS = (0, 1, -1, 127, 128, 255, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**48, 2**62, 2**63 - 1, 2**64 - 1)
TEXTS = (
    "", "0", "-1", "1e308", "1e999", "-1e999", "NaN", "Infinity", "-Infinity", "null", "true", "0x10", "1_0", "٣", "½",
    "9" * 40, "9" * 5000, "[" * 5000, "{\"a\":" * 5000, "\"", "'", ",", "\\", "\x00", "\r", "\ufeff", "\u2028",
    "../../x", "/", "~", "a" * 70_000, "()", "__import__('os')", "<script>", "%s", "{}",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2.5, 1e308, 10**30, float("nan"), float("inf"), "", "x", "x" * 300, "\x00", "\ud800",
    [], {}, [[]], [None], {"": None}, [0] * 7, ["x"], {"x": {"x": []}}, -0.0, "9" * 5000,
)  # fmt: skip

Change = Callable[[bytes, random.Random], bytes]


def _flip(content: bytes, draw: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(draw.choice((1, 1, 1, 2, 8))):
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def _cut(content: bytes, draw: random.Random) -> bytes:
    return content[: draw.choice((0, 1, len(content) - 1, draw.randrange(len(content)), draw.randrange(len(content))))]


def _remove(content: bytes, draw: random.Random) -> bytes:
    start = draw.randrange(len(content))
    return content[:start] + content[start + draw.choice((1, 2, 4, 64)) :]


def _insert(content: bytes, draw: random.Random) -> bytes:
    place = draw.randrange(len(content) + 1)
    return content[:place] + draw.randbytes(draw.choice((1, 2, 4, 64))) + content[place:]


def _repeat(content: bytes, draw: random.Random) -> bytes:
    start, size = draw.randrange(len(content)), draw.choice((1, 4, 16, 64))
    return content[: start + size] + content[start : start + size] * draw.choice((1, 3)) + content[start + size :]


def _swap(content: bytes, draw: random.Random) -> bytes:
    a, b, c, d = sorted(draw.choices(range(len(content) + 1), k=4))
    return content[:a] + content[c:d] + content[b:c] + content[a:b] + content[d:]


def _number(content: bytes, draw: random.Random) -> bytes:
    size = draw.choice((1, 2, 4, 8))
    value = (draw.choice(NUMBERS) % 2 ** (8 * size)).to_bytes(size, draw.choice(("little", "big")))
    start = draw.choice((draw.randrange(len(content)), draw.randrange(min(len(content), 64))))
    return content[:start] + value + content[start + size :]


def _encoding(content: bytes, draw: random.Random) -> bytes:
    kind = draw.choice(("utf-16", "utf-32", "utf-8-sig", "cp037"))
    return content.decode("utf-8", "replace").encode(kind, "replace")


def _replaced_number(content: bytes, draw: random.Random) -> bytes:
    """One number of the text replaced by another text."""
    spans, start = [], None
    for place, byte in enumerate([*content, 32]):
        digit = chr(byte) in "0123456789.-"
        if digit and start is None:
            start = place
        elif not digit and start is not None:
            spans.append((start, place))
            start = None
    if not spans:
        return _flip(content, draw)
    first, last = draw.choice(spans)
    return content[:first] + draw.choice(TEXTS).encode() + content[last:]


def _replaced_text(content: bytes, draw: random.Random) -> bytes:
    start = draw.randrange(len(content) + 1)
    return content[:start] + draw.choice(TEXTS).encode() + content[start + draw.choice((0, 1, 5)) :]


def _lines(content: bytes, draw: random.Random) -> bytes:
    lines = content.split(b"\n")
    way = draw.choice(("shuffle", "drop", "double", "fields"))
    place = draw.randrange(len(lines))
    if way == "shuffle":
        draw.shuffle(lines)
    elif way == "drop":
        del lines[place]
    elif way == "double":
        lines.insert(place, lines[place])
    else:
        mark = draw.choice((b",", b" "))
        fields = lines[place].split(mark)
        draw.shuffle(fields)
        lines[place] = mark.join(fields[: draw.choice((1, len(fields), len(fields)))])
    return b"\n".join(lines)


def _json(content: bytes, draw: random.Random) -> bytes:
    """One value of each JSON line replaced, removed, moved or nested deep; text that is no JSON is changed as text."""
    lines = content.split(b"\n") if content.count(b"\n{") else [content]
    number = draw.randrange(len(lines))
    try:
        tree = json.loads(lines[number])
    except (ValueError, RecursionError):
        return _replaced_text(content, draw)
    lines[number] = json.dumps(changed(tree, draw)).encode()
    if draw.random() < 0.05:
        lines[number] = lines[number].replace(b"null", b"[" * 100_000, 1)
    return b"\n".join(lines)


def changed(tree: Any, draw: random.Random) -> Any:
    """A JSON tree with one node changed; every node is as likely as the others."""
    holder = [tree]
    nodes: list[tuple[Any, Any]] = [(holder, 0)]
    for held, key in nodes:
        inner = held[key]
        if isinstance(inner, dict):
            nodes += [(inner, name) for name in inner]
        elif isinstance(inner, list):
            nodes += [(inner, place) for place in range(len(inner))]
    held, key = draw.choice(nodes)
    way = draw.choice(("value", "value", "value", "remove", "other", "copy"))
    if way == "remove" and held is not holder:
        del held[key]
    elif way == "other":
        other, name = draw.choice(nodes)
        held[key] = json.loads(json.dumps(other[name]))
    elif way == "copy" and isinstance(held, dict):
        held[draw.choice(("", "x", "format", "file_name"))] = held[key]
    else:
        held[key] = draw.choice(VALUES)
    return holder[0]


def _npy(content: bytes, draw: random.Random) -> bytes:
    """The header of an .npy file with another shape, type or order."""
    if content[:6] != b"\x93NUMPY":
        return _flip(content, draw)
    size = int.from_bytes(content[8:10], "little")
    shapes = ("()", "(0,)", "(1000000000000,)", "(3000000000,)", "(-1,)", "(2, 3, 5, 7)", "(9, " * 30 + ")" * 30, "x")
    kinds = ("'<f8'", "'|O'", "'<U9'", "'|V99999'", "[('a', '<f4')]", "'>i8'", "None", "'|b1'", "'<M8[s]'", "'|S7'")
    header = f"{{'descr': {draw.choice(kinds)}, 'fortran_order': {draw.choice(('False', 'True', '2'))}, "
    header += f"'shape': {draw.choice(shapes)}, }}\n"
    return content[:8] + len(header).to_bytes(2, "little") + header.encode() + content[10 + size :]


def _zip(content: bytes, draw: random.Random) -> bytes:
    """An archive with one member changed, renamed, removed, repeated, or grown to a bomb; its checksums are right."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    except Exception:  # an earlier change left no archive
        return _flip(content, draw)
    if not members:
        return _flip(content, draw)
    place = draw.randrange(len(members))
    name, inner = members[place]
    way = draw.choice((*["inner", "npy"] * 5, *["rename", "remove", "swap"] * 2, "bomb"))
    if way in ("inner", "npy") and inner:
        members[place] = name, draw.choice((_flip, _cut, _number) if way == "inner" else (_npy,))(inner, draw)
    elif way == "rename":
        members[place] = draw.choice(("../x", "x.npy", members[-1][0] + "x", "x", "é")), inner
    elif way == "remove":
        del members[place]
    elif way == "swap":
        other = draw.randrange(len(members))
        members[place], members[other] = (name, members[other][1]), (members[other][0], inner)
    elif way == "bomb":
        members[place] = name, _bomb(inner)
    out = io.BytesIO()
    kind = zipfile.ZIP_DEFLATED if way == "bomb" else zipfile.ZIP_STORED
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(out, "w", kind) as archive:  # two of one name
        for name, inner in members:
            archive.writestr(name, inner)
    return out.getvalue()


def _bomb(inner: bytes) -> bytes:
    """As much as MEMORY / 64 of zeros, which a kilobyte or so of an archive holds; as an array where it was one."""
    size = MEMORY // 64
    if inner[:6] != b"\x93NUMPY":
        return bytes(size)
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({size},), }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(size)


def _safetensors(content: bytes, draw: random.Random) -> bytes:
    """The header with another length, or one of its values changed; the description in it may be what is changed."""
    size = int.from_bytes(content[:8], "little")
    if size > len(content):
        return _flip(content, draw)
    header, data = content[8 : 8 + size], content[8 + size :]
    way = draw.choice(("length", "header", "header", "description", "description", "description"))
    if way == "length":
        return draw.choice(NUMBERS).to_bytes(9, "little", signed=True)[:8] + header + data
    try:
        tree = json.loads(header)
    except (ValueError, RecursionError):
        return _flip(content, draw)
    described = tree.get("__metadata__", {}) if isinstance(tree, dict) else {}
    if way == "description" and described:
        key = draw.choice(sorted(described))
        try:
            described[key] = json.dumps(changed(json.loads(described[key]), draw))
        except (TypeError, ValueError, RecursionError):
            described[key] = draw.choice(TEXTS)
    else:
        tree = changed(tree, draw)
    written = json.dumps(tree).encode("utf-8", "surrogatepass")
    return len(written).to_bytes(8, "little") + written + data


def _png(content: bytes, draw: random.Random) -> bytes:
    """A PNG that claims another size, depth or kind in its header, with the right checksum."""
    if content[12:16] != b"IHDR":
        return _number(content, draw)
    sizes = (0, 1, 2, 7, 8192, 65535, 2**20, 2**31 - 1, 2**32 - 1)
    header = struct.pack(">II", draw.choice(sizes), draw.choice(sizes))
    header += bytes((draw.choice((1, 2, 4, 8, 16, 99)), draw.choice((0, 2, 3, 4, 6, 9)), 0, 0, draw.choice((0, 1))))
    return content[:16] + header + struct.pack(">I", zlib.crc32(b"IHDR" + header)) + content[33:]


BYTES: tuple[Change, ...] = (_flip, _flip, _cut, _remove, _insert, _repeat, _swap, _number)
KINDS: dict[str, tuple[Change, ...]] = {
    "bytes": BYTES,
    "text": (*BYTES, _encoding, _lines, _lines, _replaced_number, _replaced_number, _replaced_text),
    "json": (_flip, _cut, _remove, _insert, _encoding, _replaced_number, _replaced_text, _json, _json, _json, _json),
    "png": (*BYTES, _png, _png),
    "zip": (*BYTES, _zip, _zip, _zip, _zip),
    "safetensors": (*BYTES, _safetensors, _safetensors, _safetensors, _safetensors, _safetensors, _safetensors),
}


def mutations(content: bytes, seed: int, kind: str = "bytes") -> Iterator[bytes]:
    """Mutations of a file without end, each by one to three changes; the same ones for the same seed.

    Args:
        content: of the valid file.
        seed: of the drawing.
        kind: a key of KINDS: what format the changes know of.
    """
    draw = random.Random(seed)
    while True:
        mutated = content
        for _ in range(draw.choice((1, 1, 1, 2, 3))):
            mutated = draw.choice(KINDS[kind])(mutated or b"\x00", draw)
        yield mutated


class Hangs(BaseException):
    """A reader takes too long; not an Exception, so that no reader can take it for a damaged file."""


@contextmanager
def _bounded() -> Iterator[None]:
    """Raises Hangs in the block after SECONDS, where the system has such a signal."""

    def late(signum: int, frame: object) -> None:
        raise Hangs(f"more than {SECONDS} s")

    if not hasattr(signal, "setitimer"):
        yield
        return
    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _peak() -> int:
    """The most memory that the process has had so far, in bytes; 0 on systems that do not tell."""
    try:
        import resource
    except ImportError:
        return 0
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


@dataclass(frozen=True)
class Fuzzing:
    """Asks a reader for mutations and gathers what it must not do."""

    def __call__(
        self,
        read: Callable[[], object],
        cases: Iterable[tuple[object, str]],
        *,
        same: object = None,
        short: bool = True,
    ) -> tuple[int, int]:
        """Reads every case.

        Args:
            read: reads what the case has written.
            cases: (what the case is, the text that an error has to name), each written when it is drawn.
            same: what reading has to give where it gives anything, for files with a digest; None for any.
            short: whether an error has to be short; one that quotes words of the command line need not be.

        Returns: how many cases were read, and how many refused.
        Raises: AssertionError with one case of each kind of failure.
        """
        wrong: dict[str, str] = {}
        before, counts = _peak(), [0, 0]
        for case, named in cases:
            try:
                with _bounded():
                    found = read()
            except (ValueError, TypeError, LookupError, OSError) as error:
                counts[1] += 1
                if named not in str(error) or (short and len(str(error)) > 5000):
                    wrong.setdefault(_where(error), f"{case}: does not name {named!r} shortly: {error!r:.300}")
            except (Exception, Hangs) as error:
                wrong.setdefault(_where(error), f"{case}: {error!r:.300}")
            else:
                counts[0] += 1
                if same is not None and found != same:
                    wrong.setdefault("result", f"{case}: reads another result than was written")
        grown = _peak() - before
        assert not wrong, f"{len(wrong)} kinds of failure:\n" + "\n".join(f"{at}: {seen}" for at, seen in wrong.items())
        assert grown < MEMORY, f"{grown / 2**20:.0f} MiB for files of kilobytes"
        return counts[0], counts[1]


def _where(error: BaseException) -> str:
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if "regard" in frame.filename]
    last = own[-1] if own else traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}"


@pytest.fixture
def fuzzing() -> Fuzzing:
    """The function that asks a reader for all cases."""
    return Fuzzing()


@pytest.fixture
def mutated() -> Callable[[bytes, int, str], Iterator[bytes]]:
    """The generator of mutations."""
    return mutations
