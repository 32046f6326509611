"""Digests of datasets, by which a run knows that it goes on with the data that it began with."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import Tensor

from regard.data.batches import Data, samples

MOST = 256  # samples that are read, of a dataset that has no digest of its own
_WRITTEN = (str, bytes, int, float, np.generic, list, tuple, type(None))  # whose repr says all of them


def as_bytes(value: object) -> bytes:
    """The bytes by which two values of a sample are compared; of an object without a known form, its type."""
    if isinstance(value, Tensor):
        raw = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        return f"{value.dtype}{tuple(value.shape)}".encode() + raw.numpy().tobytes()
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{value.shape}".encode() + value.tobytes()
    return (repr(value) if isinstance(value, _WRITTEN) else type(value).__name__).encode()


def digest(data: Data) -> str:
    """The dataset's own `digest`, which covers all of it; without one, a digest of samples at even distances.

    Args:
        data: a map-style dataset that gives the same samples each time.
    """
    own = getattr(data, "digest", None)
    if isinstance(own, str):
        return own
    content = hashlib.blake2b(digest_size=16)
    for i in range(0, len(data), max(1, len(data) // MOST)):
        (sample,) = samples(data, [i])
        for name in sorted(sample):
            content.update(f"\0{name}\0".encode() + as_bytes(sample[name]))
    return content.hexdigest()
