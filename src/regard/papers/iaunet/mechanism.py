"""Interaction-aggregation-update: body parts, frames and channels exchange features by their relations.

IAUnet: Global Context-Aware Feature Learning for Person Re-Identification. Hou, Ma, Chang, Gu, Shan, Chen. TNNLS 2020,
arXiv:2009.01035.
Official code: blue-blue272/ImgReID-IAnet.

    z = x + BN(W₁ softmax(X Xᵀ) X)                   X: C × N of an image, CT × N of a video          (1)
    m = σ(BN(W_m z)),  p_tk = W_g Σ_n m_tkn z_tn     P parts in each frame, C / 2 channels            (2)
    u = W_g mean(z)                                  the whole image or video                         (3)
    e_ij = BN(w · [|p_i - p_j| ; u])                 i, j: parts of the frames                        (4)
    A = softmax_j(e)                                 other parts of one frame, one part of others     (5)
    q_i = relu(BN(W_q [p_i ; Σ_j A_ij p_j]))                                                          (6)
    y_t = z_t + BN(W₂ [mean_k q_tk ; u])             the same at every position                       (7)

    (1) is the channel unit, (2) to (7) are the spatial, for video the spatial-temporal one.

Place: after stages 2 and 3 of a ResNet-50 whose last stride is 1.
Cost: 2NC² + C³ multiplications for (1), 2NCM + NC² with the M = CT rows of a video; NC(2P + 1) for the rest. Memory
    O(NC + C²); of a video the M² weights are formed only to learn, while hardly larger than the map, or watched.
Deviations: the masks are supervised by part labels in training | the released module returns them with the map |
    `return_mask`. The released video module cuts its relation at the longest video that it is built for | any length
    here. Released for even C alone | any C.
Errata: a part is a sum over its mask, not a mean: versions that divide by the mask's size are not this mechanism.
"""

from __future__ import annotations

import math
from typing import TypeVar

import torch
from torch import Tensor, nn

from regard.checks import bottleneck_width, check_input, check_norm_batch, choice, flag, positive, whole
from regard.core import Attention
from regard.layers import Pointwise
from regard.ops.affinity import softmax_attend, softmax_weights
from regard.ops.precision import uncast, wide_linear, wide_norm, widened
from regard.ops.tracing import exporting

_AXES = {2: "B C H W", 3: "B C T H W"}
_Layer = TypeVar("_Layer", Pointwise, nn.Linear)


class ChannelInteraction(Attention):
    """Every channel takes up similar channels.

    Args:
        channels: C of the input.
        dims: 2 for images, 3 for video, where every channel of every frame is one row.

    Shapes: x `B C H W` or `B C T H W`, returned alike. Maps: affinity `B M M`, M = C or C times T; rows sum to 1.
    Raises: ValueError for other dims, or in training where a batch norm sees a single value.
    """

    def __init__(self, channels: int, *, dims: int = 2) -> None:
        super().__init__()
        self.dims = choice("dims", dims, (2, 3))
        self.channels = positive("channels", channels)
        self.out = _initialised(Pointwise(channels, channels))
        self.norm = _from_zero(nn.BatchNorm1d(channels))

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, _AXES[self.dims], C=self.channels)
        with uncast(x):  # products of positions overflow half precision
            n = widened(x).flatten(1, -3).flatten(2)  # [B, M, N]
            y = self.mix(n, x.shape[1])  # [B, C, N or TN]
            check_norm_batch(self.norm, y)
            y = wide_norm(self.norm, y)
        return x + y.to(x.dtype).view(x.shape)

    def mix(self, n: Tensor, channels: int) -> Tensor:
        """W₁ softmax(X Xᵀ) X: `B M N` -> `B C N`, or `B C TN` of a video."""
        rows, positions = n.shape[1:]
        image, learning = self.dims == 2, torch.is_grad_enabled() and n.requires_grad  # the fused backward is slower
        if self.watched or image or (learning and not exporting() and rows <= max(1024, 2 * positions)):
            a = self.see("affinity", softmax_weights(n, n))  # [B, M, M]
            if image and (exporting() or channels < positions):  # one product fewer with the N columns
                mixed = widened(self.out.weight) @ a
                return torch.baddbmm(widened(self.out.bias)[:, None], mixed, n)  # type: ignore[arg-type]
            y = a @ n
        else:
            y = softmax_attend(n, n, n)
        return _wide(self.out, y.unflatten(1, (channels, -1)).flatten(2))


