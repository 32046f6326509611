"""Scale-aware segmentation: one network on the image at several scales, merged by attention to scale.

Attention to Scale: Scale-Aware Semantic Image Segmentation. Chen, Yang, Wang, Xu, Yuille. CVPR 2016, arXiv:1511.03339.
Official code: none that could be read; the paper's equations, on DeepLab-LargeFOV (`networks/large_fov.py`).

    x_s = resize(x) to round((H − 1) s) + 1 rows and round((W − 1) s) + 1 columns      s = 1, 3/4, 1/2      (1)
    φ_s = trunk(x_s),   f_s = W φ_s                       "fc7" and class scores, one set of weights        (2)
    g   = Σ_s w_s resize(f_s)                             w_s from all φ_s, of `scale_attention`            (3)
    g   = Σ_s resize(f_s) / S  |  max_s resize(f_s)       average and max merging, the paper's baselines    (4)
    L   = CE(g) + Σ_s CE(f_s)                             extra supervision, each at its own size           (5)

    Every resizing is bilinear and keeps the corners, as Caffe's Interp does.

Place: trained as it is: `regard train attention-to-scale`.
Cost: Σ s² ≈ 1.8 times the trunk's, and the head's. 20,505,429 parameters at 21 classes with VGG-16, and 14,157,827 of
    the head for three scales.
Deviations: paper, CE(g) at an eighth of the image, where the labels are resized | here g is resized to the image, where
    it is scored, and takes its loss there; f_s take theirs at their own size, with labels resized to the nearest, as in
    the paper. The first weights of the new layers are the released ones from memory: N(0, 0.01²), biases of 0. Other
    trunks than VGG-16 have "fc6" and "fc7" behind them, too.
Errata: labels resized bilinear are other classes. Weights taken from the features of one scale, or without a softmax
    over scales, are not the paper's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from types import MappingProxyType

import torch
from torch import Tensor, nn

from regard.backbones import build
from regard.checks import check_input, choice, flag, number, positive, sequence
from regard.core import Attention
from regard.networks.dilated import STRIDES, Trunk
from regard.networks.large_fov import FieldOfView, LargeFOV
from regard.papers.attention_to_scale.mechanism import ScaleAttention, aligned, divided, resized

MERGES = ("attention", "average", "max")
VGG = "vgg16"
LARGEST = 4  # times the image's own size


class _Timm(nn.Module):
    """A network of timm's up to its last map, with "fc6" and "fc7" behind it."""

    def __init__(
        self, backbone: str, channels: int, *, output_stride: int, features: int, dilation: int, dropout: float
    ) -> None:
        super().__init__()
        self.body = Trunk(backbone, channels, output_stride=output_stride)
        self.field = FieldOfView(self.body.widths[-1], features=features, dilation=dilation, dropout=dropout)

    def start_from(self, state: Mapping[str, Tensor] | None) -> None:
        self.body.start_from(state)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.field(self.body(x)[-1])
        return found


class _Merge(Attention):
    """Equation (4). Its map is 1/S for averages, and for the maximum the share of classes whose largest score it is."""

    maps = MappingProxyType({"scale": "B S H W"})
    sums = MappingProxyType({"scale": "S"})

    def __init__(self, scales: int, way: str) -> None:
        super().__init__()
        self.scales, self.way = scales, way

    def forward(self, *maps: Tensor) -> Tensor:
        each = torch.stack(aligned(divided(maps, self.scales)[1]), 1)  # [B, S, K, H, W]
        if self.watched and self.way == "average":
            weights = self.see("scale", torch.full_like(each[:, :, 0], 1 / self.scales))
            return (each * weights[:, :, None]).sum(1)
        if self.watched:
            largest = torch.zeros_like(each).scatter_(1, each.argmax(1, keepdim=True), 1.0)
            self.show("scale", largest.mean(2))
        return each.mean(1) if self.way == "average" else each.amax(1)


