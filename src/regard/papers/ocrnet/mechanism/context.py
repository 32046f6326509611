"""Object context: every pixel attends to a few object regions, one for each class.

Object-Contextual Representations for Semantic Segmentation. Yuan, Chen, Wang. ECCV 2020, arXiv:1909.11065.
Official code: openseg-group/openseg.pytorch; HRNet/HRNet-Semantic-Segmentation, branch HRNet-OCR.

    f_k = Σ_i m_ki x_i,  m_k = softmax_i(s p_ki)        region k of K, from coarse logits p           (1)
    w_ik = softmax_k(φ(x_i) · ψ(f_k) / √D)              pixel i attends to regions                    (2)
    y_i = ρ(Σ_k w_ik δ(f_k))                            object-contextual representation              (3)
    z_i = g([y_i ; x_i])                                augmented representation                      (4)

    φ, ψ: two 1×1 convolutions to D channels, δ, ρ, g: one; each with batch norm and ReLU. Since w sums to 1 over k, the
    convolution of ρ may act on the K regions instead of on the N pixels, which costs less unless K is large.

Place: within a segmentation head (`ocrnet`), behind the last map of a dilated backbone or the concatenated maps of an
    HRNet.
Cost: 2NKC for (1) and (3), NKD for (2), NC(D + O) + ND² for φ and g with O outputs; memory O(NK). No N × N matrix.
Deviations: paper, κ of the relation, does not divide by √D | both releases do | as released. The 1×1 convolutions
    have no biases in HRNet's release | biases in openseg's | `bias`, off by default.
Errata: ports that take the softmax of (1) over the classes are not this mechanism. mmsegmentation's attention fails for
    scales above 1, as it resizes without a size.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regard.checks import check_input, check_norm_batch, flag, number, positive
from regard.core import Attention
from regard.layers import Pointwise
from regard.ops.precision import uncast, widened
from regard.ops.tracing import exporting


class SpatialGather(Attention):
    """One vector for each class: the mean of the map, weighted by that class's logits.

    Args:
        scale: s, what the logits are multiplied by before their softmax.

    Shapes: x `B C H W`, logits `B K H W` -> regions `B C K 1`. Maps: region `B K H W`, m; sums to 1 over positions.
    Raises: ValueError for a scale that is not finite, or if map and logits are not of one size.
    """

    def __init__(self, *, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = number("scale", scale)

    def forward(self, x: Tensor, logits: Tensor) -> Tensor:
        check_input(x, "B C H W")
        check_input(logits, "B K H W", B=x.shape[0])
        if x.shape[2:] != logits.shape[2:]:
            raise ValueError(f"x {tuple(x.shape)}, logits {tuple(logits.shape)}: equal sizes are needed")
        with uncast(x):  # in float16 the weights of a large map would lose their digits
            p = widened(logits).flatten(2)
            m = (p if self.scale == 1 else self.scale * p).softmax(2)  # [B, K, N]
            m = self.see("region", m.unflatten(2, logits.shape[2:])).flatten(2)
            n = widened(x).flatten(2)  # [B, C, N]
            f = n @ m.mT if x.is_contiguous() else (m @ n.mT).mT  # whichever reads x as it lies
            return f[..., None].to(x.dtype)


class ObjectAttention(Attention):
    """Every pixel attends to the object regions.

    Args:
        channels: C of the map and of the regions.
        hidden: D, width of queries, keys and values; None takes C // 2, at least 1, as the releases choose it.
        scale: by which the map is max-pooled before it attends; the result is resized back.
        bias: biases in the 1×1 convolutions.

    Shapes: x `B C H W`, regions `B C K 1` -> `B C H W`. Maps: affinity `B Q K`, Q positions pooled; sums to 1 over K.
    Raises: ValueError for an argument out of range, other shapes, or training where a batch norm sees a single value.
    """

    def __init__(self, channels: int, *, hidden: int | None = None, scale: int = 1, bias: bool = False) -> None:
        super().__init__()
        self.channels = positive("channels", channels)
        self.hidden = max(channels // 2, 1) if hidden is None else positive("hidden", hidden)
        self.scale = positive("scale", scale)
        flag("bias", bias)
        self.pixel = nn.Sequential(embed(channels, self.hidden, bias), embed(self.hidden, self.hidden, bias))
        self.object = nn.Sequential(embed(channels, self.hidden, bias), embed(self.hidden, self.hidden, bias))
        self.down = embed(channels, self.hidden, bias)
        self.up = embed(self.hidden, channels, bias)

    def forward(self, x: Tensor, regions: Tensor) -> Tensor:
        check_input(x, "B C H W", C=self.channels)
        check_input(regions, "B C K 1", B=x.shape[0], C=self.channels)
        check_sides(x, self.scale)
        pooled = F.max_pool2d(x, self.scale) if self.scale > 1 else x
        f = regions.flatten(2)  # [B, C, K]
        q, k, v = self.pixel(pooled.flatten(2)), self.object(f), self.down(f)  # [B, D, N], [B, D, K], [B, D, K]
        with uncast(x):
            w = (widened(k).mT * self.hidden**-0.5 @ widened(q)).softmax(1).to(q.dtype)  # [B, K, N]
        w = self.see("affinity", w.mT, Q=tuple(pooled.shape[2:])).mT
        y = self.project(v, w).unflatten(2, pooled.shape[2:])
        return y if self.scale == 1 else F.interpolate(y, x.shape[2:], mode="bilinear", align_corners=True)

    def project(self, v: Tensor, w: Tensor) -> Tensor:
        """Equation (3), with its convolution on the cheaper side: `B D K`, `B K N` -> `B C N`."""
        out, width = self.up.conv.weight.shape
        if exporting() or v.shape[2] * out <= (v.shape[2] + out) * width:
            return self.up.activate(self.up.conv(v) @ w)
        y: Tensor = self.up(v @ w)
        return y


class ObjectContext(Attention):
    """Object attention, merged with the map that it was computed from.

    Args:
        channels: C of the map and of the regions.
        hidden: D of the attention; None takes C // 2, at least 1.
        out: width of the output; None takes C.
        scale: by which the map is max-pooled before it attends.
        dropout: probability that a whole channel of the output is dropped.
        bias: biases in the 1×1 convolutions.

    Shapes: x `B C H W`, regions `B C K 1` -> `B out H W`. Maps: affinity `B Q K`, as `ObjectAttention` shows it.
    Raises: ValueError for an argument out of range, other shapes, or training where a batch norm sees a single value.
    """

    def __init__(
        self,
        channels: int,
        *,
        hidden: int | None = None,
        out: int | None = None,
        scale: int = 1,
        dropout: float = 0.1,
        bias: bool = False,
    ) -> None:
        super().__init__()
        positive("channels", channels)
        out = channels if out is None else positive("out", out)
        number("dropout", dropout, least=0, most=1)
        self.attention = ObjectAttention(channels, hidden=hidden, scale=scale, bias=bias)
        self.merge = embed(2 * channels, out, bias)
        self.dropout = nn.Dropout2d(dropout)

    def forward(self, x: Tensor, regions: Tensor) -> Tensor:
        y = self.attention(x, regions).flatten(2)
        conv, c = self.merge.conv, x.shape[1]
        weight = conv.weight.expand(x.shape[0], -1, -1)
        z = torch.baddbmm(weight[..., c:] @ x.flatten(2), weight[..., :c], y)  # of [y ; x], without forming it
        z = z if conv.bias is None else z + conv.bias[:, None]
        merged: Tensor = self.dropout(self.merge.activate(z).unflatten(2, x.shape[2:]))
        return merged


class Normed(nn.Module):
    """A convolution, batch norm and ReLU."""

    def __init__(self, conv: Pointwise | nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv
        norm = nn.BatchNorm1d if isinstance(conv, Pointwise) else nn.BatchNorm2d
        self.norm = norm(conv.weight.shape[0])

    def forward(self, x: Tensor) -> Tensor:
        return self.activate(self.conv(x))

    def activate(self, y: Tensor) -> Tensor:
        """Batch norm and ReLU alone."""
        check_norm_batch(self.norm, y)
        normed: Tensor = self.norm(y)
        return normed.relu_()


def check_sides(x: Tensor, scale: int) -> None:
    """Checks that a map can be pooled by `scale`.

    Raises: ValueError otherwise.
    """
    if not exporting() and min(x.shape[2:]) < scale:
        raise ValueError(f"input of shape {tuple(x.shape)}: sides of at least scale={scale} are needed")


def embed(channels: int, out: int, bias: bool) -> Normed:
    """A 1×1 convolution of a flattened map, batch norm and ReLU."""
    return Normed(Pointwise(channels, out, bias=bias))