class SpatialInteraction(Attention):
    """Body parts, and the frames of a video, update each other, and every position takes the result up.

    Args:
        channels: C of the input.
        hidden: width of a part's features; None takes C // 2.
        parts: P, how many masks there are.
        dims: 2 for images, 3 for video.
        return_mask: return the masks too, to be supervised.

    Shapes: x `B C H W` or `B C T H W`, returned alike; with `return_mask` also `B P H W` or `B T P H W`. Maps: mask, as
        returned, in (0, 1); relation `B M M`, M = P or T times P parts, frame by frame; rows sum to 1.
    Raises: ValueError for other dims, fewer than 2 parts, or a width below 1; in training where a batch norm sees a
        single value, as with one image.
    """

    def __init__(
        self,
        channels: int,
        *,
        hidden: int | None = None,
        parts: int = 4,
        dims: int = 2,
        return_mask: bool = False,
    ) -> None:
        super().__init__()
        hidden = bottleneck_width(channels, 2, hidden)
        self.channels = channels
        self.dims = choice("dims", dims, (2, 3))
        self.parts = whole("parts", parts, 2)
        self.return_mask = flag("return_mask", return_mask)
        self.mask = _initialised(Pointwise(channels, parts))
        self.mask_norm = nn.BatchNorm1d(parts)
        self.reduce = _initialised(nn.Linear(channels, hidden))
        self.relate = _initialised(nn.Linear(2 * hidden, 1))
        self.relate_norm = nn.BatchNorm1d(1)
        self.update = _initialised(nn.Linear(2 * hidden, hidden))
        self.update_norm = nn.BatchNorm1d(hidden)
        self.out = _initialised(nn.Linear(2 * hidden, channels))
        self.norm = _from_zero(nn.BatchNorm1d(channels))

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        check_input(x, _AXES[self.dims], C=self.channels)
        with uncast(x):  # sums over positions overflow half precision
            n = widened(x if self.dims == 3 else x[:, :, None]).flatten(3)  # [B, C, T, N]
            m = _wide(self.mask, n.flatten(2))
            check_norm_batch(self.mask_norm, m)
            m = wide_norm(self.mask_norm, m).sigmoid().unflatten(2, n.shape[2:]).transpose(1, 2)  # [B, T, P, N]
            mask = m.unflatten(3, x.shape[-2:])
            mask = self.see("mask", mask if self.dims == 3 else mask[:, 0])
            m = mask.view(m.shape) if mask.is_contiguous() else mask.reshape(m.shape)
            q, u = self.interact(m, n)  # [B, T, D], [B, D]
            y = _wide(self.out, torch.cat([q, u[:, None].expand_as(q)], -1).mT)  # [B, C, T]
            check_norm_batch(self.norm, y)
            y = wide_norm(self.norm, y).to(x.dtype)[..., None, None]  # [B, C, T, 1, 1]
        y = x + (y if self.dims == 3 else y[:, :, 0])
        return (y, mask.to(x.dtype)) if self.return_mask else y

    def interact(self, m: Tensor, n: Tensor) -> tuple[Tensor, Tensor]:
        """Eqs. 2 to 6: `B T P N`, `B C T N` -> the mean part of each frame `B T D`, and u `B D`."""
        frames, positions = n.shape[2:]
        sums = m.flatten(0, 1) @ n.transpose(1, 2).flatten(0, 1).mT  # [BT, P, C]
        p = wide_linear(self.reduce, sums.view(n.shape[0], frames * self.parts, -1))  # [B, M, D]
        u = wide_linear(self.reduce, n.sum((2, 3)) / (frames * positions))
        a = self.see("relation", self.relation(p, u, frames))
        q = wide_linear(self.update, torch.cat([p, a @ p], -1))
        q = wide_norm(self.update_norm, q.flatten(0, 1)).relu().view(-1, frames, self.parts, p.shape[2])
        return q.sum(2) / self.parts, u

    def relation(self, p: Tensor, u: Tensor, frames: int) -> Tensor:
        """Eqs. 4 and 5: `B M D`, `B D` -> `B M M`."""
        weight, d = widened(self.relate.weight[0]), p.shape[2]
        whole = u @ weight[d:] + widened(self.relate.bias)  # [B]
        e = (p[:, :, None] - p[:, None]).abs() @ weight[:d] + whole[:, None, None]  # [B, M, M]
        e = wide_norm(self.relate_norm, e.flatten()[:, None]).view(e.shape)
        frame = torch.arange(frames, device=p.device).repeat_interleave(self.parts)
        part = torch.arange(self.parts, device=p.device).repeat(frames)
        apart = (frame[:, None] == frame) == (part[:, None] == part)  # itself, and other parts of other frames
        return e.masked_fill(apart, -torch.inf).softmax(-1)


class InteractionUpdate(Attention):
    """The channel unit, followed by the spatial or spatial-temporal unit.

    Args:
        channels: C of the input.
        hidden: width of a part's features; None takes C // 2.
        parts: P, how many masks there are.
        dims: 2 for images, 3 for video.
        return_mask: return the masks too, to be supervised.

    Shapes: x `B C H W` or `B C T H W`, returned alike; with `return_mask` also `B P H W` or `B T P H W`. Maps:
        affinity, mask and relation, as the two units show them.
    Raises: ValueError as the two units.
    """

    def __init__(
        self,
        channels: int,
        *,
        hidden: int | None = None,
        parts: int = 4,
        dims: int = 2,
        return_mask: bool = False,
    ) -> None:
        super().__init__()
        self.channel = ChannelInteraction(channels, dims=dims)
        self.dims = self.channel.dims
        self.spatial = SpatialInteraction(channels, hidden=hidden, parts=parts, dims=dims, return_mask=return_mask)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        y: Tensor | tuple[Tensor, Tensor] = self.spatial(self.channel(x))
        return y


def _wide(layer: Pointwise | nn.Linear, x: Tensor) -> Tensor:
    """`layer(x)` of a float32 x, in any precision of the layer."""
    weight = widened(layer.weight).expand(x.shape[0], -1, -1)
    return torch.baddbmm(widened(layer.bias)[:, None], weight, x)  # type: ignore[arg-type]


def _initialised(layer: _Layer) -> _Layer:
    """Initialises a layer by its number of outputs, as released, and returns it."""
    nn.init.normal_(layer.weight, std=math.sqrt(2 / layer.weight.shape[0]))
    return layer


def _from_zero(norm: nn.BatchNorm1d) -> nn.BatchNorm1d:
    """Initialises a norm with scale zero, so that the unit starts as the identity, as released."""
    nn.init.zeros_(norm.weight)
    return norm
