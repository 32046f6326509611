"""Scaled dot-product attention in several heads: queries `B h Q D`, keys `B h K D`, values `B h K E` -> `B h Q E`.

A mask has booleans, True where a key is visible: `B K` for all queries together, `B Q K`, or `B h Q K`, where any axis
but the last may be 1. A query that sees no key gets zeros, where a softmax over nothing would be NaN. A mask of numbers
is added to the logits; it has three or four axes.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from regard.ops.precision import uncast
from regard.ops.tracing import exporting


def check(visible: Tensor | None, q: Tensor, k: Tensor, heads: int) -> None:
    """Checks that a mask is one, and fits queries `B Q C` and keys `B K D`.

    Raises: ValueError otherwise.
    """
    if visible is None:
        return
    shape = tuple(visible.shape)
    if not (visible.dtype is torch.bool or (visible.is_floating_point() and visible.ndim > 2)):
        raise ValueError(f"mask of {visible.dtype}, shape {shape}: booleans are needed, True where visible")
    wanted = {2: (), 3: (q.shape[1],), 4: (heads, q.shape[1])}
    fits = visible.ndim in wanted and shape[-1] == k.shape[1]
    if not fits or any(n not in (1, m) for n, m in zip(shape, (q.shape[0], *wanted[visible.ndim]), strict=False)):
        raise ValueError(
            f"mask of shape {shape}: B K, B Q K or B h Q K is needed with B={q.shape[0]}, h={heads}, Q={q.shape[1]}, "
            f"K={k.shape[1]}; any but K may be 1"
        )


def merged(q: Tensor, k: Tensor, visible: Tensor | None, causal: bool) -> Tensor | None:
    """Both masks as one with four axes; an axis on which the mask does not depend has length 1, except the last."""
    if visible is not None and visible.ndim < 4:
        visible = visible[:, None, None] if visible.ndim == 2 else visible[:, None]
    if not causal:
        return visible
    past = torch.arange(q.shape[2], device=q.device)[:, None] >= torch.arange(k.shape[2], device=k.device)
    if visible is None:
        return past[None, None]
    return past & visible if visible.dtype is torch.bool else visible.masked_fill(~past, -torch.inf)


def weights(q: Tensor, k: Tensor, *, scale: float, visible: Tensor | None = None, causal: bool = False) -> Tensor:
    """softmax_k(scale · q·k) over the visible keys: `B h Q K`; rows without a visible key are zero.

    The logits are formed in float32 at least: in half precision they overflow long before the inputs do.
    """
    mask = merged(q, k, visible, causal)
    with uncast(q):
        narrow, wide = q.dtype, torch.promote_types(q.dtype, torch.float32)
        q, k = scale * q.to(wide), k.to(wide)
        if mask is None:
            return (q @ k.mT).softmax(-1).to(narrow)
        if mask.dtype is torch.bool:
            mask = torch.zeros_like(mask, dtype=wide).masked_fill_(~mask, -torch.inf)
        # One more key, which gets no weight beside any visible one, and all of it where there is none.
        k, mask = F.pad(k, (0, 0, 0, 1)), F.pad(mask.to(wide), (0, 1), value=torch.finfo(wide).min)
        return (q @ k.mT).add_(mask).softmax(-1)[..., :-1].to(narrow)


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    scale: float,
    visible: Tensor | None = None,
    causal: bool = False,
    dropout: float = 0.0,
    see: Callable[[Tensor], Tensor] | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Σ_k a_k v_k, and the weights a, before dropout, if `see` asks for them.

    Without it through the fused attention of torch, memory linear in Q and K. On CPU that knows no dropout, and forms
    the matrix silently where keys and values differ in width: so the narrower side is padded with zeros, unless the
    matrix is small.
    """
    narrow, wide = sorted((q.shape[-1], v.shape[-1]))
    padded = q.device.type == "cpu" and narrow < wide
    small = padded and (exporting() or q.shape[2] * k.shape[2] <= 1024**2)
    if see is not None or small or (q.device.type == "cpu" and dropout > 0):
        a = weights(q, k, scale=scale, visible=visible, causal=causal)
        a = a if see is None else see(a)
        a = a.to(v.dtype)  # autocast keeps the values in half precision
        return F.dropout(a, dropout) @ v if dropout > 0 else a @ v, a
    if padded:
        q, k, own = (F.pad(x, (0, wide - x.shape[-1])) for x in (q, k, v))
        return attend(q, k, own, scale=scale, visible=visible, causal=causal)[0][..., : v.shape[-1]], None
    if visible is None:
        return F.scaled_dot_product_attention(q, k, v, is_causal=causal, dropout_p=dropout, scale=scale), None
    mask = merged(q, k, visible, causal)
    assert mask is not None
    if mask.dtype is not torch.bool:
        return F.scaled_dot_product_attention(q, k, v, mask.to(q.dtype), dropout_p=dropout, scale=scale), None
    some = mask.any(-1, keepdim=True)
    y = F.scaled_dot_product_attention(q, k, v, mask | ~some, dropout_p=dropout, scale=scale)
    return y.masked_fill(~some, 0), None
