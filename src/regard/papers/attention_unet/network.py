"""Attention U-Net: a U-Net for volumes or images whose skip connections pass attention gates.

Attention U-Net: Learning Where to Look for the Pancreas. Oktay, Schlemper, Le Folgoc, Lee, Heinrich, Misawa, Mori,
    McDonagh, Hammerla, Kainz, Glocker, Rueckert. MIDL 2018, arXiv:1804.03999.
Official code: ozan-oktay/Attention-Gated-Networks (PyTorch), unet_CT_single_att_dsv_3D and unet_CT_multi_att_dsv_3D.

    x_1 = block(x),  x_l = block(maxpool(x_{l-1}))                    l = 2 … L; two 3³ convolutions, BN, ReLU   (1)
    d_L = x_L,  g_L = relu(BN(W x_L)),  g_l = d_l for l < L                                                     (2)
    d_l = block([gate(x_l, g_{l+1}); resize(d_{l+1})])                l = L-1 … 1; no gate on x_1                (3)
    y   = V [V_1 d_1; resize(V_2 d_2); …; resize(V_{L-1} d_{L-1})]    deep supervision: logits of every level    (4)

    `gates` of 0, 1 or 2 for each skip connection, joined by a 1³ convolution; resizing is linear.

Place: trained as it is: `regard train attention-unet` on volumes.
Cost: 70 thousand multiplications for each voxel, 1.7 · 10¹¹ at 160 × 160 × 96, of which gates are 1 to 2 percent; 5.9
    million parameters without gates, 6.2 with one and 6.5 with two on each skip connection, for 4 classes.
Deviations: paper gives no widths | official code: 64 … 1024, divided by `feature_scale` 4 | `widths` as there. Official
    code needs sides that are multiples of 16 | pools round up here and the decoder resizes to the map of the level, so
    that any size is taken; sides below 16 are padded by zeros, and cut at the end. Official resizing kept the corners
    in the PyTorch of its time | the same code does not today | as today. Weights start as released: He normal, batch
    norms' N(1, 0.02). The popular port starts from N(0, 0.02) | here as the others.
Errata: `port=True` is LeeJunHyun's popular 2-D U-Net: the decoder resizes by the nearest value with a 3 × 3
    convolution behind, and the map that comes of it, already at the size of x_l, both gates x_l and is joined to it;
    gates stand on every skip connection, and the first with them. Its users ask whether that map is the right one
    (Image_Segmentation#74): in the paper g is one level coarser, and φ g is what is resized. Ports that gate the
    decoder's map with the skip connection's (BiaPy#26) have the arguments of the gate exchanged: α is to weigh x_l.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regard.checks import check_input, check_norm_batch, choice, flag, positive, whole, whole_numbers
from regard.core import Attention
from regard.ops.tracing import exporting
from regard.papers.attention_unet.mechanism import CONV, LINEAR, NORM, AttentionGate, MultiAttentionGate, initialise

WIDTHS = (16, 32, 64, 128, 256)  # the paper's, divided by the feature scale 4
PORT_WIDTHS = (64, 128, 256, 512, 1024)
_POOL = {2: F.max_pool2d, 3: F.max_pool3d}
_AXES = {2: "B C H W", 3: "B C D H W"}


class _Block(nn.Module):
    """Convolutions, each with batch norm and ReLU: two of 3 × 3 (× 3), or as many of another size."""

    def __init__(self, channels: int, out: int, dims: int, *, count: int = 2, size: int = 3) -> None:
        super().__init__()
        widths = [channels] + [out] * count
        self.convs = nn.ModuleList(CONV[dims](a, b, size, padding=size // 2) for a, b in pairwise(widths))
        self.norms = nn.ModuleList(NORM[dims](out) for _ in range(count))

    def forward(self, x: Tensor) -> Tensor:
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = conv(x)
            check_norm_batch(norm, x)
            x = norm(x).relu_()
        return x


class _Up(nn.Module):
    """Equation (3): the decoder of one level."""

    def __init__(self, skip: int, below: int, dims: int, *, gate: nn.Module | None, port: bool) -> None:
        super().__init__()
        self.nearest = port
        self.widen = _Block(below, skip, dims, count=1) if port else None
        self.gate = gate
        self.block = _Block(2 * skip if port else skip + below, skip, dims)

    def forward(self, x: Tensor, g: Tensor, below: Tensor) -> Tensor:
        up = resized(below, x.shape[2:], nearest=self.nearest)
        if self.widen is not None:
            up = g = self.widen(up)
        if self.gate is not None:
            x = self.gate(x, g)
        joined: Tensor = self.block(torch.cat((x, up), 1))
        return joined


class AttentionUnet(Attention):
    """U-Net for volumes or images, with attention gates on its skip connections.

    Args:
        channels: channels of the image.
        classes: K.
        dims: 3 for volumes, 2 for images.
        widths: channels of each level, from fine to coarse; two levels at least.
        gates: gates on each skip connection but the first: 0, 1 or 2.
        deep_supervision: the logits come from every level of the decoder, (4), rather than from the finest.
        port: the popular port's decoder and gates, at most one on each skip connection, the first included.

    Shapes: x `B C D H W` or `B C H W` -> logits `B K D H W` or `B K H W`.
    Maps: spatial of each gate, `B 1 d h w` or `B 1 h w`, in (0, 1).
    Raises: ValueError for an argument out of range, two gates in the port, or inputs of another shape.
    """

    def __init__(
        self,
        channels: int = 1,
        *,
        classes: int = 4,
        dims: int = 3,
        widths: Sequence[int] = WIDTHS,
        gates: int = 1,
        deep_supervision: bool = True,
        port: bool = False,
    ) -> None:
        super().__init__()
        self.channels, self.dims = positive("channels", channels), choice("dims", dims, CONV)
        self.classes = positive("classes", classes)
        widths = whole_numbers("widths", widths)
        if len(widths) < 2:
            raise ValueError(f"widths={tuple(widths)!r}: at least two levels are needed")
        whole("gates", gates, 0, 2)
        if flag("port", port) and gates == 2:
            raise ValueError("gates=2: 0 or 1 is needed with port=True")
        flag("deep_supervision", deep_supervision)
        self.encoder = nn.ModuleList(_Block(a, b, dims) for a, b in pairwise((channels, *widths)))
        self.gating = _Block(widths[-1], widths[-1], dims, count=1, size=1) if gates and not port else None
        self.ups = nn.ModuleList(
            _Up(c, below, dims, gate=_gate(level, c, below, dims, gates, port), port=port)
            for level, (c, below) in enumerate(pairwise(widths))
        )
        heads = len(self.ups) if deep_supervision else 1
        self.heads = nn.ModuleList(CONV[dims](width, classes, 1) for width in widths[:heads])
        self.merge = CONV[dims](heads * classes, classes, 1) if deep_supervision else None
        initialise(self)

    @property
    def least(self) -> int:
        """The side below which a volume is padded: 2^(L-1)."""
        levels: int = len(self.encoder)
        return 1 << (levels - 1)

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, _AXES[self.dims], C=self.channels)
        grid = x.shape[2:]
        if not exporting() and min(grid) < self.least:
            x = F.pad(x, [side for n in reversed(grid) for side in (0, max(0, self.least - n))])
        skips: list[Tensor] = []
        for block in self.encoder:
            x = block(_halved(x) if skips else x)
            skips.append(x)
        below = skips.pop()
        g = below if self.gating is None else self.gating(below)
        levels = []  # from coarse to fine
        for up, skip in zip(reversed(self.ups), reversed(skips), strict=True):
            below = g = up(skip, g, below)
            levels.append(below)
        logits = [head(level) for head, level in zip(self.heads, reversed(levels), strict=False)]
        if self.merge is None:
            y: Tensor = logits[0]
        else:
            y = self.merge(torch.cat([resized(one, skips[0].shape[2:]) for one in logits], 1))
        within: tuple[Any, ...] = (..., *(slice(n) for n in grid))
        return y if exporting() else y[within]


def _gate(level: int, channels: int, below: int, dims: int, gates: int, port: bool) -> nn.Module | None:
    """The gate of a skip connection, from level 0; None where there is none."""
    if port and gates:
        half = max(channels // 2, 1)
        as_ported: dict[str, Any] = {"subsample": 1, "norm": True, "transform": False}
        return AttentionGate(channels, gate_channels=channels, hidden=half, dims=dims, **as_ported)
    if level == 0 or not gates:
        return None
    return MultiAttentionGate(channels, gate_channels=below, gates=gates, hidden=channels, dims=dims)


def _halved(x: Tensor) -> Tensor:
    """Max pooling over 2 × 2 (× 2) of values of at least 0; an odd side is rounded up, as the 0 behind it changes none.

    `ceil_mode` does the same, and makes an exported graph depend on which sides are odd.
    """
    odd = [n % 2 for n in reversed(x.shape[2:])]
    if exporting() or any(odd):
        x = F.pad(x, [size for one in odd for size in (0, one)])
    pooled: Tensor = _POOL[x.ndim - 2](x, 2)
    return pooled


def resized(x: Tensor, grid: Sequence[int], *, nearest: bool = False) -> Tensor:
    """The map at another size, linear along each axis or by the nearest value; an equal size is left as it is."""
    if not exporting() and x.shape[2:] == torch.Size(grid):
        return x
    mode, corners = ("nearest", None) if nearest else (LINEAR[len(grid)], False)
    return F.interpolate(x, tuple(grid), mode=mode, align_corners=corners)
