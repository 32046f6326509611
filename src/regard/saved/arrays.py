"""Reading archives of arrays (.npz) of a bounded size, whatever they claim."""

from __future__ import annotations

import io
import math
import zipfile
from typing import Any

from numpy.lib import format as npy
from numpy.typing import NDArray

LARGEST = 2**31  # bytes of all arrays; those of a comparison of 100,000 test images have a tenth


def read(content: bytes) -> dict[str, NDArray[Any]]:
    """The arrays of an archive that `numpy.savez` or `numpy.savez_compressed` wrote, by name.

    Raises: ValueError if it is none, is damaged, or unpacks to more than LARGEST.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            size = sum(member.file_size for member in members)
            if size > LARGEST:
                raise ValueError(f"it unpacks to {size:,} bytes; at most {LARGEST:,} are accepted")
            return {member.filename.removesuffix(".npy"): _array(archive.read(member)) for member in members}
    except (ValueError, MemoryError):
        raise
    except Exception as error:  # archives and headers raise many types
        raise ValueError(f"it is no archive of arrays: {str(error)[:200]}") from error


def _array(content: bytes) -> NDArray[Any]:
    """One array. The size that its header claims is compared with what is there before any memory is taken."""
    file = io.BytesIO(content)
    version = npy.read_magic(file)
    header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, kind = header(file)
    if kind.hasobject or min(shape, default=0) < 0 or math.prod(shape) * kind.itemsize != len(content) - file.tell():
        raise ValueError(f"an array of shape {shape} and type {kind} has {len(content) - file.tell()} bytes")
    found: NDArray[Any] = npy.read_array(io.BytesIO(content), allow_pickle=False)
    return found
