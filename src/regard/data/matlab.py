"""Reading MATLAB files of version 5 (`save -v6`, `-v7`): numbers, texts, structs and cells.

The reader of SciPy ends the process (a segmentation fault) for some damaged files, so it is not given a user's file.

    file      128 bytes of header, byte order in the last two; then elements
    element   type, size, content, padded to 8 bytes; up to 4 bytes of content stand in the tag itself
    matrix    an element of elements: flags with the class, sizes, name, then what the class holds

MAT-File Format. The MathWorks, revision for version 7.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

COMPRESSED, MATRIX = 15, 14
NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}  # of elements
CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
CELL, STRUCT, CHAR = 1, 2, 4
TEXTS = {16: "utf-8", 17: "utf-16", 18: "utf-32"}
LARGEST = 2**28  # bytes of a decompressed variable; a map of 1,920 × 1,080 has 16 MB
DEEPEST = 20
MOST = 200_000  # structs and cells of a file; the annotations of 16,185 cars have 130,000


def read(path: Path) -> dict[str, Any]:
    """Reads the variables of a file by name: arrays, texts, a mapping for a struct, a list for a cell.

    An array of several structs, too, is a list. Sizes of one are kept: a number is an array of shape (1, 1).

    Raises: ValueError if the file is damaged or of another kind; OSError if it cannot be read.
    """
    content = path.read_bytes()
    order = {b"IM": "<", b"MI": ">"}.get(content[126:128], "")
    if not order or struct.unpack(f"{order}H", content[124:126])[0] != 0x0100:
        raise ValueError("a MATLAB file of version 5 to 7 is needed; `save -v7` writes it")
    reader = _Reader(order)
    found = {}
    for kind, inner in reader.elements(content[128:]):
        if kind == COMPRESSED:
            kind, inner = next(reader.elements(_decompressed(inner)), (0, b""))
        if kind == MATRIX:
            name, value = reader.matrix(inner)
            found[name] = value
    return found


def _decompressed(content: bytes) -> bytes:
    try:
        unpacker = zlib.decompressobj()
        found = unpacker.decompress(content, LARGEST)
    except zlib.error as error:
        raise ValueError(f"a variable cannot be decompressed: {error}") from None
    if not unpacker.eof:
        raise ValueError(f"a variable is cut short, or larger than {LARGEST >> 20} MiB")
    return found


class _Reader:
    """The elements of a file.

    Args:
        order: `<` or `>`, the byte order.
    """

    def __init__(self, order: str) -> None:
        self.order = order
        self.count = 0

    def elements(self, content: bytes) -> Iterator[tuple[int, bytes]]:
        """Type and content of each element."""
        place = 0
        while place < len(content):
            if place + 8 > len(content):
                raise ValueError("an element is cut short")
            kind, size = struct.unpack(f"{self.order}2I", content[place : place + 8])
            if kind >> 16:  # size and type share four bytes, and the content follows in the other four
                kind, size, start, end = kind & 0xFFFF, kind >> 16, place + 4, place + 8
                if size > 4:
                    raise ValueError("an element is longer than its tag")
            else:
                start = place + 8
                end = start + size + (0 if kind == COMPRESSED else -size % 8)
            if start + size > len(content):
                raise ValueError("an element is cut short")
            yield kind, content[start : start + size]
            place = end

    def matrix(self, content: bytes, depth: int = 0) -> tuple[str, Any]:
        """Name and value of a matrix."""
        self.count += 1
        if depth > DEEPEST or self.count > MOST:
            raise ValueError("structs and cells are nested too deep, or there are too many of them")
        if not content:
            return "", np.zeros((0, 0))
        parts = list(self.elements(content))
        if len(parts) < 3:
            raise ValueError("a matrix without flags, sizes and a name")
        flags = self.numbers(*parts[0])
        if len(flags) < 1:
            raise ValueError("a matrix without flags")
        shape = tuple(int(size) for size in self.numbers(*parts[1]))
        if not shape or min(shape) < 0 or len(shape) > 32:
            raise ValueError(f"a matrix with the sizes {shape}")
        name = parts[2][1].decode("latin1")
        kind, rest = int(flags[0]) & 0xFF, parts[3:]
        if kind in CLASSES:
            return name, self.array(rest, shape, CLASSES[kind])
        if kind == CHAR:
            return name, self.text(rest)
        if kind == CELL:
            return name, [self.inner(part, depth) for part in self.exactly(rest, math.prod(shape))]
        if kind == STRUCT:
            return name, self.structs(rest, math.prod(shape), depth)
        return name, None  # objects, functions, sparse matrices

    def exactly(self, parts: list[tuple[int, bytes]], count: int) -> list[tuple[int, bytes]]:
        if len(parts) != count:
            raise ValueError(f"{len(parts)} elements; {count} are needed")
        return parts

    def inner(self, part: tuple[int, bytes], depth: int) -> Any:
        if part[0] != MATRIX:
            raise ValueError(f"an element of type {part[0]} in a struct or cell")
        return self.matrix(part[1], depth + 1)[1]

    def structs(self, parts: list[tuple[int, bytes]], count: int, depth: int) -> Any:
        if len(parts) < 2:
            raise ValueError("a struct without names of its fields")
        width = self.numbers(*parts[0])
        written = parts[1][1]
        if len(width) != 1 or width[0] < 1 or len(written) % int(width[0]):
            raise ValueError("a struct with damaged names of its fields")
        names = [
            written[start : start + int(width[0])].partition(b"\0")[0].decode("latin1")
            for start in range(0, len(written), int(width[0]))
        ]
        values = self.exactly(parts[2:], count * len(names))
        found = [
            {name: self.inner(values[number * len(names) + place], depth) for place, name in enumerate(names)}
            for number in range(count if names else 0)
        ]
        return found[0] if count == 1 and found else found

    def array(self, parts: list[tuple[int, bytes]], shape: tuple[int, ...], kind: str) -> np.ndarray:
        """Numbers may be stored in a smaller type than their own; of complex ones the real part is read."""
        if not parts:
            raise ValueError("an array without numbers")
        values = self.numbers(*parts[0])
        if len(values) != math.prod(shape):
            raise ValueError(f"an array of {len(values)} numbers; the sizes {shape} need {math.prod(shape)}")
        with np.errstate(invalid="ignore"):  # a damaged file may store fractions for whole numbers
            return values.astype(kind).reshape(shape, order="F")

    def numbers(self, kind: int, content: bytes) -> np.ndarray:
        if kind not in NUMBERS:
            raise ValueError(f"an element of type {kind} where numbers are needed")
        dtype = np.dtype(self.order + NUMBERS[kind])
        if len(content) % dtype.itemsize:
            raise ValueError(f"{len(content)} bytes for numbers of {dtype.itemsize} bytes")
        return np.frombuffer(content, dtype)

    def text(self, parts: list[tuple[int, bytes]]) -> str:
        kind, content = parts[0] if parts else (16, b"")
        if kind in TEXTS:
            ends = {"<": "-le", ">": "-be"}[self.order] if kind != 16 else ""
            return content.decode(TEXTS[kind] + ends, "replace")
        return "".join(chr(int(code)) for code in self.numbers(kind, content) if 0 <= code < 0x110000)
