"""Networks known by name: a ResNet or another trunk with a paper's mechanism where that paper puts it.

Deep Residual Learning for Image Recognition. He, Zhang, Ren, Sun. CVPR 2016, arXiv:1512.03385, for most backbones; they
    stand in `regard.networks`, and each paper's networks in the `network.py` of its folder.
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

Place: classification of images and of clips, and as backbones. A table `NETWORKS` in each paper's `network.py` has the
    backbone, mechanism and place of every network, its published count of parameters and its error.
Cost: parameters as counted in `NETWORKS`; the backbone's multiplications and the mechanisms' own.
Deviations: the final map is averaged whole, where the definitions average 7 × 7. The stride is in the first 1 × 1 of
    Caffe's SE-ResNet and GE-ResNet, in the 3 × 3 of all others, as released; Caffe's stem pools round up, the
    others pad, those for clips do neither. What concerns the networks of one paper stands in its `network.py`.
Errata: one ResNet for all papers is not what they measured: biases, strides, stems and pools differ as above.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from regard import catalog
from regard.checks import check_input, each_axis, positive, text, whole_numbers
from regard.networks import design
from regard.networks.design import Network, family
from regard.networks.residual import ResNet
from regard.networks.sites import Fitting
from regard.networks.trunks import CIFAR, RESNET
from regard.ops import pooling

SMALL = {
    depth: ResNet(blocks=(depth // 6,) * 3, bottleneck=False, stem="cifar", widths=(16, 32, 64))
    for depth in (20, 32, 56)
}

# Without attention, for comparison: the trunks of the papers' networks. The counts are torchvision's.
NETWORKS: Mapping[str, Network] = {
    **family(
        "resnet{}",
        RESNET,
        None,
        {18: 11_689_512, 34: 21_797_672, 50: 25_557_032, 101: 44_549_160, 152: 60_192_808},
    ),
    **family("resnet{}_cifar", SMALL, None, {20: None, 32: None, 56: None}, classes=10),
    **family("resnet{}_cifar", CIFAR, None, {18: None, 50: None}, classes=100),
}


class PaperNetwork(nn.Module):
    """Classification network with a paper's mechanism where that paper puts it, or without any.

    Args:
        channels: channels of the image, or of the frames of a clip.
        name: name of the network; `regard.catalog.networks()` lists them.
        classes: number of classes.
        image_size: height and width of the images, or of both; only ge_resnet50_theta and _theta_plus depend on it.
        width: width of the first stage, in place of the paper's; all others are narrowed alike.
        blocks: how many in each stage, in place of the paper's; fewer stages than the paper's leave out the last.

    Shapes: x `B C H W`, for a network with c2d or i3d in its name `B C T H W` -> logits `B K`.
    Maps: those of the mechanism, by the name of each block.
    Raises: LookupError for an unknown name; it names the nearest. ValueError for an argument out of
        range, and for images or clips of another shape.
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
        self.channels = positive("channels", channels)
        positive("classes", classes)
        network = design.find(text("name", name))
        backbone = network.backbone
        self.axes = backbone.axes
        height, across = each_axis("image_size", image_size, 2)
        counts = backbone.blocks if blocks is None else whole_numbers("blocks", blocks)
        if len(counts) > len(backbone.widths):
            raise ValueError(f"blocks={blocks!r}: a number for each of at most {len(backbone.widths)} stages is needed")
        first = backbone.widths[0] if width is None else positive("width", width)

        def narrowed(paper: int) -> int:
            return max(paper * first // backbone.widths[0], 1)

        body = backbone.build(
            channels,
            blocks=counts,
            narrowed=narrowed,
            size=(height, across),
            fitting=Fitting(at=network.mechanism, place=network.place),
        )
        fixed = any(getattr(part, "grid", None) is not None for part in body.stages.modules())
        self.sides = {"H": height, "W": across} if fixed else {}  # a gate that was built for one size of its map
        self.stem, self.stages, features = body.stem, body.stages, body.channels
        self.head: nn.Module | None = None
        if network.head == "covariance":
            hidden = narrowed(256)
            self.head = catalog.create("isqrt_covariance", features, hidden=hidden, iterations=3, triangle="lower")
            features = hidden * (hidden + 1) // 2
        self.dropout = nn.Dropout(backbone.dropout)
        self.classify = nn.Linear(features, classes)

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, self.axes, C=self.channels, **self.sides)
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        y = pooling.average(x.flatten(2, -2)) if self.head is None else self.head(x)
        logits: Tensor = self.classify(self.dropout(y))
        return logits
