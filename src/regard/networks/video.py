"""ResNets for video: C2D, whose kernels cover one frame, and I3D, some of whose kernels cover three or five.

Non-local Neural Networks. Wang, Girshick, Gupta, He. CVPR 2018, arXiv:1711.07971, Table 1 and Section 3.3.
Official code: facebookresearch/video-nonlocal-net (Caffe2).

The first 1 × 1 convolution of every block of the first stage, of every second block of the next two, and of the second
of the last reaches over three frames, as released.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from regard.networks.sites import Attended, Body, Fitting, Site, bottlenecks, kaiming


@dataclass(frozen=True, kw_only=True)
class VideoResNet:
    """A residual network of bottlenecks for clips.

    Args:
        blocks: how many in each stage.
        inflated: kernels over time (I3D), rather than over single frames (C2D).
        stride: of the stem's convolution and of its pool over time: 2 for clips of 32 frames, 1 for every fourth of
            their frames, which leaves as many behind the stem.
        widths: of the stages; the stem has the first.
        dropout: before the classifier.
    """

    axes: ClassVar[str] = "B C T H W"
    places: ClassVar[tuple[str, ...]] = ("branch", "behind")
    blocks: tuple[int, ...]
    inflated: bool
    stride: int
    widths: tuple[int, ...] = (64, 128, 256, 512)
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
        before = narrowed(self.widths[0])
        stem = _Stem(channels, before, frames=5 if self.inflated else 1, stride=self.stride)
        stages, last = bottlenecks(
            blocks,
            self.widths,
            before,
            lambda site, mechanism: _Block(
                site, 3 if self.inflated and _sees_time(site) else 1, mechanism, fitting.place
            ),
            narrowed=narrowed,
            fitting=fitting,
        )
        stages[0].append(_Pool((2, 1, 1), (2, 1, 1)))  # type: ignore[operator]  # a Sequential
        return Body(stem=stem, stages=stages, channels=last)


def _sees_time(site: Site) -> bool:
    return (True, site.block % 2 == 0, site.block % 2 == 0, site.block % 2 == 1)[site.stage]


class _Stem(nn.Sequential):
    """A 7 × 7 convolution over one or five frames, a norm, a ReLU and a pool without padding."""

    def __init__(self, channels: int, width: int, *, frames: int, stride: int) -> None:
        super().__init__(
            _convolution(channels, width, (frames, 7, 7), (stride, 2, 2)),
            nn.BatchNorm3d(width),
            nn.ReLU(inplace=True),
            _Pool((stride, 3, 3), (stride, 2, 2)),
        )

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 5:  # torch would take four axes for a clip without a batch
            raise ValueError(f"input of shape {tuple(x.shape)}: a batch of clips B C T H W is needed")
        for layer in self:
            x = layer(x)
        return x


class _Pool(nn.Module):
    """Max pooling without padding; an axis shorter than its window is pooled whole."""

    def __init__(self, size: tuple[int, int, int], stride: tuple[int, int, int]) -> None:
        super().__init__()
        self.size, self.stride = size, stride

    def forward(self, x: Tensor) -> Tensor:
        size = [min(window, length) for window, length in zip(self.size, x.shape[2:], strict=True)]
        return F.max_pool3d(x, size, self.stride)


class _Block(Attended):
    """A bottleneck whose first convolution may cover three frames."""

    def __init__(self, site: Site, frames: int, mechanism: nn.Module | None, place: str) -> None:
        super().__init__(mechanism, place)
        before, inside, out, step = site.before, site.inside, site.channels, (1, site.stride, site.stride)
        plan = [(before, inside, (frames, 1, 1), (1, 1, 1)), (inside, inside, (1, 3, 3), step)]
        plan.append((inside, out, (1, 1, 1), (1, 1, 1)))
        self.convs = nn.ModuleList(_convolution(*layer) for layer in plan)
        self.norms = nn.ModuleList(nn.BatchNorm3d(layer[1]) for layer in plan)
        nn.init.zeros_(self.norms[-1].weight)  # type: ignore[arg-type]  # as released
        self.project: nn.Module | None = None
        if site.stride != 1 or before != out:
            self.project = nn.Sequential(_convolution(before, out, (1, 1, 1), step), nn.BatchNorm3d(out))

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
