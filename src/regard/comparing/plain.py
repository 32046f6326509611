"""The row `plain`: ordinary convolutions, with as many parameters as the attention of the largest row."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn


class PlainBottleneck(nn.Module):
    """A residual bottleneck of ordinary convolutions.

        y = x + W₃ relu(W₂ * relu(W₁ x))        W₁, W₃ 1×1, W₂ 3×3, no biases                                    (1)

    Args:
        channels: C of the input.
        width: of the bottleneck; with 0 nothing is left and y is x.

    Shapes: x `B C H W` -> `B C H W`.
    """

    def __init__(self, channels: int, *, width: int) -> None:
        super().__init__()
        self.branch = nn.Sequential()
        if width:
            self.branch = nn.Sequential(
                nn.Conv2d(channels, width, 1, bias=False),
                nn.ReLU(),
                nn.Conv2d(width, width, 3, padding=1, bias=False),
                nn.ReLU(),
                nn.Conv2d(width, channels, 1, bias=False),
            )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.branch(x) if len(self.branch) else x


def bottleneck_parameters(channels: int, width: int) -> int:
    """The number of parameters of a `PlainBottleneck`."""
    return 2 * channels * width + 9 * width * width


def widths(channels: Sequence[int], wanted: Sequence[int]) -> list[int]:
    """The width of the bottleneck at each site, such that the total number of parameters is nearest to the target.

    Each site gets what is wanted there, as nearly as whole channels allow. What is left over or overdrawn is carried to
    the next site, from the widest site to the narrowest, where a channel costs least: the sum is off by at most about
    half a channel there.

    Args:
        channels: C of each site.
        wanted: parameters to spend at each site.
    """
    chosen = [0] * len(channels)
    carried = 0
    for site in sorted(range(len(channels)), key=lambda site: (-channels[site], site)):
        carried += wanted[site]
        chosen[site] = _nearest_width(channels[site], carried)
        carried -= bottleneck_parameters(channels[site], chosen[site])
    return chosen


def _nearest_width(channels: int, parameters: int) -> int:
    """The width whose number of parameters is nearest to the given one."""
    if parameters <= 0:
        return 0
    below = math.floor((math.sqrt(channels * channels + 9 * parameters) - channels) / 9)  # 9 w² + 2 C w = parameters
    return min(below, below + 1, key=lambda width: abs(bottleneck_parameters(channels, width) - parameters))
