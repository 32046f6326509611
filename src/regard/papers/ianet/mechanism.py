"""Interaction and aggregation: every position takes up similar near ones, then every channel similar ones.

Interaction-and-Aggregation Network for Person Re-identification. Hou, Ma, Chang, Gu, Shan, Chen. CVPR 2019,
arXiv:1907.08435.
Official code: blue-blue272/ImgReID-IAnet.

    S = softmax_j(x_i · x_j / √C)                    appearance, N × N                                (1)
    G = softmax_j(-Δx² / 2a_x² - Δy² / 2a_y²)        nearness, N × N                                  (2)
    z = x + BN(softmax_j(S G) x)                     spatial unit; S G elementwise                    (3)
    y = z + BN(softmax(Z Zᵀ) Z)                      channel unit; Z: C × N                           (4)

    G is the outer product of one softmax over rows and one over columns, so it is made for any size of map.

Place: after stages 2 and 3 of a ResNet-50 whose last stride is 1; a = (20, 10) and (10, 5) in height and width.
Cost: 2N²C + 2NC² multiplications; memory O(N² + C²), linear in N for large maps unless watched, by blocks of rows whose
    weights are formed once more for the gradient.
Deviations: the released code is built for one size of map, and keeps G in float32 | any size, G in the type of the map.
    The released blocks have both units | `spatial` and `channel` leave one out.
Errata: versions that multiply logits in place of the two softmaxes of (3), or take no softmax of the product, are not
    this mechanism.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from regard.checks import check_input, check_norm_batch, flag, number, positive, sequence
from regard.core import Attention
from regard.ops import affinity
from regard.ops.precision import uncast, wide_norm, widened
from regard.ops.tracing import exporting


class InteractionAggregation(Attention):
    """Aggregates over similar and near positions, then over similar channels.

    Args:
        channels: C of the input.
        widths: a, the standard deviations of nearness in height and width.
        spatial: whether there is the spatial unit.
        channel: whether there is the channel unit.

    Shapes: x `B C H W` -> `B C H W`. Maps: spatial `B Q K`, weights over the positions; channel `B C C`, over the
        channels; rows sum to 1.
    Raises: ValueError for a width that is not positive, without both units, or in training where a batch norm sees a
        single value.
    """

    def __init__(
        self,
        channels: int,
        *,
        widths: tuple[float, float] = (10.0, 5.0),
        spatial: bool = True,
        channel: bool = True,
    ) -> None:
        super().__init__()
        self.channels = positive("channels", channels)
        self.widths = tuple(number("widths", width, above=0) for width in sequence("widths", widths, 2))
        flag("spatial", spatial)
        if not flag("channel", channel) and not spatial:
            raise ValueError("spatial=False, channel=False: at least one unit is needed")
        self.spatial_norm = _from_zero(nn.BatchNorm1d(channels)) if spatial else None
        self.channel_norm = _from_zero(nn.BatchNorm1d(channels)) if channel else None

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, "B C H W", C=self.channels)
        with uncast(x):  # products of positions overflow half precision
            n = widened(x).flatten(2)  # [B, C, N]
            if self.spatial_norm is not None:
                check_norm_batch(self.spatial_norm, n)
                n = n + wide_norm(self.spatial_norm, self.gathered(n, x.shape[2], x.shape[3]))
            if self.channel_norm is not None:
                check_norm_batch(self.channel_norm, n)
                y = self.see("channel", affinity.softmax_weights(n, n)) @ n
                n = n + wide_norm(self.channel_norm, y)
            return n.to(x.dtype).view(x.shape)

    def gathered(self, n: Tensor, height: int, width: int) -> Tensor:
        """Σ_j softmax_j(S G) x_j: `B C N` -> `B C N`; large maps in blocks of rows, formed again for the gradient."""
        if self.watched or exporting() or (height * width) ** 2 <= 4096**2:
            a = self.near_and_alike(n, height, width)
            return n @ self.see("spatial", a, Q=(height, width), K=(height, width)).mT
        step = max(4096**2 // (height * width**2), 1)
        blocks = (
            checkpoint(self.gathered_rows, n, height, width, top, top + step, use_reentrant=False)
            for top in range(0, height, step)
        )
        return torch.cat(list(blocks), -1)

    def gathered_rows(self, n: Tensor, height: int, width: int, top: int, bottom: int) -> Tensor:
        return n @ self.near_and_alike(n, height, width, top, bottom).mT

    def near_and_alike(self, n: Tensor, height: int, width: int, top: int = 0, bottom: int | None = None) -> Tensor:
        """softmax(S G) of the positions in some rows: `B C N` -> `B Q N`."""
        bottom = height if bottom is None else bottom
        rows, columns = (
            nearness(length, spread, like=n) for length, spread in zip((height, width), self.widths, strict=True)
        )
        g = (rows[top:bottom, None, :, None] * columns[:, None]).flatten(2).flatten(0, 1)  # [Q, N]
        queries = n[:, :, top * width : bottom * width]
        return (affinity.softmax_weights(queries.mT, n.mT, scale=n.shape[1] ** -0.5) * g).softmax(-1)


def nearness(length: int, width: float, *, like: Tensor) -> Tensor:
    """softmax_j(-(i - j)² / 2 width²): `length length`."""
    places = torch.arange(length, dtype=like.dtype, device=like.device)
    return (-((places[:, None] - places) ** 2) / (2 * width**2)).softmax(-1)


def _from_zero(norm: nn.BatchNorm1d) -> nn.BatchNorm1d:
    """Initialises a norm with scale zero, so that the unit starts as the identity, as released."""
    nn.init.zeros_(norm.weight)
    return norm
