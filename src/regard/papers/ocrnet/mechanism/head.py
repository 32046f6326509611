"""The segmentation head of object context: coarse logits, regions from them, and logits from both.

Object-Contextual Representations for Semantic Segmentation. Yuan, Chen, Wang. ECCV 2020, arXiv:1909.11065.
Official code: openseg-group/openseg.pytorch; HRNet/HRNet-Semantic-Segmentation, branch HRNet-OCR.

    p = coarse(x),  z = context(reduce(x), gather(reduce(x), p))          `ocr_gather` and `ocr`             (1)
    loss = CE(classify(z)) + 0.4 CE(p)                  both logits brought to the labels' size              (2)

Place: as the head on the last map of a dilated backbone, or on the concatenated maps of an HRNet.
Cost: 9CD + DK multiplications for each position with D = `hidden`, C² + CK for the coarse logits, and those of `ocr`;
    memory O(NK). No N × N matrix.
Deviations: the coarse logits come from stage 3 through a 3×3 convolution in openseg's | from the map itself through a
    1×1 convolution in HRNet's | `aux_channels`. Openseg's brings both logits to the size of the image | HRNet's leaves
    that to the loss, as here. A loss of labels that are all ignored is NaN in the releases | 0 here.
Errata: ports that drop the loss on p are not this mechanism.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regard.checks import check_input, flag, number, positive
from regard.core import Attention
from regard.layers import Pointwise
from regard.ops.precision import widened
from regard.papers.ocrnet.mechanism.context import Normed, ObjectContext, SpatialGather, check_sides, embed


class ObjectContextHead(Attention):
    """Segmentation head: coarse logits, object regions from them, object context, and the final logits.

    Args:
        channels: C of the map.
        classes: K, the number of classes.
        hidden: width of the representations.
        key: D of the attention; None takes `hidden` // 2.
        aux_channels: width of the earlier map that the coarse logits come from; None takes them from the map itself.
        scale: by which the map is max-pooled before it attends.
        dropout: probability that a whole channel is dropped.
        bias: biases in the 1×1 convolutions of the attention.

    Shapes: x `B C H W`, with `aux_channels` also the earlier map `B A H W` -> coarse logits and logits, each
        `B K H W`. Maps: region `B K H W` and affinity `B Q K`, as the parts show them.
    Raises: ValueError for an argument out of range, other shapes, or training where a batch norm sees a single value.
    """

    def __init__(
        self,
        channels: int,
        *,
        classes: int,
        hidden: int = 512,
        key: int | None = None,
        aux_channels: int | None = None,
        scale: int = 1,
        dropout: float = 0.05,
        bias: bool = False,
    ) -> None:
        super().__init__()
        self.channels = positive("channels", channels)
        positive("classes", classes)
        positive("hidden", hidden)
        if key is not None:
            positive("key", key)
        self.aux_channels = None if aux_channels is None else positive("aux_channels", aux_channels)
        positive("scale", scale)
        number("dropout", dropout, least=0, most=1)
        flag("bias", bias)
        self.reduce = Normed(nn.Conv2d(channels, hidden, 3, padding=1))
        self.coarse: nn.Module
        if aux_channels is None:
            self.coarse = nn.Sequential(embed(channels, channels, True), Pointwise(channels, classes))
        else:
            conv = nn.Conv2d(aux_channels, hidden, 3, padding=1)
            self.coarse = nn.Sequential(Normed(conv), nn.Dropout2d(dropout), nn.Conv2d(hidden, classes, 1))
        self.gather = SpatialGather()
        self.context = ObjectContext(hidden, hidden=key, scale=scale, dropout=dropout, bias=bias)
        self.classify = Pointwise(hidden, classes)

    def forward(self, x: Tensor, earlier: Tensor | None = None) -> tuple[Tensor, Tensor]:
        check_input(x, "B C H W", C=self.channels)
        check_sides(x, self.context.attention.scale)
        grid = x.shape[2:]
        if (earlier is None) != (self.aux_channels is None):
            wanted = "an earlier map is needed" if earlier is None else "no earlier map is accepted"
            raise ValueError(f"aux_channels={self.aux_channels}: {wanted}")
        if earlier is None:
            p = self.coarse(x.flatten(2)).unflatten(2, grid)  # [B, K, H, W]
        else:
            check_input(earlier, "B A H W", B=x.shape[0], A=self.aux_channels or 0, H=grid[0], W=grid[1])
            p = self.coarse(earlier)
        x = self.reduce(x)
        z = self.context(x, self.gather(x, p))
        return p, self.classify(z.flatten(2)).unflatten(2, grid)

    @staticmethod
    def loss(
        outputs: Sequence[Tensor], labels: Tensor, *, aux: float = 0.4, ignore: int = -1, weight: Tensor | None = None
    ) -> Tensor:
        """Equation (2): both cross entropies, on logits that are resized to the labels.

        Args:
            outputs: coarse logits and logits, each `B K H W`.
            labels: `B H' W'`, any size.
            aux: weight of the coarse logits' part.
            ignore: label of the pixels that do not count.
            weight: of each class, `K`.
        """
        counted = labels != ignore
        count = (counted if weight is None else weight[labels.where(counted, 0)] * counted).sum()
        total, size = torch.zeros_like(count, dtype=torch.float32), labels.shape[1:]
        for share, logits in zip((aux, 1.0), outputs, strict=True):
            resized = F.interpolate(widened(logits), size, mode="bilinear", align_corners=True)
            entropy = F.cross_entropy(resized, labels, weight, ignore_index=ignore, reduction="sum")
            total = total + share * entropy / (count + (count == 0))
        return total
