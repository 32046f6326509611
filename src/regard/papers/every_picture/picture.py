"""What detectors and a gist say of an image: the features from which the labels of every node are scored.

    g_k = relu(cos(θ_k − θ))^4 |∇|                        θ_k: eight directions; ∇, θ: gradient of the lightest     (6)
    h   = mean of g over cells of 2 × 2 pixels, over its norm in the 3 × 3 cells around; beside it the mean colours (7)
    r_l(p) = t_l ∗ h at place p and level s               t_l: a template of 5 × 5 cells for each label l           (8)
    v   = [max_p r_l for each level, colours of h by a grid of 4 × 4]                                               (9)

Levels are the image and its halves. A template is a detector with one part, whose response is its largest one, as in
Felzenszwalb et al., PAMI 2010; the grid of colours is a small gist, after Oliva, Torralba, IJCV 2001.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regard.checks import positive
from regard.ops.precision import widened

DIRECTIONS = 8
CELL = 2  # pixels
TEMPLATE = 5  # cells
LEVELS = 3
GRID = 4  # of the gist
SMALL = 0.05  # of a gradient: what is below it counts as even
SHARP = 4  # how fast a direction falls off


class Picture(nn.Module):
    """Equations (6) to (9): the features of an image, and the responses of its detectors.

    Args:
        channels: of the image.
        detectors: the number of labels with a template.

    Shapes: `B C H W` -> features `B D`, responses at the finest level `B K h w`; `see` is shown the responses, and
        returns those that act.
    Raises: ValueError for an argument that is not positive.
    """

    def __init__(self, channels: int, *, detectors: int) -> None:
        super().__init__()
        self.templates = nn.Conv2d(
            DIRECTIONS + positive("channels", channels), positive("detectors", detectors), TEMPLATE, padding="same"
        )
        self.width = LEVELS * detectors + channels * GRID**2
        angles = 2 * math.pi * torch.arange(DIRECTIONS) / DIRECTIONS
        self.register_buffer("directions", torch.stack([angles.cos(), angles.sin()], 1)[:, :, None, None])
        self.directions: Tensor

    def forward(self, image: Tensor, see: Callable[[Tensor], Tensor] | None = None) -> tuple[Tensor, Tensor]:
        levels = [image]
        while len(levels) < LEVELS:
            levels.append(F.avg_pool2d(levels[-1], 2, ceil_mode=True))
        cells = [self.cells(level) for level in levels]
        responses = [self.templates(one) for one in cells]
        if see is not None:
            responses[0] = see(responses[0])
        strongest = [response.flatten(2).amax(2) for response in responses]
        gist = F.adaptive_avg_pool2d(cells[0][:, DIRECTIONS:], GRID).flatten(1)
        return torch.cat([*strongest, gist], 1), responses[0]

    def strongest(self, features: Tensor) -> Tensor:
        """The largest response of each template at each level, of the features: `B D` -> `B 3 K`."""
        kinds = self.templates.out_channels
        responses: Tensor = features[:, : LEVELS * kinds].unflatten(1, (LEVELS, kinds))
        return responses

    def cells(self, image: Tensor) -> Tensor:
        """Equations (6) and (7): `B C H W` -> `B 8+C h w`."""
        dtype, image = image.dtype, widened(image)  # squares of gradients leave the range of float16
        light = F.pad(image.amax(1, keepdim=True), (1, 1, 1, 1), mode="replicate")
        across = light[:, :, 1:-1, 2:] - light[:, :, 1:-1, :-2]
        down = light[:, :, 2:, 1:-1] - light[:, :, :-2, 1:-1]
        steep = (across.square() + down.square() + SMALL**4).sqrt()
        turned = (
            F.conv2d(torch.cat([across, down], 1), self.directions.to(light.dtype)).relu() / steep
        ) ** SHARP * steep
        pooled = F.avg_pool2d(torch.cat([turned, image], 1), CELL, ceil_mode=True)
        edges, colours = pooled.split([DIRECTIONS, image.shape[1]], 1)
        around = F.avg_pool2d(edges.square().sum(1, keepdim=True), 3, stride=1, padding=1)
        return torch.cat([edges / (around + SMALL**2).sqrt(), colours], 1).to(dtype)


def detector_loss(strongest: Tensor, present: Tensor) -> Tensor:
    """The hinge loss of detectors; labels that are there count as much in all as those that are not.

    Shapes: responses `B K`, present `bool B K` -> a number.
    """
    signs = present.to(strongest.dtype) * 2 - 1
    share = present.to(strongest.dtype).mean().clamp(0.01, 0.5)
    weight = torch.where(present, (1 - share) / share, 1.0)
    loss: Tensor = ((1 - signs * strongest).relu() * weight).mean()
    return loss
