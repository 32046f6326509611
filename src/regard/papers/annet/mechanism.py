"""Asymmetric non-local blocks: every position attends to averages over a pyramid of regions.

Asymmetric Non-local Neural Networks for Semantic Segmentation. Zhu, Xu, Bai, Huang, Bai. ICCV 2019, arXiv:1908.07678.
Official code: MendelXu/ANN (PyTorch).

    P(z) = adaptive averages of z over s × s regions, s = 1, 3, 6, 8: S = Σ s² = 110 anchors              (1)
    q = f_q(x),  k = P(f_k(l)),  v = P(W_v l)            f: 1×1 convolution, batch norm, relu             (2)
    A_ij = softmax_j(q_i · k_j / √D)                     j runs over the S anchors                        (3)
    c_i  = W Σ_j A_ij v_j                                                                                 (4)
    apnb: y = relu(BN(U [c; x])),  l = x, f_q = f_k      asymmetric pyramid non-local block               (5)
    afnb: y = BN(U [c; x])                               asymmetric fusion non-local block                (6)

    Averages commute with 1×1 convolutions, v = W_v P(l): values, W and c's half of U are computed for S anchors rather
    than N positions, and neither c nor the concatenation is formed.

Place: behind a dilated ResNet: afnb from stage 4 (l) and 5 (x), a 3×3 convolution to 512 channels, apnb, classifier.
    The auxiliary classifier on stage 4 counts 0.4 in the loss.
Cost: N (D C_l + C C' + S (D + C')) multiplications, with D C more where queries are not shared; memory O(NS).
Deviations: paper | official code drops channels (0.05) behind (5), (6), starts W at 0, and passes every batch twice
    through f_q = f_k, so that running statistics move by 1 − 0.9² = 0.19 | as released. Its scales above 1 fail in apnb
    and change nothing in afnb; several scales of 1 are `stages`.
Errata: in mmsegmentation the scale argument pools queries and then fails to reshape. Ports that add x to (5), or put a
    relu into (6), are not this mechanism.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regard.checks import check_input, check_norm_batch, flag, number, positive, whole, whole_numbers
from regard.core import Attention
from regard.layers import Pointwise
from regard.ops import affinity, pooling


class _Embedding(nn.Module):
    """1×1 convolution, batch norm, relu: `B C H W` -> `B D H W`."""

    def __init__(self, channels: int, hidden: int, *, momentum: float = 0.1) -> None:
        super().__init__()
        self.project = Pointwise(channels, hidden)
        self.norm = nn.BatchNorm2d(hidden, momentum=momentum)

    def forward(self, x: Tensor) -> Tensor:
        check_norm_batch(self.norm, x)
        y: Tensor = self.norm(self.project(x.flatten(2)).unflatten(-1, x.shape[2:])).relu_()
        return y


class _Stage(nn.Module):
    """Queries, keys, values and W of (2) and (4): weights over the anchors, and the anchors' values."""

    def __init__(self, channels: int, low: int, hidden: int, value_hidden: int, out: int, shared: bool) -> None:
        super().__init__()
        self.key = _Embedding(low, hidden, momentum=0.19 if shared else 0.1)  # each batch passes a shared one twice
        self.query = None if shared else _Embedding(channels, hidden)
        self.value = Pointwise(low, value_hidden)
        self.out = Pointwise(value_hidden, out)
        self.scale = hidden**-0.5
        for parameter in self.out.parameters():
            nn.init.zeros_(parameter)

    def weights(self, low: Tensor, x: Tensor, sizes: Sequence[int]) -> Tensor:
        key = self.key(low)
        query = key if self.query is None else self.query(x)
        return affinity.softmax_weights(query.flatten(2).mT, _pyramid(key, sizes).mT, scale=self.scale)  # [B, N, S]


