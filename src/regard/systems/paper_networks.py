"""The classification networks of the attention papers by name: each mechanism where its paper puts it.

Deep Residual Learning for Image Recognition. He, Zhang, Ren, Sun. CVPR 2016, arXiv:1512.03385, for most backbones; they
    stand in `paper_backbones`, and the papers of the mechanisms in the mechanisms' files.
Official code: hujie-frank/SENet, hujie-frank/GENet, implus/SKNet (Caffe); BangguWu/ECANet, Jongchan/attention-module,
    cfzd/FcaNet, ZilinGao/Global-Second-order-Pooling-Convolutional-Networks, 13952522076/SPANet, xvjiarui/GCNet;
    facebookresearch/video-nonlocal-net (Caffe2).

    y = relu(a(F(x)) + s(x))       "branch", behind the last norm: SE, GE, ECA, CBAM, FcaNet, GSoP, GC, SPPSE    (1)
    y = relu(F₂(a(F₁ x)) + s(x))   "conv", instead of the 3 × 3 convolution: SK                                  (2)
    y = g(x) · F(x) + s(x)         "input", a gate from the block's input: PSE, CPSE, PSPPSE, CPSPPSE            (3)
    y = a(block(x))                "behind" a block: BAM (the last of stages 1 to 3), Non-local                  (4)

    F is conv-norm-relu twice (basic) or with 1 × 1 around (bottleneck); before activation: norm-relu-conv, and no relu
    behind the sum; in MobileNetV2 1 × 1 to a wider map, 3 × 3 by channel, 1 × 1, and no relu either. s is the identity,
    or a projection where the shape changes.

Place: classification of images and of clips, and as backbones. `NETWORKS` is the table: backbone, mechanism, place,
    published count and error.
Cost: parameters as counted in `NETWORKS`; the backbone's multiplications and the mechanisms' own.
Deviations: the final map is averaged whole, where the definitions average 7 × 7. The stride is in the first 1 × 1 of
    Caffe's SE-ResNet and GE-ResNet, in the 3 × 3 of all others, as released; Caffe's stem pools round up, the
    others pad, those for clips do neither. Official: se_resnet50, 101 and 152, se_resnext50 and 101, senet154;
    moskomule's, whose gates have no biases: se_resnet18, 34, 20, 32, 56 and *_port; SPANet's, likewise: se_preresnet*,
    se_resnext29, se_mobilenetv2. GE with an extent: in every block, as drawn in the release, which has no definition.
    SK, paper: d = max(C/16, 32) | sknet101's definition has 16 in its second stage | as released. ECA, paper: kernel
    size by a formula | chosen by stage | as released. GC and nonlocal_resnet* are published for detection, the latter
    with one block before the last of res4; nonlocal5_resnet50 has the five of Kinetics, without kernels over time.
    Clips: the paper's 32 frames; _8f, every fourth of them and no stride over time in the stem, as released.
Errata: one ResNet for all papers is not what they measured: biases, strides, stems and pools differ as above. The
    released non-local definition reaches 5 or 9 blocks in ResNet-101, and not 10.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from regard import catalog
from regard.layers import positive
from regard.mechanisms.bottleneck_attention import BottleneckAttention
from regard.mechanisms.cbam import ConvBlockAttention
from regard.mechanisms.covariance_pooling import CovariancePooling
from regard.mechanisms.global_context import GlobalContext
from regard.mechanisms.non_local import NonLocal
from regard.mechanisms.spatial_pyramid import SpatialPyramid
from regard.mechanisms.squeeze_excite import SqueezeExcite
from regard.ops import pooling
from regard.systems.paper_backbones import fittings as fit
from regard.systems.paper_backbones.inverted import MobileNetV2
from regard.systems.paper_backbones.residual import BLOCKS, ResNet
from regard.systems.paper_backbones.sites import Backbone, Fitting, Site
from regard.systems.paper_backbones.video import VideoResNet


@dataclass(frozen=True, kw_only=True)
class Network:
    """One network of a paper.

    Args:
        backbone: what the mechanism goes into.
        attention: site -> mechanism.
        place: branch, conv, input or behind, as in equations (1) to (4).
        where: which sites have one; None means all.
        head: average, or covariance (GSoP-Net2).
        classes: what the authors told apart: 1000 of ImageNet, 400 of Kinetics, 100 or 10 of CIFAR.
        parameters: the count of the released definition or code with as many classes; None where there is none.
        error: what the authors report, top-1 in percent, where they do.
    """

    backbone: Backbone
    attention: fit.Make
    place: str = "branch"
    where: fit.Where | None = None
    head: str = "average"
    classes: int = 1000
    parameters: int | None = None
    error: float | None = None

    def mechanism(self, site: Site) -> nn.Module | None:
        return self.attention(site) if self.where is None or self.where(site) else None


def _family(
    name: str,
    backbones: Mapping[Any, Backbone],
    attention: fit.Make,
    published: Mapping[Any, tuple[int, float] | int | None],
    **others: Any,
) -> dict[str, Network]:
    """Networks that differ in their backbone; of each the published count, and the error where there is one."""
    networks = {}
    for key, fact in published.items():
        parameters, error = fact if isinstance(fact, tuple) else (fact, None)
        networks[name.format(key)] = Network(
            backbone=backbones[key], attention=attention, parameters=parameters, error=error, **others
        )
    return networks


_RESNET = {depth: ResNet(blocks=blocks, bottleneck=depth > 34) for depth, blocks in BLOCKS.items()}
_CAFFE = {depth: replace(backbone, stem="caffe", stride_first=True) for depth, backbone in _RESNET.items()}
_RESNEXT = {
    depth: replace(backbone, stem="caffe", inner=2, reduced=2, groups=32) for depth, backbone in _RESNET.items()
}
_CIFAR = {depth: replace(backbone, stem="cifar") for depth, backbone in _RESNET.items()}
_PREACT = {depth: replace(backbone, preactivation=True) for depth, backbone in _CIFAR.items()}
_SMALL = {
    depth: ResNet(blocks=(depth // 6,) * 3, bottleneck=False, stem="cifar", widths=(16, 32, 64))
    for depth in (20, 32, 56)
}
_SENET = ResNet(blocks=BLOCKS[152], stem="deep", inner=4, reduced=2, groups=64, projection=3, dropout=0.2)
_GSOP = replace(_RESNET[50], last_stride=1)
_LIGHT: dict[str, Backbone] = {
    "resnext29": ResNet(blocks=(3, 3, 3), stem="pixel", widths=(64, 128, 256), inner=2, reduced=2, groups=2),
    "mobilenetv2": MobileNetV2(cifar=True),
}
_VIDEO = {
    f"{kind}_resnet{depth}{frames}": VideoResNet(
        blocks=BLOCKS[depth], inflated=kind == "i3d", stride=1 if frames else 2
    )
    for kind in ("c2d", "i3d")
    for depth in (50, 101)
    for frames in ("", "_8f")
}
_AFTER_STAGES: dict[str, Any] = {"place": "behind", "where": fit.ends_stage_1_to_3}
_CIFAR_100: dict[str, Any] = {"classes": 100}
_SPA_BEFORE: dict[str, Any] = {"place": "input", **_CIFAR_100}
_KINETICS: dict[str, Any] = {"place": "behind", "classes": 400}

NETWORKS: Mapping[str, Network] = {
    # Squeeze and excitation
    **_family(
        "se_resnet{}",
        _CAFFE,
        fit.of(SqueezeExcite),
        {50: (28_088_024, 22.37), 101: (49_326_872, 21.75), 152: (66_821_848, 21.34)},
    ),
    **_family("se_resnext{}", _RESNEXT, fit.of(SqueezeExcite), {50: (27_559_896, 20.97), 101: (48_955_416, 19.81)}),
    "senet154": Network(backbone=_SENET, attention=fit.of(SqueezeExcite), parameters=115_088_984, error=18.68),
    **_family("se_resnet{}", _RESNET, fit.of(SqueezeExcite, bias=False), {18: 11_776_552, 34: 21_954_856}),
    **_family("se_resnet{}_port", _RESNET, fit.of(SqueezeExcite, bias=False), {50: 28_071_976, 101: 49_292_328}),
    **_family(
        "se_resnet{}",
        _SMALL,
        fit.of(SqueezeExcite, bias=False),
        {20: 274_490, 32: 470_266, 56: 861_818},
        classes=10,
    ),
    **_family(
        "se_preresnet{}",
        _PREACT,
        fit.of(SqueezeExcite, bias=False),
        {18: (11_304_356, 24.81), 50: (26_208_420, 22.09), 101: (47_428_772, 21.97)},
        **_CIFAR_100,
    ),
    **_family(
        "se_{}",
        _LIGHT,
        fit.of(SqueezeExcite, bias=False),
        {"resnext29": 9_737_124, "mobilenetv2": 2_440_628},
        **_CIFAR_100,
    ),
    # Gather-excite
    **_family("ge_resnet{}_theta_minus", _CAFFE, fit.ge("theta_minus"), {50: 25_557_032}),
    **_family("ge_resnet{}_theta", _CAFFE, fit.ge("theta"), {50: 31_106_600}),
    **_family("ge_resnet{}_theta_plus", _CAFFE, fit.ge("theta_plus"), {50: 33_637_592}),
    **{
        f"ge_resnet50_{variant}_e{extent}": Network(backbone=_CAFFE[50], attention=fit.ge(variant, extent))
        for variant in ("theta_minus", "theta")
        for extent in (2, 4, 8)
    },
    # Selective kernels
    **_family("sknet{}", _RESNEXT, fit.sk(32, 32, 32, 64), {50: (27_479_784, 20.79)}, place="conv"),
    **_family("sknet{}", _RESNEXT, fit.sk(32, 16, 32, 64), {101: (48_686_760, 20.19)}, place="conv"),
    # Efficient channel attention
    **_family("eca_resnet{}", _RESNET, fit.eca(3, 5, 7, 7), {18: (11_689_556, 29.08)}),
    **_family("eca_resnet{}", _RESNET, fit.eca(3, 5, 5, 7), {50: (25_557_112, 22.58)}),
    **_family(
        "eca_resnet{}",
        _RESNET,
        fit.eca(3, 3, 5, 7),
        {34: (21_797_744, 25.79), 101: (44_549_317, 21.35), 152: (60_193_042, 21.08)},
    ),
    "eca_mobilenetv2": Network(
        backbone=MobileNetV2(dropout=0.25), attention=fit.eca(1, 1, 1, 1, 3, 3, 3), parameters=3_504_903, error=27.44
    ),
    # CBAM and BAM
    **_family(
        "cbam_resnet{}",
        _RESNET,
        fit.of(ConvBlockAttention),
        {18: 11_779_392, 34: 21_960_468, 50: (28_089_624, 22.378), 101: 49_330_172},
    ),
    **_family(
        "cbam_resnet{}_cifar",
        _CIFAR,
        fit.of(ConvBlockAttention),
        {18: 11_310_012, 34: 21_491_088, 50: 26_237_844, 101: 47_478_392},
        **_CIFAR_100,
    ),
    **_family(
        "bam_resnet{}",
        _RESNET,
        fit.of(BottleneckAttention),
        {18: 11_712_503, 34: 21_820_663, 50: (25_915_099, 23.14), 101: 44_907_227},
        **_AFTER_STAGES,
    ),
    **_family(
        "bam_resnet{}_cifar",
        _CIFAR,
        fit.of(BottleneckAttention),
        {18: 11_243_123, 34: 21_351_283, 50: 24_063_319, 101: 43_055_447},
        **_CIFAR_100,
        **_AFTER_STAGES,
    ),
    # Frequency channel attention
    **_family(
        "fcanet{}",
        _RESNET,
        fit.fca,
        {34: (21_954_856, 24.93), 50: (28_071_976, 21.48), 101: (49_292_328, 20.36), 152: (66_770_984, 19.92)},
    ),
    # Second-order pooling
    "gsop_net1": Network(backbone=_GSOP, attention=fit.gsop, where=fit.ends_stage, parameters=28_285_224, error=22.02),
    "gsop_net2": Network(
        backbone=_GSOP,
        attention=fit.gsop,
        where=fit.ends_stage_1_to_3,
        head="covariance",
        parameters=58_278_568,
        error=21.19,
    ),
    # Spatial pyramid attention, with its siblings of one level
    **_family(
        "pse_resnet{}",
        _PREACT,
        fit.spa_before(levels=(1,)),
        {18: (11_277_476, 25.03), 50: (25_771_428, 22.55), 101: (46_991_780, 22.12)},
        **_SPA_BEFORE,
    ),
    **_family(
        "cpse_resnet{}",
        _PREACT,
        fit.spa_before(levels=(1,), convolve=True),
        {18: (11_478_180, 24.75), 50: (28_984_996, 22.57), 101: (50_205_348, 22.39)},
        **_SPA_BEFORE,
    ),
    **_family(
        "sppse_resnet{}",
        _PREACT,
        fit.of(SpatialPyramid),
        {18: (12_174_756, 24.59), 50: (51_357_860, 21.79), 101: (94_860_452, 21.89)},
        **_CIFAR_100,
    ),
    **_family(
        "psppse_resnet{}",
        _PREACT,
        fit.spa_before(),
        {18: (11_825_316, 24.99), 50: (45_683_108, 21.89), 101: (89_185_700, 21.65)},
        **_SPA_BEFORE,
    ),
    **_family(
        "cpsppse_resnet{}",
        _PREACT,
        fit.spa_before(convolve=True),
        {18: (12_348_580, 24.44), 50: (54_134_436, 22.05), 101: (97_637_028, 20.83)},
        **_SPA_BEFORE,
    ),
    **_family(
        "sppse_{}", _LIGHT, fit.of(SpatialPyramid), {"resnext29": 14_898_084, "mobilenetv2": 2_724_788}, **_CIFAR_100
    ),
    **_family(
        "psppse_{}", _LIGHT, fit.spa_before(), {"resnext29": 13_483_172, "mobilenetv2": 2_587_556}, **_SPA_BEFORE
    ),
    **_family(
        "cpsppse_{}",
        _LIGHT,
        fit.spa_before(convolve=True),
        {"resnext29": 15_573_412, "mobilenetv2": 2_802_628},
        **_SPA_BEFORE,
    ),
    # Global context and non-local blocks
    **_family(
        "gc_resnet{}_r4", _RESNET, fit.of(GlobalContext, reduction=4), {50: None, 101: None}, where=fit.from_stage_2
    ),
    **_family(
        "gc_resnet{}_r16", _RESNET, fit.of(GlobalContext, reduction=16), {50: None, 101: None}, where=fit.from_stage_2
    ),
    **_family(
        "nonlocal_resnet{}",
        _RESNET,
        fit.of(NonLocal),
        {50: None, 101: None},
        place="behind",
        where=fit.before_the_end_of_stage_3,
    ),
    **_family("nonlocal5_resnet{}", _RESNET, fit.of(NonLocal), {50: None}, place="behind", where=fit.every_second),
    **_family(
        "nonlocal5_{}",
        _VIDEO,
        fit.of(NonLocal, dims=3),
        {
            "c2d_resnet50": (31_686_096, 26.1),
            "c2d_resnet50_8f": (31_686_096, 25.6),
            "i3d_resnet50": (35_401_936, 25.1),
            "i3d_resnet50_8f": (35_401_936, 25.3),
        },
        where=fit.every_second,
        **_KINETICS,
    ),
    **_family(
        "nonlocal5_{}",
        _VIDEO,
        fit.of(NonLocal, dims=3),
        {
            "c2d_resnet101": 50_678_224,
            "c2d_resnet101_8f": 50_678_224,
            "i3d_resnet101": 59_112_656,
            "i3d_resnet101_8f": 59_112_656,
        },
        where=fit.every_second_then_seventh,
        **_KINETICS,
    ),
    **_family(
        "nonlocal10_{}",
        _VIDEO,
        fit.of(NonLocal, dims=3),
        {
            "c2d_resnet50": 39_044_560,
            "c2d_resnet50_8f": 39_044_560,
            "i3d_resnet50": 42_760_400,
            "i3d_resnet50_8f": 42_760_400,
        },
        where=fit.stages_2_and_3,
        **_KINETICS,
    ),
}


class PaperNetwork(nn.Module):
    """A classification network with a paper's mechanism where that paper puts it.

    Args:
        channels: of the image, or of the frames of a clip.
        name: of the network; `NETWORKS` has them all.
        classes: of the answer.
        image_size: height and width of the images, or of both; only ge_resnet50_theta and _theta_plus depend on it.
        width: of the first stage, in place of the paper's; everything else is narrowed alike.
        blocks: how many in each stage, in place of the paper's; fewer stages than the paper's leave out the last.

    Shapes: x `B C H W`, for a network with c2d or i3d in its name `B C T H W` -> logits `B K`.
    Maps: those of the mechanism, by the name of each block.
    Raises: LookupError for an unknown name; it names the nearest. ValueError for blocks that do not fit, and for an
        image where a clip is needed.
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

        body = backbone.build(
            positive("channels", channels),
            blocks=counts,
            narrowed=narrowed,
            size=(image_size, image_size) if isinstance(image_size, int) else image_size,
            fitting=Fitting(at=network.mechanism, place=network.place),
        )
        self.stem, self.stages, features = body.stem, body.stages, body.channels
        self.head: CovariancePooling | None = None
        if network.head == "covariance":
            hidden = narrowed(256)
            self.head = CovariancePooling(features, hidden=hidden, iterations=3, triangle="lower")
            features = hidden * (hidden + 1) // 2
        self.dropout = nn.Dropout(backbone.dropout)
        self.classify = nn.Linear(features, positive("classes", classes))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        y = pooling.average(x.flatten(2, -2)) if self.head is None else self.head(x)
        return self.classify(self.dropout(y))
