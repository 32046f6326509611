"""Files that are whole or not there, and folders that one process at a time writes into."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file atomically: an existing file is kept until the new one is completely on the disk.

    Raises: OSError naming the path and the reason.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        if hasattr(os, "O_DIRECTORY"):  # the new directory entry, too, must survive a power failure
            folder = os.open(path.parent, os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise OSError(f"cannot write {path}: {error.strerror or error}") from error


@contextlib.contextmanager
def claimed(folder: Path, command: str) -> Iterator[None]:
    """Creates a run folder, checks that it can be written, and locks it against other commands while the block runs.

    The lock ends with the process, however that ends.

    Args:
        folder: the run folder.
        command: what takes it, for the message that another one gets.

    Raises: OSError if it cannot be made or written, or another command is at work in it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock", timeout=0)
        lock.acquire()
    except Timeout as error:
        raise OSError(f"another {command} is at work in {folder}; wait for it or choose another --out") from error
    except (OSError, NotImplementedError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OSError(f"cannot write to {folder}: {reason}; choose another --out") from error
    try:
        write_whole(folder / ".probe", os.urandom(1 << 16))
        (folder / ".probe").unlink(missing_ok=True)
        yield
    finally:
        lock.release()


def apart(out: Path, data: Path | None, what: str = "dataset") -> None:
    """Checks that a run folder is not in a folder of data, whose next reader would take its files for data.

    Args:
        out: the run folder; it need not exist.
        data: the folder of the data, or a file of them; None for data that are in no folder.
        what: what is in it.

    Raises: ValueError if `out` is the folder of the data or inside it.
    """
    if data is not None and data.is_dir() and out.resolve().is_relative_to(data.resolve()):
        raise ValueError(
            f"out={str(out)!r}: a folder outside the {what} {str(data)!r} is needed, which would take it for data"
        )
