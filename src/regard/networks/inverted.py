"""MobileNetV2: inverted residual blocks, for ImageNet and for CIFAR.

MobileNetV2: Inverted Residuals and Linear Bottlenecks. Sandler, Howard, Zhu, Zhmoginov, Chen. CVPR 2018,
    arXiv:1801.04381, Table 2; as BangguWu/ECANet has it for ImageNet, and 13952522076/SPANet for CIFAR.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from regard.networks.sites import Attended, Body, Fitting, Site, convolution


@dataclass(frozen=True, kw_only=True)
class MobileNetV2:
    """A network of inverted residual blocks: 1 × 1 to a wider map, 3 × 3 by channel, 1 × 1 to a narrow one.

    Args:
        cifar: the variant for small images: no stride in the stem and in the second stage, ReLU in place of ReLU6, a
            first convolution also in the block that widens by 1, and projections where the widths of a block differ.
        blocks: how many in each stage.
        widths: of the stages.
        expansions: how many times wider the blocks of each stage are inside than their input.
        strides: of the stages.
        ends: widths of the stem and of the last 1 × 1 convolution.
        dropout: before the classifier.
    """

    axes: ClassVar[str] = "B C H W"
    places: ClassVar[tuple[str, ...]] = ("branch", "input")
    cifar: bool = False
    blocks: tuple[int, ...] = (1, 2, 3, 4, 3, 3, 1)
    widths: tuple[int, ...] = (16, 24, 32, 64, 96, 160, 320)
    expansions: tuple[int, ...] = (1, 6, 6, 6, 6, 6, 6)
    strides: tuple[int, ...] = (1, 2, 2, 2, 1, 2, 1)
    ends: tuple[int, int] = (32, 1280)
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
        before, last = (narrowed(width) for width in self.ends)
        stem = self.layer(channels, before, 3, 1 if self.cifar else 2)
        stages = nn.ModuleList()
        for stage, count in enumerate(blocks):
            parts: list[nn.Module] = []
            for i in range(count):
                site = Site(
                    stage=stage,
                    block=i,
                    blocks=count,
                    before=before,
                    inside=before * self.expansions[stage],
                    channels=narrowed(self.widths[stage]),
                    stride=1 if i or (self.cifar and stage == 1) else self.strides[stage],
                    narrowed=narrowed,
                )
                parts.append(_Block(self, site, fitting.at(site), fitting.place))
                before = site.channels
            stages.append(nn.Sequential(*parts))
        stages[-1].append(self.layer(before, last, 1))  # type: ignore[operator]  # a Sequential
        return Body(stem=stem, stages=stages, channels=last)

    def layer(self, channels: int, out: int, size: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
        """A convolution, a norm and a ReLU."""
        relu = nn.ReLU(inplace=True) if self.cifar else nn.ReLU6(inplace=True)
        return nn.Sequential(convolution(channels, out, size, stride, groups), nn.BatchNorm2d(out), relu)


class _Block(Attended):
    """An inverted residual block; only one without a stride has a shortcut."""

    def __init__(self, backbone: MobileNetV2, site: Site, mechanism: nn.Module | None, place: str) -> None:
        super().__init__(mechanism, place)
        before, inside, out = site.before, site.inside, site.channels
        self.layers = nn.Sequential()
        if inside != before or backbone.cifar:
            self.layers.append(backbone.layer(before, inside, 1))
        self.layers.append(backbone.layer(inside, inside, 3, site.stride, inside))
        self.layers.append(nn.Sequential(convolution(inside, out, 1), nn.BatchNorm2d(out)))
        projects = backbone.cifar and before != out
        self.shortcut = site.stride == 1 and (before == out or projects)
        self.project: nn.Module | None = None
        if self.shortcut and projects:
            self.project = nn.Sequential(convolution(before, out, 1), nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        y = self.attended(x, self.layers(x))
        if not self.shortcut:
            return y
        return y + (x if self.project is None else self.project(x))
