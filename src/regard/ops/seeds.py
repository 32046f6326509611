"""Seeds made of several parts, and random numbers that follow one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def mixed(*parts: object) -> int:
    """A seed that depends on every part, the same on every machine."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=8).digest())


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """What the block draws follows `seed`; the caller's random state is left alone, on the CPU and on every GPU.

    A GPU that the process has not used before the block is not seeded: starting it here would forbid to fork later.
    """
    used = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=used):
        torch.default_generator.manual_seed(seed)
        if used:
            torch.cuda.manual_seed_all(seed)
        yield
