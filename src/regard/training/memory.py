"""Running out of memory, as an error that says what needs less."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

_WORDS = ("DefaultCPUAllocator", "out of memory", "not enough memory", "CUBLAS_STATUS_ALLOC_FAILED")
_ADVICE = "needs less"


def exhausted(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on a processor or a GPU, and has no advice yet."""
    if _ADVICE in str(error):
        return False
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in _WORDS)


@contextmanager
def advised(advice: str) -> Iterator[None]:
    """Raises what the block raises; if it runs out of memory, as a MemoryError with advice.

    Args:
        advice: what needs less memory, for example "a smaller batch size".

    Raises: MemoryError naming the advice and the first line of the reason.
    """
    try:
        yield
    except Exception as error:
        if not exhausted(error):
            raise
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise Advised(f"out of memory: {advice} {_ADVICE} ({reason})") from error


class Advised(MemoryError):
    """Memory ran out, and the message says what needs less."""
