"""Arrays of numpy from tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def as_array(values: object) -> NDArray[Any]:
    """Returns values as an array, also those of tensors in a graph, in bfloat16, or on another device."""
    if isinstance(values, Tensor):
        values = values.float() if values.dtype == torch.bfloat16 else values
        array: NDArray[Any] = values.numpy(force=True)
        return array
    return np.asarray(values)
