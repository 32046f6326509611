"""The classification networks of the attention papers by name: each mechanism where its paper puts it.

Deep Residual Learning for Image Recognition. He, Zhang, Ren, Sun. CVPR 2016, arXiv:1512.03385, for the backbone; its
    pre-activation form: Identity Mappings in Deep Residual Networks. He, Zhang, Ren, Sun. ECCV 2016, arXiv:1603.05027.
    The papers of the mechanisms stand in their own files.
Official code: hujie-frank/SENet, hujie-frank/GENet, implus/SKNet (Caffe); BangguWu/ECANet, Jongchan/attention-module,
    cfzd/FcaNet, ZilinGao/Global-Second-order-Pooling-Convolutional-Networks, 13952522076/SPANet, xvjiarui/GCNet.

    y = relu(a(F(x)) + s(x))       "branch", behind the last norm: SE, GE, ECA, CBAM, FcaNet, GSoP, GC, SPPSE    (1)
    y = relu(F₂(a(F₁ x)) + s(x))   "conv", instead of the 3 × 3 convolution: SK                                  (2)
    y = g(x) · F(x) + s(x)         "input", a gate from the block's input: PSPPSE, CPSPPSE                       (3)
    y = a(block(x))                "behind" a block: BAM (the last of stages 1 to 3), Non-local                  (4)

    F is conv-norm-relu twice (basic) or with 1 × 1 around (bottleneck); before activation: norm-relu-conv, and no relu
    behind the sum. s is the identity, or a projection where the shape changes.

Place: image classification, and as backbones. `NETWORKS` is the table: backbone, mechanism, place, published count.
Cost: parameters as counted in `NETWORKS`; the backbone's multiplications and the mechanisms' own.
Deviations: the final map is averaged whole, where the definitions average 7 × 7. The stride is in the first 1 × 1 of
    Caffe's SE-ResNet and GE-ResNet, in the 3 × 3 of all others, as released; Caffe's stem pools round up, the
    others pad. Official: se_resnet50, 101 and 152, se_resnext*, senet154; moskomule's, whose gates have no biases:
    se_resnet18, 34, 20, 32, 56 and *_port. SK, paper: d = max(C/16, 32) | sknet101's definition has 16 in its second
    stage | as released. ECA, paper: kernel size by a formula | chosen by stage | as released. BAM and CBAM are those of
    ImageNet. Non-local and GC are published for video and detection: nonlocal_resnet* has the block of COCO, one before
    the last of res4, nonlocal5_resnet50 the five of Kinetics, both without kernels over time.
Errata: one ResNet for all papers is not what they measured: biases, strides, stems and pools differ as above.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from regard import catalog
from regard.layers import positive
from regard.mechanisms.bottleneck_attention import BottleneckAttention
from regard.mechanisms.cbam import ConvBlockAttention
from regard.mechanisms.covariance_pooling import CovariancePooling
from regard.mechanisms.efficient_channel import EfficientChannel
from regard.mechanisms.frequency_channel import FrequencyChannel
from regard.mechanisms.gather_excite import GatherExcite
from regard.mechanisms.global_context import GlobalContext
from regard.mechanisms.non_local import NonLocal
from regard.mechanisms.second_order import SecondOrderPooling
from regard.mechanisms.selective_kernel import SelectiveKernel
from regard.mechanisms.spatial_pyramid import PreSpatialPyramid, SpatialPyramid
from regard.mechanisms.squeeze_excite import SqueezeExcite
from regard.ops import pooling

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """A residual network without attention.

    Args:
        blocks: how many in each stage.
        bottleneck: 1 × 1, 3 × 3, 1 × 1 to four times the stage's width, rather than twice 3 × 3.
        preactivation: norm and ReLU before each convolution.
        stem: conv7 (7 × 7, stride 2, padded pool), caffe (the same, its pool rounds up), deep (three 3 × 3, the pool
            rounds up), cifar (3 × 3).
        widths: of the stages; the stem has the first.
        inner: how many times wider the 3 × 3 convolution of a bottleneck is than the stage's width.
        reduced: how many times wider the first 1 × 1 convolution is.
        groups: of the 3 × 3 convolution.
        stride_first: the stride is in the first convolution of a bottleneck rather than the 3 × 3.
        projection: kernel of the projections behind the first stage.
        last_stride: of the last stage.
        dropout: before the classifier.
    """

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


@dataclass(frozen=True, kw_only=True)
class Site:
    """A block that may have a mechanism: what the mechanism may need to know.

    Args:
        stage, block, blocks: counted from 0, and how many blocks the stage has.
        before, inside, channels: C of the block's input, of its 3 × 3 convolution and of its output.
        stride: of the block.
        groups: of its 3 × 3 convolution.
        grid: (H, W) of the output.
        narrowed: a width that the paper fixes -> what it is in a network as narrow as this one.
    """

    stage: int
    block: int
    blocks: int
    before: int
    inside: int
    channels: int
    stride: int
    groups: int
    grid: tuple[int, int]
    narrowed: Callable[[int], int]


Make = Callable[[Site], nn.Module]


@dataclass(frozen=True, kw_only=True)
class Network:
    """One network of a paper.

    Args:
        backbone: what the mechanism goes into.
        attention: site -> mechanism.
        place: branch, conv, input or behind, as in equations (1) to (4).
        where: which sites have one; None means all.
        head: average, or covariance (GSoP-Net2).
        parameters: the count of the released definition or code with `classes` classes; None where none was published.
        classes: that it was counted with.
    """

    backbone: Backbone
    attention: Make
    place: str = "branch"
    where: Callable[[Site], bool] | None = None
    head: str = "average"
    parameters: int | None = None
    classes: int = 1000


# Mechanisms, as functions of where they go.


def _of(mechanism: Callable[..., nn.Module], **options: Any) -> Make:
    """One that needs nothing but its channels."""
    return lambda site: mechanism(site.channels, **options)


def _ge(variant: str) -> Make:
    return lambda site: GatherExcite(site.channels, variant=variant, grid=site.grid)


def _eca(*sizes: int) -> Make:
    return lambda site: EfficientChannel(site.channels, kernel_size=sizes[site.stage])


def _sk(*hidden: int) -> Make:
    return lambda site: SelectiveKernel(
        site.inside, stride=site.stride, groups=site.groups, hidden=site.narrowed(hidden[site.stage])
    )


def _fca(site: Site) -> nn.Module:
    return FrequencyChannel(site.channels, size=56 // 2**site.stage)


def _gsop(site: Site) -> nn.Module:
    return SecondOrderPooling(site.channels, hidden=site.narrowed(128), stride=1 if site.stage else 2)


def _spa_before(convolve: bool) -> Make:
    return lambda site: PreSpatialPyramid(site.before, out=site.channels, convolve=convolve)


def _stage_2_to_4(site: Site) -> bool:
    return site.stage > 0


def _ends_stage(site: Site) -> bool:
    return site.block == site.blocks - 1


def _ends_stage_1_to_3(site: Site) -> bool:
    return _ends_stage(site) and site.stage < 3


def _family(
    name: str, backbones: Mapping[int, Backbone], attention: Make, counts: Mapping[int, int | None], **facts: Any
) -> dict[str, Network]:
    return {
        name.format(depth): Network(backbone=backbones[depth], attention=attention, parameters=count, **facts)
        for depth, count in counts.items()
    }


_RESNET = {depth: Backbone(blocks=blocks, bottleneck=depth > 34) for depth, blocks in BLOCKS.items()}
_CAFFE = {depth: replace(backbone, stem="caffe", stride_first=True) for depth, backbone in _RESNET.items()}
_RESNEXT = {
    depth: replace(backbone, stem="caffe", inner=2, reduced=2, groups=32) for depth, backbone in _RESNET.items()
}
_PREACT = {depth: replace(backbone, stem="cifar", preactivation=True) for depth, backbone in _RESNET.items()}
_SMALL = {
    depth: Backbone(blocks=(depth // 6,) * 3, bottleneck=False, stem="cifar", widths=(16, 32, 64))
    for depth in (20, 32, 56)
}
_SENET = {
    154: Backbone(blocks=BLOCKS[152], stem="deep", inner=4, reduced=2, groups=64, projection=3, dropout=0.2),
}
_GSOP = {50: replace(_RESNET[50], last_stride=1)}
_SPA_BEFORE: dict[str, Any] = {"place": "input", "classes": 100}

NETWORKS: Mapping[str, Network] = {
    **_family("se_resnet{}", _CAFFE, _of(SqueezeExcite), {50: 28_088_024, 101: 49_326_872, 152: 66_821_848}),
    **_family("se_resnext{}", _RESNEXT, _of(SqueezeExcite), {50: 27_559_896, 101: 48_955_416}),
    **_family("senet{}", _SENET, _of(SqueezeExcite), {154: 115_088_984}),
    **_family("se_resnet{}", _RESNET, _of(SqueezeExcite, bias=False), {18: 11_776_552, 34: None}),
    **_family("se_resnet{}_port", _RESNET, _of(SqueezeExcite, bias=False), {50: 28_071_976, 101: 49_292_328}),
    **_family("se_resnet{}", _SMALL, _of(SqueezeExcite, bias=False), {20: 274_490, 32: None, 56: 861_818}, classes=10),
    **_family("ge_resnet{}_theta_minus", _CAFFE, _ge("theta_minus"), {50: 25_557_032}),
    **_family("ge_resnet{}_theta", _CAFFE, _ge("theta"), {50: 31_106_600}),
    **_family("ge_resnet{}_theta_plus", _CAFFE, _ge("theta_plus"), {50: 33_637_592}),
    **_family("sknet{}", _RESNEXT, _sk(32, 32, 32, 64), {50: 27_479_784}, place="conv"),
    **_family("sknet{}", _RESNEXT, _sk(32, 16, 32, 64), {101: 48_686_760}, place="conv"),
    **_family("eca_resnet{}", _RESNET, _eca(3, 5, 7, 7), {18: None}),
    **_family("eca_resnet{}", _RESNET, _eca(3, 5, 5, 7), {50: 25_557_112}),
    **_family("eca_resnet{}", _RESNET, _eca(3, 3, 5, 7), {34: None, 101: None, 152: None}),
    **_family(
        "cbam_resnet{}", _RESNET, _of(ConvBlockAttention), {18: 11_779_392, 34: None, 50: 28_089_624, 101: 49_330_172}
    ),
    **_family(
        "bam_resnet{}",
        _RESNET,
        _of(BottleneckAttention),
        {18: 11_712_503, 34: None, 50: 25_915_099, 101: 44_907_227},
        place="behind",
        where=_ends_stage_1_to_3,
    ),
    **_family("fcanet{}", _RESNET, _fca, {34: 21_954_856, 50: 28_071_976, 101: 49_292_328, 152: None}),
    "gsop_net1": Network(backbone=_GSOP[50], attention=_gsop, where=_ends_stage, parameters=28_285_224),
    "gsop_net2": Network(
        backbone=_GSOP[50],
        attention=_gsop,
        where=_ends_stage_1_to_3,
        head="covariance",
        parameters=58_278_568,
    ),
    **_family("sppse_resnet{}", _PREACT, _of(SpatialPyramid), {18: None, 50: 51_357_860, 101: None}, classes=100),
    **_family("psppse_resnet{}", _PREACT, _spa_before(False), {18: None, 50: 45_683_108, 101: None}, **_SPA_BEFORE),
    **_family("cpsppse_resnet{}", _PREACT, _spa_before(True), {18: None, 50: 54_134_436, 101: None}, **_SPA_BEFORE),
    **_family("gc_resnet{}_r4", _RESNET, _of(GlobalContext, reduction=4), {50: None, 101: None}, where=_stage_2_to_4),
    **_family("gc_resnet{}_r16", _RESNET, _of(GlobalContext, reduction=16), {50: None, 101: None}, where=_stage_2_to_4),
    **_family(
        "nonlocal_resnet{}",
        _RESNET,
        _of(NonLocal),
        {50: None, 101: None},
        place="behind",
        where=lambda site: site.stage == 2 and site.block == site.blocks - 2,
    ),
    **_family(
        "nonlocal5_resnet{}",
        _RESNET,
        _of(NonLocal),
        {50: None},
        place="behind",
        where=lambda site: site.stage in (1, 2) and site.block % 2 == 1,
    ),
}


def _conv(channels: int, out: int, size: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    conv = nn.Conv2d(channels, out, size, stride, padding=size // 2, groups=groups, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return conv


class _Block(nn.Module):
    """Equations (1) to (3): a residual block, with a mechanism at one of its places or without."""

    def __init__(self, backbone: Backbone, site: Site, mechanism: nn.Module | None, place: str) -> None:
        super().__init__()
        before, inside, out = site.before, site.inside, site.channels
        plan = [(before, out, 3, site.stride, 1), (out, out, 3, 1, 1)]
        if backbone.bottleneck:
            first, middle = (site.stride, 1) if backbone.stride_first else (1, site.stride)
            reduced = inside * backbone.reduced // backbone.inner
            plan = [(before, reduced, 1, first, 1), (reduced, inside, 3, middle, site.groups), (inside, out, 1, 1, 1)]
        self.preactivation = backbone.preactivation
        self.convs = nn.ModuleList(_conv(*layer) for layer in plan)
        self.norms = nn.ModuleList(nn.BatchNorm2d(layer[0 if self.preactivation else 1]) for layer in plan)
        self.project: nn.Module | None = None
        if site.stride != 1 or before != out:
            self.project = _conv(before, out, backbone.projection if site.stage else 1, site.stride)
            if not self.preactivation:
                self.project = nn.Sequential(self.project, nn.BatchNorm2d(out))
        self.place = place if mechanism is not None else ""
        if mechanism is not None and place == "conv":  # it brings norm and ReLU of its own
            self.convs[1], self.norms[1] = mechanism, nn.Identity()
        elif mechanism is not None:
            self.attention = mechanism

    def branch(self, h: Tensor) -> Tensor:
        """F: of relu(norm x) before activation, else of x."""
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
        y = self.branch(h)
        if self.place == "branch":
            y = self.attention(y)
        elif self.place == "input":
            y = self.attention(x, y)
        y = y + shortcut
        return y if self.preactivation else y.relu_()


def _stem(kind: str, channels: int, width: int) -> nn.Sequential:
    """What stands before the stages: convolutions, norms, and the pool if there is one."""
    plans: dict[str, list[tuple[int, ...]]] = {
        "conv7": [(channels, width, 7, 2)],
        "caffe": [(channels, width, 7, 2)],
        "deep": [(channels, width, 3, 2), (width, width, 3), (width, 2 * width, 3)],
        "cifar": [(channels, width, 3)],
    }
    layers: list[nn.Module] = []
    for layer in plans[kind]:
        layers += [_conv(*layer), nn.BatchNorm2d(layer[1]), nn.ReLU(inplace=True)]
    if kind != "cifar":
        layers.append(nn.MaxPool2d(3, 2, 1) if kind == "conv7" else _CaffePool())
    return nn.Sequential(*layers)


class _CaffePool(nn.Module):
    """Maximum over 3 × 3 with stride 2, rounded up, without padding."""

    def forward(self, x: Tensor) -> Tensor:
        return pooling.halved_maximum(x, 3)


def _quarter(side: int, kind: str) -> int:
    """The side of the map behind the stem."""
    half = -(-side // 2)
    return {"cifar": side, "conv7": -(-half // 2)}.get(kind, max(half // 2, 1))


class PaperNetwork(nn.Module):
    """A classification network with a paper's mechanism where that paper puts it.

    Args:
        channels: of the image.
        name: of the network; `NETWORKS` has them all.
        classes: of the answer.
        image_size: height and width of the images, or of both; only ge_resnet50_theta and _theta_plus depend on it.
        width: of the first stage, in place of the paper's; everything else is narrowed alike.
        blocks: how many in each stage, in place of the paper's; fewer stages than the paper's leave out the last.

    Shapes: x `B C H W` -> logits `B K`. Maps: those of the mechanism, by the name of each block.
    Raises: LookupError for an unknown name; it names the nearest. ValueError for blocks that do not fit.
    """

    def __init__(
        self,
        channels: int = 3,
        *,
        name: str = "se_resnet50",
        classes: int = 1000,
        image_size: int | tuple[int, int] = 224,
        width: int | None = None,
        blocks: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        if name not in NETWORKS:
            raise LookupError(f"no network {name!r}; {catalog.nearest(name, tuple(NETWORKS))}")
        network = NETWORKS[name]
        backbone = network.backbone
        counts = backbone.blocks if blocks is None else tuple(positive("blocks", count) for count in blocks)
        if not 0 < len(counts) <= len(backbone.widths):
            raise ValueError(f"blocks={blocks!r}: a number for each of at most {len(backbone.widths)} stages is needed")
        first = backbone.widths[0] if width is None else positive("width", width)

        def narrowed(paper: int) -> int:
            return max(paper * first // backbone.widths[0], 1)

        self.stem = _stem(backbone.stem, positive("channels", channels), first)
        if backbone.preactivation:
            self.stem = self.stem[:1]
        before = 2 * first if backbone.stem == "deep" else first
        sides = (image_size, image_size) if isinstance(image_size, int) else image_size
        grid = (_quarter(sides[0], backbone.stem), _quarter(sides[1], backbone.stem))
        self.stages = nn.ModuleList()
        for stage, count in enumerate(counts):
            own = narrowed(backbone.widths[stage])
            step = 1 if stage == 0 else backbone.last_stride if stage == 3 else 2
            grid = (-(-grid[0] // step), -(-grid[1] // step))
            parts: list[nn.Module] = []
            for i in range(count):
                site = Site(
                    stage=stage,
                    block=i,
                    blocks=count,
                    before=before,
                    inside=own * backbone.inner,
                    channels=4 * own if backbone.bottleneck else own,
                    stride=1 if i else step,
                    groups=narrowed(backbone.groups),
                    grid=grid,
                    narrowed=narrowed,
                )
                chosen = network.where is None or network.where(site)
                mechanism = network.attention(site) if chosen else None
                behind = network.place == "behind"
                parts.append(_Block(backbone, site, None if behind else mechanism, network.place))
                if behind and mechanism is not None:
                    parts.append(mechanism)
                before = site.channels
            self.stages.append(nn.Sequential(*parts))
        self.head: CovariancePooling | None = None
        if network.head == "covariance":
            hidden = narrowed(256)
            self.head = CovariancePooling(before, hidden=hidden, iterations=3, triangle="lower")
            before = hidden * (hidden + 1) // 2
        self.dropout = nn.Dropout(backbone.dropout)
        self.classify = nn.Linear(before, positive("classes", classes))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        y = pooling.average(x) if self.head is None else self.head(x)
        return self.classify(self.dropout(y))