class AttentionToScale(Attention):
    """Segmentation network that sees the image at several scales and weighs them at every position.

    Args:
        channels: channels of the image.
        classes: K, the number of classes.
        backbone: None, VGG-16 of DeepLab-LargeFOV; or any network of timm's that gives maps.
        scales: S, the sizes at which the image is seen, the largest first; 1 is its own, and 4 the most.
        merge: "attention", or the paper's baselines "average" and "max".
        extra: the scores of every scale are returned as well, for extra supervision.
        hidden: channels of the attention's first layer.
        width: channels of the first stage of VGG-16.
        features: channels of "fc6" and "fc7".
        dilation: of "fc6".
        dropout: share of features dropped behind "fc6" and "fc7".
        output_stride: of a network of timm's: how much smaller its last map is; 4, 8, 16 or 32.

    Shapes: x `B C H W` -> logits `B K H W`, and with `extra` of each scale `B K h w`, at its own size.
    Maps: scale `B S h w`, at the size of the finest scores; its sum over S is 1. With merge="average" it is 1/S, with
        "max" the share of the classes that have their largest score at a scale.
    Raises: ValueError for an argument out of range or images of another shape; LookupError if timm has no such
        backbone.
    """

    def __init__(
        self,
        channels: int = 3,
        *,
        classes: int = 21,
        backbone: str | None = None,
        scales: Sequence[float] = (1.0, 0.75, 0.5),
        merge: str = "attention",
        extra: bool = True,
        hidden: int = 512,
        width: int = 64,
        features: int = 1024,
        dilation: int = 12,
        dropout: float = 0.5,
        output_stride: int = 8,
    ) -> None:
        super().__init__()
        self.channels = positive("channels", channels)
        positive("classes", classes)
        self.scales = tuple(number("scales", scale, above=0, most=LARGEST) for scale in sequence("scales", scales))
        if list(self.scales) != sorted(set(self.scales), reverse=True):
            raise ValueError(f"scales={scales!r}: the largest first, and no two equal, are needed")
        choice("merge", merge, MERGES)
        choice("output_stride", output_stride, STRIDES)
        self.extra = flag("extra", extra)
        self.trunk: LargeFOV | _Timm
        if backbone is None:
            self.trunk = LargeFOV(channels, width=width, features=features, dilation=dilation, dropout=dropout)
        else:
            positive("width", width)
            self.trunk = _Timm(
                backbone,
                channels,
                output_stride=output_stride,
                features=features,
                dilation=dilation,
                dropout=dropout,
            )
        self.classify = nn.Conv2d(features, classes, 1)
        new = [self.classify]
        positive("hidden", hidden)
        self.merge: ScaleAttention | _Merge
        if merge == "attention":
            if len(self.scales) < 2:
                raise ValueError(f"scales={scales!r}: at least two are needed with merge='attention'")
            self.merge = ScaleAttention(features, scales=len(self.scales), hidden=hidden)
            new += [self.merge.hide, self.merge.score]
        else:
            self.merge = _Merge(len(self.scales), merge)
        for layer in new:
            assert layer.bias is not None
            nn.init.normal_(layer.weight, 0.0, 0.01)
            nn.init.zeros_(layer.bias)

    def start_from(self, state: Mapping[str, Tensor] | None = None) -> None:
        """Loads weights into the trunk: those given, by timm's names for the whole backbone, or the published ones.

        Raises: OSError if the published ones cannot be loaded; ValueError if those given do not fit.
        """
        if isinstance(self.trunk, LargeFOV):
            whole = state or build(VGG, classes=None, in_chans=self.channels, pretrained=True).state_dict()
            self.trunk.start_from(whole)
        else:
            self.trunk.start_from(state)

    def scored(self, x: Tensor) -> tuple[Tensor, ...]:
        """Equations (1) to (3): the merged scores, at the size of the finest, and those of every scale."""
        check_input(x, "B C H W", C=self.channels)
        features = [self.trunk(x if scale == 1 else resized(x, scaled_size(x, scale))) for scale in self.scales]
        scores = [self.classify(one) for one in features]
        return (self.merge(*features, *scores), *scores)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        merged, *scores = self.scored(x)
        logits = resized(merged, x.shape[2:])
        return (logits, *scores) if self.extra else logits


def scaled_size(x: Tensor, scale: float) -> tuple[int, ...]:
    """Height and width of the image x at a scale, equation (1)."""
    ratio = Fraction(scale).limit_denominator(1000)
    return tuple(_rounded((side - 1) * ratio.numerator, ratio.denominator) + 1 for side in x.shape[2:])


def _rounded(value: int, by: int) -> int:
    """round(value / by), of halves the even one, in whole numbers alone: those are what an exported graph can hold."""
    up = (2 * value + by) // (2 * by)
    over = (2 * value + by) % (2 * by)  # 0 for a half, which `up` has rounded up
    return up - (up % 2) * (1 - (over + 2 * by - 1) // (2 * by))