class _Block(nn.Module):
    """BN(U [c; x]) of (5) and (6)."""

    def __init__(
        self,
        channels: int,
        low_channels: int,
        hidden: int | None,
        value_hidden: int | None,
        out: int,
        sizes: Sequence[int],
        stages: int,
        shared: bool,
    ) -> None:
        super().__init__()
        hidden = max(channels // 2, 1) if hidden is None else positive("hidden", hidden)
        value_hidden = hidden if value_hidden is None else positive("value_hidden", value_hidden)
        self.sizes = whole_numbers("sizes", sizes)
        self.channels, self.low_channels = channels, low_channels
        widths = (channels, low_channels, hidden, value_hidden, out)
        self.stages = nn.ModuleList(_Stage(*widths, flag("shared", shared)) for _ in range(positive("stages", stages)))
        self.fuse = Pointwise(out + channels, out)
        self.norm = nn.BatchNorm2d(out)

    def forward(self, low: Tensor, x: Tensor, see: Callable[..., Tensor]) -> Tensor:
        check_input(x, "B C H W", C=self.channels)
        check_input(low, "B G T N", B=x.shape[0], G=self.low_channels)
        of_context, of_x = self.fuse.weight.tensor_split([self.norm.num_features], 1)
        anchors = _pyramid(low, self.sizes)  # [B, C_l, S]
        terms, grids = [], {"Q": tuple(x.shape[2:]), "S": tuple((size, size) for size in self.sizes)}
        for stage in self.stages:
            a = see("affinity", stage.weights(low, x, self.sizes), **grids)  # type: ignore[operator]
            c = of_context @ stage.out(stage.value(anchors))  # type: ignore[operator]  # [B, C', S]
            terms.append((c, a.mT.to(c.dtype)))
        bias = x.new_zeros(()) if self.fuse.bias is None else self.fuse.bias[:, None]
        y = torch.baddbmm(bias, of_x.expand(x.shape[0], -1, -1), x.flatten(2))  # [B, C', N]
        for c, a in terms:
            y = y.baddbmm_(c, a)
        fused: Tensor = self.norm(y.unflatten(-1, x.shape[2:]))
        return fused


def _pyramid(x: Tensor, sizes: Sequence[int]) -> Tensor:
    return torch.cat([level.flatten(2) for level in pooling.pyramid_average(x, sizes)], -1)


class PyramidNonLocal(Attention):
    """Every position attends to averages over a pyramid of regions of the same map (APNB).

    Args:
        channels: C of the input and of the output.
        hidden: width of queries and keys; None takes C // 2, at least 1.
        value_hidden: width of the values; None takes `hidden`.
        sizes: of the pyramid's levels, s × s regions each.
        stages: how many contexts are summed.
        shared: one convolution and norm for queries and keys.
        dropout: share of channels dropped in training.

    Shapes: x `B C H W` -> `B C H W`. Maps: affinity `B Q S`, positions by anchors; its rows sum to 1.
    Raises: ValueError for a width or size that is not positive.
    """

    def __init__(
        self,
        channels: int,
        *,
        hidden: int | None = None,
        value_hidden: int | None = None,
        sizes: Sequence[int] = (1, 3, 6, 8),
        stages: int = 1,
        shared: bool = True,
        dropout: float = 0.05,
    ) -> None:
        super().__init__()
        positive("channels", channels)
        self.block = _Block(channels, channels, hidden, value_hidden, channels, sizes, stages, shared)
        self.dropout = nn.Dropout2d(number("dropout", dropout, least=0, most=1))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.dropout(self.block(x, x, self.see).relu_())
        return y


class FusionNonLocal(Attention):
    """Every position attends to averages over a pyramid of regions of an earlier stage's map (AFNB).

    Args:
        channels: C of the map whose positions attend.
        low_channels: G of the earlier stage's map; None takes C // 2, as in a ResNet.
        out_channels: M of the output; None takes C.
        hidden, value_hidden, sizes, stages, dropout: as in `PyramidNonLocal`.

    Shapes: low `B G T N`, x `B C H W` -> `B M H W`. Maps: affinity `B Q S`, positions of x by anchors of low.
    Raises: ValueError for a width or size that is not positive.
    """

    def __init__(
        self,
        channels: int,
        *,
        low_channels: int | None = None,
        out_channels: int | None = None,
        hidden: int | None = None,
        value_hidden: int | None = None,
        sizes: Sequence[int] = (1, 3, 6, 8),
        stages: int = 1,
        dropout: float = 0.05,
    ) -> None:
        super().__init__()
        positive("channels", channels)
        low = max(channels // 2, 1) if low_channels is None else positive("low_channels", low_channels)
        out = channels if out_channels is None else positive("out_channels", out_channels)
        self.block = _Block(channels, low, hidden, value_hidden, out, sizes, stages, shared=False)
        self.dropout = nn.Dropout2d(number("dropout", dropout, least=0, most=1))

    def forward(self, low: Tensor, x: Tensor) -> Tensor:
        y: Tensor = self.dropout(self.block(low, x, self.see))
        return y


class AsymmetricNonLocalHead(Attention):
    """Segmentation head on the last two stages: fusion, pyramid attention, and an auxiliary classifier.

    Args:
        channels: C of the last stage.
        classes: M, the number of classes.
        low_channels: G of the stage before; None takes C // 2.
        width: behind the 3 × 3 convolution; None takes C // 4.
        hidden: width of queries, keys and values; None takes C // 8.
        auxiliary: width of the auxiliary classifier, or 0 for none; None takes half of G.
        sizes, dropout: as in `PyramidNonLocal`.
        size: (H, W) that the logits are resized to, the image's in the official network; None leaves them.

    Shapes: low `B G H W`, x `B C H W` -> auxiliary and main logits, `B M H W` each; the main ones alone without an
        auxiliary classifier. Maps: affinity `B Q S`, of the fusion and of the pyramid; its rows sum to 1.
    Raises: ValueError for a width or size that is not positive.
    """

    def __init__(
        self,
        channels: int,
        *,
        classes: int,
        low_channels: int | None = None,
        width: int | None = None,
        hidden: int | None = None,
        auxiliary: int | None = None,
        sizes: Sequence[int] = (1, 3, 6, 8),
        dropout: float = 0.05,
        size: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        positive("channels", channels)
        low = max(channels // 2, 1) if low_channels is None else positive("low_channels", low_channels)
        width = max(channels // 4, 1) if width is None else positive("width", width)
        hidden = max(channels // 8, 1) if hidden is None else positive("hidden", hidden)
        self.fusion = FusionNonLocal(channels, low_channels=low, hidden=hidden, sizes=sizes, dropout=dropout)
        self.reduce = _convolved(channels, width)
        self.context = PyramidNonLocal(width, hidden=hidden, sizes=sizes, dropout=dropout)
        self.classify = nn.Conv2d(width, positive("classes", classes), 1)
        auxiliary = max(low // 2, 1) if auxiliary is None else whole("auxiliary", auxiliary, 0)
        self.auxiliary = None if auxiliary == 0 else _classifier(low, auxiliary, classes, dropout)
        self.size = None if size is None else whole_numbers("size", size, count=2)

    def forward(self, low: Tensor, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        y = self.resized(self.classify(self.context(self.reduce(self.fusion(low, x)))))
        return y if self.auxiliary is None else (self.resized(self.auxiliary(low)), y)

    def resized(self, logits: Tensor) -> Tensor:
        return logits if self.size is None else F.interpolate(logits, self.size, mode="bilinear", align_corners=True)


def _convolved(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(inplace=True))


def _classifier(channels: int, width: int, classes: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(*_convolved(channels, width), nn.Dropout2d(dropout), nn.Conv2d(width, classes, 1))
