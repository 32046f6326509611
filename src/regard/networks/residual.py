"""ResNets for images: basic and bottleneck blocks, pre-activation, groups, and the released stems.

Deep Residual Learning for Image Recognition. He, Zhang, Ren, Sun. CVPR 2016, arXiv:1512.03385.
Identity Mappings in Deep Residual Networks. He, Zhang, Ren, Sun. ECCV 2016, arXiv:1603.05027.
Aggregated Residual Transformations for Deep Neural Networks. Xie et al. CVPR 2017, arXiv:1611.05431.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from regard.networks.sites import Attended, Body, Fitting, Site, convolution
from regard.ops import pooling

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


@dataclass(frozen=True, kw_only=True)
class ResNet:
    """A residual network for images, without attention.

    Args:
        blocks: how many in each stage.
        bottleneck: 1 × 1, 3 × 3, 1 × 1 to four times the stage's width, rather than twice 3 × 3.
        preactivation: norm and ReLU before each convolution.
        stem: conv7 (7 × 7, stride 2, padded pool), caffe (the same, its pool rounds up), deep (three 3 × 3, the pool
            rounds up), cifar (3 × 3), pixel (1 × 1).
        widths: of the stages; the stem has the first.
        inner: how many times wider the 3 × 3 convolution of a bottleneck is than the stage's width.
        reduced: how many times wider the first 1 × 1 convolution is.
        groups: of the 3 × 3 convolution.
        stride_first: the stride is in the first convolution of a bottleneck rather than the 3 × 3.
        projection: kernel of the projections behind the first stage.
        last_stride: of the last stage.
        dropout: before the classifier.
    """

    axes: ClassVar[str] = "B C H W"
    places: ClassVar[tuple[str, ...]] = ("branch", "conv", "input", "behind")
    blocks: tuple[int, ...]
    bottleneck: bool = True
    preactivation: bool = False
    stem: str = "conv7"
    widths: tuple[int, ...] = (64, 128, 256, 512)
    inner: int = 1
    reduced: int = 1
    groups: int = 1
    stride_first: bool = False
    projection: int = 1
    last_stride: int = 2
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
        first = narrowed(self.widths[0])
        stem = _stem(self.stem, channels, first)
        before = 2 * first if self.stem == "deep" else first
        grid = (_behind_stem(size[0], self.stem), _behind_stem(size[1], self.stem))
        stages = nn.ModuleList()
        for stage, count in enumerate(blocks):
            own = narrowed(self.widths[stage])
            step = 1 if stage == 0 else self.last_stride if stage == 3 else 2
            grid = (-(-grid[0] // step), -(-grid[1] // step))
            parts: list[nn.Module] = []
            for i in range(count):
                site = Site(
                    stage=stage,
                    block=i,
                    blocks=count,
                    before=before,
                    inside=own * self.inner,
                    channels=4 * own if self.bottleneck else own,
                    stride=1 if i else step,
                    narrowed=narrowed,
                    groups=narrowed(self.groups),
                    grid=grid,
                )
                mechanism = fitting.at(site)
                parts.append(_Block(self, site, mechanism, fitting.place))
                if mechanism is not None and fitting.place == "behind":
                    parts.append(mechanism)
                before = site.channels
            stages.append(nn.Sequential(*parts))
        return Body(stem=stem[:1] if self.preactivation else stem, stages=stages, channels=before)


class _Block(Attended):
    """A residual block with or without a mechanism."""

    def __init__(self, backbone: ResNet, site: Site, mechanism: nn.Module | None, place: str) -> None:
        super().__init__(mechanism, place)
        before, inside, out = site.before, site.inside, site.channels
        plan = [(before, out, 3, site.stride, 1), (out, out, 3, 1, 1)]
        if backbone.bottleneck:
            first, middle = (site.stride, 1) if backbone.stride_first else (1, site.stride)
            reduced = inside * backbone.reduced // backbone.inner
            plan = [(before, reduced, 1, first, 1), (reduced, inside, 3, middle, site.groups), (inside, out, 1, 1, 1)]
        self.preactivation = backbone.preactivation
        self.convs = nn.ModuleList(convolution(*layer) for layer in plan)
        self.norms = nn.ModuleList(nn.BatchNorm2d(layer[0 if self.preactivation else 1]) for layer in plan)
        self.project: nn.Module | None = None
        if site.stride != 1 or before != out:
            self.project = convolution(before, out, backbone.projection if site.stage else 1, site.stride)
            if not self.preactivation:
                self.project = nn.Sequential(self.project, nn.BatchNorm2d(out))
        if mechanism is not None and place == "conv":  # it brings norm and ReLU of its own
            self.convs[1], self.norms[1] = mechanism, nn.Identity()

    def branch(self, h: Tensor) -> Tensor:
        """F of relu(norm x) in a pre-activation block, else of x."""
        for i, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            if self.preactivation:
                h = conv(norm(h).relu_() if i else h)
            else:
                h = norm(conv(h))
                h = h if i == len(self.convs) - 1 or isinstance(norm, nn.Identity) else h.relu_()
        return h

    def forward(self, x: Tensor) -> Tensor:
        h = self.norms[0](x).relu_() if self.preactivation else x
        shortcut = x if self.project is None else self.project(h)
        y = self.attended(x, self.branch(h)) + shortcut
        return y if self.preactivation else y.relu_()


def _stem(kind: str, channels: int, width: int) -> nn.Sequential:
    """The layers before the stages: convolutions, norms, and a pool if there is one."""
    plans: dict[str, list[tuple[int, ...]]] = {
        "conv7": [(channels, width, 7, 2)],
        "caffe": [(channels, width, 7, 2)],
        "deep": [(channels, width, 3, 2), (width, width, 3), (width, 2 * width, 3)],
        "cifar": [(channels, width, 3)],
        "pixel": [(channels, width, 1)],
    }
    layers: list[nn.Module] = []
    for layer in plans[kind]:
        layers += [convolution(*layer), nn.BatchNorm2d(layer[1]), nn.ReLU(inplace=True)]
    if kind not in ("cifar", "pixel"):
        layers.append(nn.MaxPool2d(3, 2, 1) if kind == "conv7" else _CaffePool())
    return nn.Sequential(*layers)


class _CaffePool(nn.Module):
    """Max pooling over 3 × 3 with stride 2, rounded up, without padding."""

    def forward(self, x: Tensor) -> Tensor:
        return pooling.halved_maximum(x, 3)


def _behind_stem(side: int, kind: str) -> int:
    """Side of the map behind the stem."""
    half = -(-side // 2)
    return {"cifar": side, "pixel": side, "conv7": -(-half // 2)}.get(kind, max(half // 2, 1))
