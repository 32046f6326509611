"""From tensors to arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def as_array(values: Any) -> NDArray[Any]:
    """The same numbers as an array; of tensors also on another device, in a graph, or in bfloat16, unknown to numpy."""
    if isinstance(values, Tensor):
        values = values.float() if values.dtype == torch.bfloat16 else values
        array: NDArray[Any] = values.numpy(force=True)
        return array
    return np.asarray(values)
