"""Pyramid attention network: a dilated ResNet, pyramid attention on its last map, and a gated decoder.

Pyramid Attention Network for Semantic Segmentation. Li, Xiong, An, Wang. BMVC 2018, arXiv:1805.10180.
Official code: none; two other networks bear the name.

    c_0, c_1, c_2, c_3 = the last maps of the trunk, the coarsest first: 1/16 of the image twice, 1/8, 1/4     (1)
    y = resize(W decoder(c_0, c_1, c_2, c_3))                  W a 3 × 3 convolution; `pan_decoder`            (2)
    v = V mean c_0                                             scores of the classes that are in the image     (3)

    `upsample`        code                          pyramid of    steps             resizing      ResNet-50, K = 21
    "deconvolution"   JaveyWang's, near the paper   C/4 = 512     1024, 512, 256    transposed    166,914,901
    "bilinear"        segmentation-models-pytorch   1             32 each           bilinear      24,265,596

Place: trained as it is: `regard train pan`.
Cost: the trunk's, and the decoder's: 115,625,984 of the parameters of the first form are in the pyramid.
Deviations: paper, a ResNet-101 of output stride 16; its exact pyramid is not known | JaveyWang, dilations 1, 2, 4 in
    the last stage; loss and scores at a quarter of the image, on labels resized to the nearest | as there, but y is
    resized to the image, bilinear with corners kept, before the loss. (3) learns from a detached map: it trains nothing
    but V; in evaluation gradients flow. segmentation-models-pytorch dilates every 3 × 3 convolution of the last stage.
Errata: the smaller network's pyramid has a single channel, so that it gates all channels of a pixel alike: it is not
    "feature pyramid attention" as the paper draws it. A score at a quarter of the image is no mIoU of the image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn
from torch.nn import functional

from regard.checks import check_input, choice, flag, positive, text, whole
from regard.core import Attention
from regard.networks.dilated import Trunk
from regard.ops import pooling
from regard.papers.pan.mechanism.decoder import PyramidAttentionDecoder

UPSAMPLES = ("deconvolution", "bilinear")
GRID = dict.fromkeys(("resnet50", "resnet101", "resnet152"), (1, 2, 4))  # of JaveyWang's, one for each block
LEVELS = 4
WIDTH = 32


class PyramidAttentionNetwork(Attention):
    """Segmentation network with pyramid attention on its coarsest map and gated steps to finer ones.

    Args:
        channels: channels of the image.
        classes: K, the number of classes.
        backbone: any network of timm's that gives at least four maps.
        upsample: which network: "deconvolution", JaveyWang's, or "bilinear", segmentation-models-pytorch's.
        width: channels of the steps of the bilinear one; None takes 32.
        output_stride: how much smaller than the image the coarsest map is; the first form needs 16.
        multi_grid: dilations of the blocks of a ResNet's last stage; None takes JaveyWang's 1, 2, 4 in the first form,
            where the ResNet has a bottleneck of three blocks there, and else the output stride's.
        presence: v of equation (3) as well, of classes 1 to K - 1: class 0 is the background.

    Shapes: x `B C H W` -> logits `B K H W`, and with `presence` v `B K-1 1 1`.
    Maps: pyramid `B D h w` (`B 1 h w` in the bilinear form), and channel `B N 1 1` of each of three steps.
    Raises: ValueError for an argument out of range, a backbone without four maps, images of another shape, and training
        on a batch of one image; LookupError if timm has no such backbone.
    """

    def __init__(
        self,
        channels: int = 3,
        *,
        classes: int = 21,
        backbone: str = "resnet50",
        upsample: str = "deconvolution",
        width: int | None = None,
        output_stride: int = 16,
        multi_grid: Sequence[int] | None = None,
        presence: bool = False,
    ) -> None:
        super().__init__()
        self.channels, self.classes = positive("channels", channels), positive("classes", classes)
        text("backbone", backbone)
        strided = choice("upsample", upsample, UPSAMPLES) == "deconvolution"
        if strided and output_stride != 16:
            raise ValueError(f"output_stride={output_stride!r}: 16 is needed with upsample='deconvolution'")
        if strided and width is not None:
            raise ValueError(f"width={width!r}: None is needed with upsample='deconvolution'")
        grid = (GRID.get(backbone, ()) if strided else ()) if multi_grid is None else multi_grid
        self.trunk = Trunk(
            backbone, channels, output_stride=output_stride, multi_grid=grid, contracted=strided
        )  # bilinear: the first block is dilated as well
        if len(self.trunk.widths) < LEVELS:
            raise ValueError(f"backbone={backbone!r}: a network with at least {LEVELS} maps is needed")
        last, *finer = self.trunk.widths[: -LEVELS - 1 : -1]
        if strided:
            self.decoder = PyramidAttentionDecoder(last, finer=finer)
        else:
            out = WIDTH if width is None else positive("width", width)
            self.decoder = PyramidAttentionDecoder(last, finer=finer, width=out, upsample="bilinear")
        self.classify = nn.Conv2d(finer[-1] if strided else out, classes, 3, padding=1)
        self.present: nn.Linear | None = None
        if flag("presence", presence):
            self.present = nn.Linear(last, whole("classes", classes, 2) - 1)

    @property
    def average_norm(self) -> nn.BatchNorm2d:
        """The batch norm behind the global average, which has one value an image for each channel."""
        norm: nn.BatchNorm2d = self.decoder.get_submodule("pyramid.context.1")  # type: ignore[assignment]
        return norm

    def start_from(self, state: Mapping[str, Tensor] | None = None) -> None:
        """Loads weights into the trunk: those given, by timm's names for the whole backbone, or the published ones.

        Raises: OSError if the published ones cannot be loaded; ValueError if those given do not fit.
        """
        self.trunk.start_from(state)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        check_input(x, "B C H W", C=self.channels)
        if self.average_norm.training and len(x) == 1:
            raise ValueError(
                f"input of shape {tuple(x.shape)}: a batch of at least 2 is needed in training, for the batch norm of "
                f"the global average; or eval()"
            )
        levels = self.trunk(x)[: -LEVELS - 1 : -1]
        scores = self.classify(self.decoder(*levels))
        logits = functional.interpolate(scores, x.shape[2:], mode="bilinear", align_corners=True)
        if self.present is None:
            return logits
        seen = levels[0].detach() if self.training else levels[0]
        return logits, self.present(pooling.average(seen))[:, :, None, None]
