"""Pairwise attention over flattened positions: queries `B Q D`, keys `B K D`, values `B K E` -> `B Q E`.

Each kind of weights has two forms: the weights themselves, for watching (`*_weights`), and the attended values
without ever forming a Q × K matrix.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from regard.ops.precision import uncast
from regard.ops.tracing import exporting


def logits(q: Tensor, k: Tensor, *, scale: float = 1.0) -> Tensor:
    """scale · q·k in float32 at least: in half precision it overflows long before the inputs do.

    Shapes: `B Q D`, `B K D` -> `B Q K`.
    """
    with uncast(q):
        wide = torch.promote_types(q.dtype, torch.float32)
        q, k = q.to(wide), k.to(wide)
        return (q if scale == 1 else scale * q) @ k.mT


def softmax_weights(q: Tensor, k: Tensor, *, scale: float = 1.0) -> Tensor:
    """softmax_k(scale · q·k): `B Q D`, `B K D` -> `B Q K`."""
    with uncast(q):
        return logits(q, k, scale=scale).softmax(-1).to(q.dtype)


def softmax_attend(q: Tensor, k: Tensor, v: Tensor, *, scale: float = 1.0) -> Tensor:
    """softmax_k(scale · q·k) v through torch's fused attention, with memory linear in Q and K.

    On CPU the fused path is only taken for four dimensions, contiguous last dimensions and equal widths of queries and
    values; otherwise the Q × K matrix is formed silently. So the narrower side is padded with zeros, which change
    neither the logits nor the values that are kept. Forming the matrix is faster where it is small, and the more is
    padded, the larger it may be for that.
    """
    width, out = q.shape[-1], v.shape[-1]
    if not exporting():
        queries, keys = q.shape[1], k.shape[1]
        # One query or key may have any stride there and still count as contiguous; CUDA's kernels then find none of
        # theirs aligned and raise. Its matrix is no larger than the inputs.
        forms = queries == 1 or keys == 1
        if q.device.type == "cpu":
            small = min(max(16 * abs(width - out), 256), 4096) ** 2
            forms = forms or keys <= max(128, width) or queries * keys <= small
        if forms:
            return softmax_weights(q, k, scale=scale) @ v
    if width < out:
        q, k = F.pad(q, (0, out - width)), F.pad(k, (0, out - width))
    elif out < width:
        v = F.pad(v, (0, width - out))
    q, k, v = (t[:, None].contiguous() for t in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v, scale=scale)[:, 0, :, :out]


def product_weights(q: Tensor, k: Tensor) -> Tensor:
    """q·k / K: `B Q D`, `B K D` -> `B Q K`."""
    return (q / k.shape[1]) @ k.mT


def product_attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """(q·k / K) v in the cheaper order of its factors, linear in Q and K for large maps."""
    queries, keys, width, out = q.shape[1], k.shape[1], q.shape[2], v.shape[2]
    if not exporting() and queries * keys * (width + out) < (queries + keys) * width * out:
        return product_weights(q, k) @ v
    return q @ (k.mT @ (v / keys))


def sum_weights(a: Tensor, b: Tensor) -> Tensor:
    """relu(a_q + b_k) / K: `B Q`, `B K` -> `B Q K`."""
    return (a[:, :, None] + b[:, None]).relu() / b.shape[1]


def sum_attend(a: Tensor, b: Tensor, v: Tensor) -> Tensor:
    """Σ_k relu(a_q + b_k) v_k / K: `B Q`, `B K`, `B K E` -> `B Q E`, for large maps in memory linear in Q and K.

    With b descending, the keys that query q attends to are a prefix, of length n_q = #{k : b_k > -a_q}. So
    y_q = (a_q V_n + W_n) / K, where V and W are running sums of v_k and of b_k v_k. They run in float64: long sums
    would otherwise lose digits that the direct form keeps. ONNX has no search in a sorted list.
    """
    if exporting() or a.shape[1] * b.shape[1] <= 1024**2:
        return sum_weights(a, b) @ v
    wide, out = torch.float64, v.shape[2]
    b, order = b.to(wide).sort(1, descending=True)
    v = v.to(wide).gather(1, order[..., None].expand(-1, -1, out))
    running = torch.cat([v, b[..., None] * v], -1).cumsum(1)  # [B, K, 2E]
    running = F.pad(running, (0, 0, 1, 0))  # the prefix of length 0
    count = torch.searchsorted(-b.detach(), a.detach().to(wide))  # [B, Q]: keys with -b < a
    sums = running.gather(1, count[..., None].expand(-1, -1, 2 * out))  # [B, Q, 2E]
    return torch.addcmul(sums[..., out:], a.to(wide)[..., None], sums[..., :out]).div(b.shape[1]).to(a.dtype)
