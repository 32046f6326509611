"""ResNets for video whose 3 × 3 × 3 convolutions see time in every block, narrower than those for images.

A²-Nets: Double Attention Networks. Chen, Kalantidis, Li, Yan, Feng. NIPS 2018, arXiv:1810.11579, Table 1.

The stem is a 3 × 5 × 5 convolution with 16 channels and a pool over 3 × 3 positions, both with stride 2 over space; the
second and later stages halve space, and with the first of them time. Bottlenecks are 1 × 1 × 1, 3 × 3 × 3, 1 × 1 × 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from regard.networks.sites import Attended, Body, Fitting, Site, bottlenecks, kaiming


@dataclass(frozen=True, kw_only=True)
class VolumeResNet:
    """A residual network of bottlenecks with 3 × 3 × 3 convolutions.

    Args:
        blocks: how many in each stage.
        widths: of the stages.
        stem: width of the stem.
        dropout: before the classifier.
    """

    axes: ClassVar[str] = "B C T H W"
    places: ClassVar[tuple[str, ...]] = ("branch", "behind")
    blocks: tuple[int, ...]
    widths: tuple[int, ...] = (32, 64, 128, 256)
    stem: int = 16
    dropout: float = 0.0

    def build(
        self,
        channels: int,
        *,
        blocks: tuple[int, ...],
        narrowed: Callable[[int], int],
        size: tuple[int, int],
        fitting: Fitting,
    ) -> Body:
        before = narrowed(self.stem)
        stem = nn.Sequential(
            _convolution(channels, before, (3, 5, 5), (1, 2, 2)),
            nn.BatchNorm3d(before),
            nn.ReLU(inplace=True),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
        )
        stages, last = bottlenecks(
            blocks,
            self.widths,
            before,
            lambda site, mechanism: _Block(site, mechanism, fitting.place),
            narrowed=narrowed,
            fitting=fitting,
        )
        return Body(stem=stem, stages=stages, channels=last)


class _Block(Attended):
    """A bottleneck whose middle convolution covers three frames."""

    def __init__(self, site: Site, mechanism: nn.Module | None, place: str) -> None:
        super().__init__(mechanism, place)
        before, inside, out = site.before, site.inside, site.channels
        step = (2 if site.stage == 1 and site.stride > 1 else 1, site.stride, site.stride)
        still = (1, 1, 1)
        plan = [(before, inside, still, still), (inside, inside, (3, 3, 3), step), (inside, out, still, still)]
        self.convs = nn.ModuleList(_convolution(*layer) for layer in plan)
        self.norms = nn.ModuleList(nn.BatchNorm3d(layer[1]) for layer in plan)
        self.project: nn.Module | None = None
        if site.stride != 1 or before != out:
            self.project = nn.Sequential(_convolution(before, out, still, step), nn.BatchNorm3d(out))

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for i, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            y = norm(conv(y))
            y = y if i == len(self.convs) - 1 else y.relu_()
        shortcut = x if self.project is None else self.project(x)
        return (self.attended(x, y) + shortcut).relu_()


def _convolution(channels: int, out: int, size: tuple[int, int, int], stride: tuple[int, int, int]) -> nn.Conv3d:
    padding = (size[0] // 2, size[1] // 2, size[2] // 2)
    return kaiming(nn.Conv3d(channels, out, size, stride, padding=padding, bias=False))
