"""Attention sampling: a glance at the whole image chooses the few patches that are computed in full resolution.

Processing Megapixel Images with Deep Attention-Sampling Models. Katharopoulos, Fleuret. ICML 2019, arXiv:1905.03711.
Official code: idiap/attention-sampling (Keras).

    z = attention network(image reduced by s)                            one logit for each of N patches      (1)
    π = softmax(z)                                                                                            (2)
    y = Σ_n π_n f(patch_n)                                               soft: every patch                    (3)
    y = 1/k Σ_i f(patch_{j_i}),  j_i ~ π                                 k draws, unbiased                    (4)
    ∂y = 1/k Σ_i (f ∂log π + ∂f)(j_i)                                    its gradient, unbiased               (5)
    p(class) = softmax(W y + b)                                                                               (6)

    A choice of `ops.hard_attention` can take the place of (4) and (5), as the hard attention of Show, Attend and Tell
    (arXiv:1502.03044), trained by REINFORCE.

Place: a network of its own, for images in which a small part decides. Soft attention computes N patches, the others
    one or k; "straight-through" and "gumbel" need all of them in training, for the gradient of the weights.
Cost: the attention network on HW/s² pixels and f on each computed patch, whatever the size of the image.
Deviations: paper, a logit for each pixel of the reduced image and a patch around it | here a grid of patches, `stride`
    apart, with the logits from a convolution as large as a patch, so that (3) can be computed to compare with. Official
    code draws without replacement by default | with replacement, as the paper begins. Both draw in use as well |
    in evaluation here the k likeliest, with their weights renormalised, so that an image has one answer. The attention
    network has rectifiers for hyperbolic tangents, and f strides for a maximum over the patch; both networks are free
    in the paper. The official code was read, and not run.
Errata: none known.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regard.checks import check_input, choice, positive, whole_numbers
from regard.core import Attention
from regard.layers import hard_softmax
from regard.ops import hard_attention
from regard.ops.precision import widened

EXPECTATION = "expectation"


class AttentionSampling(Attention):
    """Classifies by a few patches, which a small network has chosen at a glance at the whole image.

    Args:
        channels: C of the images.
        classes: K, the number of classes.
        patch: side of a patch in pixels; a multiple of `scale`.
        stride: distance of neighbouring patches in pixels; a multiple of `scale`.
        scale: s, how many times smaller the image is that the attention network sees.
        widths: channels of the convolutions of f, each of which halves the patch.
        attention_width: channels of the attention network.
        hard: "expectation", the paper's (4); None, soft attention to every patch; or a mode of `ops.hard_attention`.
        top_k: k, the patches that "expectation" draws and "top-k" keeps; the others take one.
        temperature: τ of "gumbel".

    Shapes: x `B C H W`, no side smaller than a patch -> class scores `B K`.
    Maps: spatial `B 1 H W`, the weight of each patch spread over its pixels; sums to 1.
    Raises: ValueError for an argument out of range, or an input of another shape.
    """

    def __init__(
        self,
        channels: int = 1,
        *,
        classes: int = 10,
        patch: int,
        stride: int,
        scale: int,
        widths: Sequence[int] = (16, 32, 64),
        attention_width: int = 8,
        hard: str | None = EXPECTATION,
        top_k: int = 4,
        temperature: float = 1.0,
    ) -> None:
        super().__init__()
        self.channels = positive("channels", channels)
        positive("classes", classes)
        self.scale = positive("scale", scale)
        for name, size in (("patch", patch), ("stride", stride)):
            if positive(name, size) % scale:
                raise ValueError(f"{name}={size}: a multiple of scale={scale} is needed")
        self.patch, self.stride = patch, stride
        widths = whole_numbers("widths", widths)
        positive("attention_width", attention_width)
        choice("hard", hard, (None, EXPECTATION, *hard_attention.MODES))
        self.hard, self.top_k = hard, positive("top_k", top_k)
        self.attention = nn.Sequential(
            nn.Conv2d(channels, attention_width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(attention_width, attention_width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(attention_width, 1, patch // scale, stride=stride // scale),
        )
        sides = zip((channels, *widths), widths, strict=False)
        convolutions = [nn.Conv2d(a, b, 3 if i else 5, 2, 1 if i else 2) for i, (a, b) in enumerate(sides)]
        self.feature = nn.Sequential(*itertools.chain.from_iterable((conv, nn.ReLU()) for conv in convolutions))
        for layer in (*self.attention[:-1], *self.feature):
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        self.classify = nn.Linear(widths[-1], classes)
        self.choice = hard_softmax(None if hard == EXPECTATION else hard, top_k, temperature)

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, "B C H W", C=self.channels)
        if min(x.shape[2:]) < self.patch:
            raise ValueError(f"input of shape {tuple(x.shape)}: at least patch={self.patch} pixels a side are needed")
        logits = self.attention(F.avg_pool2d(x, self.scale))  # [B, 1, h, w]
        place, weights = self.chosen(widened(logits.flatten(1)))  # [B, k] both
        if self.watched:
            grid = torch.zeros_like(logits.flatten(1)).scatter_add(1, place, weights.to(logits.dtype))
            self.show("spatial", self._spread(grid.view_as(logits), x))
        features = self._features(x, place, logits.shape[2:])  # [B, k, F]
        y = (weights.to(features.dtype)[:, None] @ features)[:, 0]  # [B, F]
        scores: Tensor = self.classify(y)
        return scores

    def chosen(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """The patches to compute and their weights: `B N` -> `B k` both."""
        count = logits.shape[1]
        if self.hard == EXPECTATION and self.training:
            log_p = logits.log_softmax(1)
            place = hard_attention.drawn(log_p[:, None].expand(-1, self.top_k, -1))  # [B, k]
            log_chosen = log_p.gather(1, place)
            return place, (1 + log_chosen - log_chosen.detach()) / self.top_k
        if self.hard in (EXPECTATION, "top-k"):
            largest = logits.topk(min(self.top_k, count), 1)
            return largest.indices, largest.values.softmax(1)
        if self.choice is not None and self.choice.picks:
            place = self.choice.place(logits)[:, None]
            return place, torch.ones_like(logits[:, :1])
        every = torch.arange(count, device=logits.device).expand(logits.shape[0], -1)
        return every, logits.softmax(1) if self.choice is None else self.choice(logits)

    def _features(self, x: Tensor, place: Tensor, grid: Sequence[int]) -> Tensor:
        """f of the patches at the places `B k` of a grid of patches: `B k F`."""
        down, right = (torch.arange(count, device=x.device) * self.stride for count in grid)
        top, left = (corner.flatten()[place] for corner in torch.meshgrid(down, right, indexing="ij"))  # [B, k]
        along = torch.arange(self.patch, device=x.device)
        rows, across = top[..., None] + along, left[..., None] + along  # [B, k, p]
        image = torch.arange(x.shape[0], device=x.device)[:, None, None, None]
        patches = x.permute(0, 2, 3, 1)[image, rows[..., None], across[:, :, None]]  # [B, k, p, p, C]
        features = self.feature(patches.flatten(0, 1).permute(0, 3, 1, 2)).mean((2, 3))
        by_image: Tensor = features.unflatten(0, (place.shape[0], place.shape[1]))
        return by_image

    def _spread(self, grid: Tensor, x: Tensor) -> Tensor:
        """The weight of each patch over its pixels: `B 1 h w` -> `B 1 H W`."""
        ones = grid.new_full((1, 1, self.patch, self.patch), self.patch**-2)
        spread = F.conv_transpose2d(grid, ones, stride=self.stride)
        return F.pad(spread, (0, x.shape[3] - spread.shape[3], 0, x.shape[2] - spread.shape[2]))
