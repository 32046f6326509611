"""Gated Sononet: a classifier of ultrasound planes that reads two finer maps through gates.

Attention Gated Networks: Learning to Leverage Salient Regions in Medical Images. Schlemper, Oktay, Schaap, Heinrich,
    Kainz, Glocker, Rueckert. Medical Image Analysis 2019, arXiv:1808.08114.
Official code: ozan-oktay/Attention-Gated-Networks (PyTorch), sononet_grid_attention.

    x_1, …, x_5 = stages of 3 × 3 convolutions, BN and ReLU, each but the last pooled by 2             (1)
    z = gates on x_3 and x_4, set by x_5, and their aggregation        `sononet_aggregation`            (2)

    64/f, 128/f, 256/f, 512/f and 512/f channels for a feature scale f; 3, 3, 3, 2 and 2 convolutions.

Place: fetal standard planes, 208 × 272 grey: AG-Sononet-8 is f = 8, with mean_flow and separate scores, whose mean is
    the answer (AG-FT after fine-tuning).
Cost: 0.3 thousand million multiplications at 208 × 272 and f = 8, 0.18 million parameters.
Deviations: paper has Sononet's trunk of 2, 2, 3, 3 and 3 convolutions | official code: 3, 3, 3, 2, 2 | as released; any
    other as `convolutions`. Official "concat" fails on a misspelt name and its way of gating has no default that runs |
    mean_flow, concat, as meant. The released configuration has separate scores | `aggregation="separate"`, whose mean
    recipes take. Weights start as released: He normal, batch norms' N(1, 0.02).
Errata: the "attention" of the authors' figures is resized and divided by its largest value; shown here is what weighs.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from regard.checks import check_input, check_norm_batch, choice, flag, positive, whole, whole_numbers
from regard.core import Attention
from regard.ops.tracing import exporting
from regard.papers.sononet.mechanism import AGGREGATIONS, NORMALIZATIONS, SononetAggregation

WIDTHS = (64, 128, 256, 512, 512)
CONVOLUTIONS = (3, 3, 3, 2, 2)


class _Stage(nn.Module):
    """3 × 3 convolutions, each with ReLU and, if wanted, batch norm."""

    def __init__(self, channels: int, out: int, count: int, norm: bool) -> None:
        super().__init__()
        widths = [channels] + [out] * count
        self.convolutions = nn.ModuleList(nn.Conv2d(before, after, 3, padding=1) for before, after in pairwise(widths))
        self.norms = nn.ModuleList(nn.BatchNorm2d(out) if norm else nn.Identity() for _ in range(count))

    def forward(self, x: Tensor) -> Tensor:
        for convolve, norm in zip(self.convolutions, self.norms, strict=True):
            x = convolve(x)
            if isinstance(norm, nn.BatchNorm2d):
                check_norm_batch(norm, x)
            x = norm(x).relu()
        return x


def _halved(x: Tensor) -> Tensor:
    """Max pooling over 2 × 2; a side of one position stays, which an exported graph cannot know."""
    sides = (2, 2) if exporting() else (min(2, x.shape[2]), min(2, x.shape[3]))
    return F.max_pool2d(x, sides)


class GatedSononet(Attention):
    """Classifier of ultrasound planes that reads two finer maps through gates set by the coarsest.

    Args:
        channels: channels of the image.
        classes: number of classes.
        feature_scale: f, what the widths are divided by, rounded down; at most 64.
        convolutions: of each of the five stages.
        norm: batch norms.
        normalization: of every gate: softmax, sigmoid, mean, mean_flow or range.
        aggregation: concat; separate, one score vector from each of x_3, x_4 and x_5; deep_supervision, concat and the
            separate ones; or fine_tuning, scores from the separate scores.

    Shapes: `B C H W` -> `B classes`; three for separate, four for deep_supervision.
    Maps: spatial `B 1 h w`, one for x_3 and one for x_4.
    Raises: ValueError for an argument out of range, or images of another shape.
    """

    def __init__(
        self,
        channels: int = 1,
        *,
        classes: int = 14,
        feature_scale: int = 8,
        convolutions: Sequence[int] = CONVOLUTIONS,
        norm: bool = True,
        normalization: str = "mean_flow",
        aggregation: str = "concat",
    ) -> None:
        super().__init__()
        self.channels = positive("channels", channels)
        positive("classes", classes)
        whole("feature_scale", feature_scale, 1, WIDTHS[0])
        convolutions = whole_numbers("convolutions", convolutions, count=len(WIDTHS))
        flag("norm", norm)
        choice("normalization", normalization, NORMALIZATIONS)
        choice("aggregation", aggregation, AGGREGATIONS)
        widths = [width // feature_scale for width in WIDTHS]
        self.stages = nn.ModuleList(
            _Stage(before, after, count, norm)
            for before, after, count in zip([channels, *widths[:-1]], widths, convolutions, strict=True)
        )
        for layer in self.stages.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight)
            elif isinstance(layer, nn.BatchNorm2d):
                nn.init.normal_(layer.weight, 1.0, 0.02)
        self.aggregate = SononetAggregation(
            widths[4],
            level_channels=widths[2:4],
            classes=classes,
            normalization=normalization,
            aggregation=aggregation,
        )

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        check_input(x, "B C H W", C=self.channels)
        maps = []
        for i, stage in enumerate(self.stages):
            x = stage(x if i == 0 else _halved(x))
            maps.append(x)
        scores: Tensor | tuple[Tensor, ...] = self.aggregate(maps[2], maps[3], maps[4])
        return scores
