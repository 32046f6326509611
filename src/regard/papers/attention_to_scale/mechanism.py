"""Attention to scale: at every position, a weight for each scale at which the image was seen.

Attention to Scale: Scale-Aware Semantic Image Segmentation. Chen, Yang, Wang, Xu, Yuille. CVPR 2016, arXiv:1511.03339.
Official code: none that could be read; the paper's equations.

    h   = V relu(U [φ_1; resize(φ_2); …; resize(φ_S)])     φ_s the features of scale s, U 3 × 3, V 1 × 1         (1)
    w_s = exp h_s / Σ_t exp h_t                            at every position, over scales              Eq. 2     (2)
    g   = Σ_s w_s resize(f_s)                              f_s the class scores of scale s             Eq. 1     (3)

    φ_1, f_1 are the finest; the others are resized to them, bilinear with corners kept.

Place: behind a network that runs on an image at several scales, with the same weights: `attention_to_scale`.
Cost: (1) 9 S C hidden multiplications for each position of the finest map, (2) and (3) S times its hidden width and the
    number of classes. 14,157,827 parameters for C = 1024, S = 3.
Deviations: paper, a first layer "of 512 filters with kernel size 3 × 3" and a second of S filters of 1 × 1 | released
    definition not found, a ReLU between the two and no dropout are a reading | as read.
Errata: NVIDIA/semantic-segmentation's `attnscale` has no softmax over scales, and pads its 1 × 1 convolution, whose
    map then has a border that no image is behind. It is another mechanism.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from regard.checks import check_input, positive, whole
from regard.core import Attention
from regard.ops.tracing import exporting


class ScaleAttention(Attention):
    """Weighted sum of the class scores of several scales, with a weight for each scale at each position.

    Args:
        channels: C of the features of each scale.
        scales: S, at least 2.
        hidden: channels between the two convolutions.

    Shapes: S features `B C h w`, then S scores `B K h w`, each the finest first, of which the first have one size ->
        `B K H W`, of that size. Maps: scale `B S H W`; its sum over S is 1.
    Raises: ValueError for an argument out of range, and inputs that do not fit.
    """

    def __init__(self, channels: int, *, scales: int = 3, hidden: int = 512) -> None:
        super().__init__()
        self.channels, self.scales = positive("channels", channels), whole("scales", scales, 2)
        self.hide = nn.Conv2d(scales * channels, positive("hidden", hidden), 3, padding=1)
        self.score = nn.Conv2d(hidden, scales, 1)

    def weights(self, *features: Tensor) -> Tensor:
        """Equations (1) and (2): the weight of each scale at each position, `B S H W`."""
        hidden = self.hide(torch.cat(aligned(features), 1)).relu()
        weights: Tensor = self.score(hidden).softmax(1)
        return weights

    def forward(self, *maps: Tensor) -> Tensor:
        features, scores = divided(maps, self.scales)
        for one in features:
            check_input(one, "B C h w", B=features[0].shape[0], C=self.channels)
        if scores[0].shape[2:] != features[0].shape[2:] and not exporting():
            raise ValueError(
                f"scores of shape {tuple(scores[0].shape)}: the size of {tuple(features[0].shape)} is needed"
            )
        weights = self.see("scale", self.weights(*features))
        each = torch.stack(aligned(scores), 1)  # [B, S, K, H, W]
        merged: Tensor = (weights[:, :, None] * each).sum(1)
        return merged


def divided(maps: Sequence[Tensor], scales: int) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
    """The features and the scores of all scales.

    Raises: ValueError if there are not as many, or if the scores are not of one batch and one number of classes.
    """
    if len(maps) != 2 * scales:
        raise ValueError(f"{len(maps)} maps: the features and the scores of {scales} scales are needed")
    features, scores = maps[:scales], maps[scales:]
    check_input(scores[0], "B K h w", B=features[0].shape[0])
    for one in scores[1:]:
        check_input(one, "B K h w", B=scores[0].shape[0], K=scores[0].shape[1])
    return features, scores


def aligned(maps: Sequence[Tensor]) -> list[Tensor]:
    """The maps at the size of the first."""
    return [maps[0], *(resized(one, maps[0].shape[2:]) for one in maps[1:])]


def resized(x: Tensor, size: Sequence[int]) -> Tensor:
    """The map at another size, bilinear with corners kept."""
    if not exporting() and x.shape[2:] == tuple(size):
        return x
    return functional.interpolate(x, list(size), mode="bilinear", align_corners=True)
