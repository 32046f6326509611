"""Attention in explicit form, of functions that never form their map or form it where nobody can listen."""

from __future__ import annotations

import math
from types import FunctionType
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


def attention_weights(query: Tensor, key: Tensor, mask: Tensor | None, causal: bool, scale: float | None) -> Tensor:
    """The weights of `F.scaled_dot_product_attention`, `softmax(scale · q kᵀ + mask)`; of a row without keys zeros.

    Shapes: query `… Q d`, key `… K d`, mask broadcast to `… Q K` -> `… Q K`.
    """
    wide = torch.promote_types(query.dtype, torch.float32)  # as the fused forms accumulate
    scores = (query.to(wide) * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)) @ key.to(wide).mT
    if causal:
        later = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(1)
        scores = scores.masked_fill(later, -math.inf)
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else scores + mask
    weights = scores.softmax(-1)
    if causal or mask is not None:
        weights = weights.masked_fill(scores.isneginf().all(-1, keepdim=True), 0)
    return weights.to(query.dtype)


def grouped(query: Tensor, key: Tensor) -> Tensor:
    """Keys, or values, repeated for the queries of their group of heads."""
    groups = query.shape[-3] // key.shape[-3]
    return key if groups == 1 else key.repeat_interleave(groups, -3)


def _never(_: Any) -> bool:
    return False


# F.multi_head_attention_forward hands itself to the active mode as a whole, which would hide what it does. This is the
# same code, which does not: its steps reach the mode one by one.
multi_head_attention = FunctionType(
    F.multi_head_attention_forward.__code__,
    {**F.multi_head_attention_forward.__globals__, "has_torch_function": _never},
    "multi_head_attention",
    F.multi_head_attention_forward.__defaults__,
    F.multi_head_attention_forward.__closure__,
)
multi_head_attention.__kwdefaults__ = F.multi_head_attention_forward.__kwdefaults__
