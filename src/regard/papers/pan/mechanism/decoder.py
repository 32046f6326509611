"""The decoder of pyramid attention: a pixel gate on the coarsest map, then a gated step for each finer one.

Pyramid Attention Network for Semantic Segmentation. Li, Xiong, An, Wang. BMVC 2018, arXiv:1805.10180.
Official code: none; JaveyWang/Pyramid-Attention-Networks-pytorch is nearest to the paper, segmentation-models-pytorch
    has another form.

    y_0 = feature pyramid attention of c_0                         c_0 the coarsest map of the encoder     (1)
    y_i = global attention upsample of c_i, gated by y_{i-1}       i = 1, 2, 3                             (2)

Place: between an encoder, whose last stage is dilated, and the 3 × 3 convolution that classifies the last y_i.
Cost: that of its parts, of which the last, at a quarter of the image, is the largest.
Deviations: paper does not say what resizes | JaveyWang transposes convolutions, and each step has the channels of its
    finer map | as there. segmentation-models-pytorch (`upsample="bilinear"`) resizes, with one width for all steps.
Errata: a sigmoid in the steps, as in segmentation-models-pytorch, is not the paper's.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from regard.checks import check_input, choice, positive, whole_numbers
from regard.core import Attention
from regard.papers.pan.mechanism.gates import RESIZING, FeaturePyramidAttention, GlobalAttentionUpsample


class PyramidAttentionDecoder(Attention):
    """Decoder of a segmentation network: pyramid attention on the coarsest map, then a gated step for each finer map.

    Args:
        channels: C of the coarsest map.
        finer: channels of the one to three finer maps, coarse ones first.
        width: channels of every step and of the output, where maps are resized; None takes the last of `finer`. With
            deconvolutions each step has the channels of its finer map.
        upsample: deconvolution, as JaveyWang: the first finer map is as large as the coarsest, behind a dilated last
            stage, and each further one twice as large; or bilinear, bicubic or nearest, as segmentation-models-pytorch,
            for maps of any sizes and with bilinear pyramid attention.

    Shapes: x `B C H W`, then one map for each of `finer`: `B F₁ H W`, `B F₂ 2H 2W`, `B F₃ 4H 4W` -> as large as the
        last, with its channels or `width`. Maps: pyramid of the first part, and channel of each step.
    Raises: ValueError for an argument out of range, `width` with deconvolutions, and inputs that do not fit.
    """

    def __init__(
        self, channels: int, *, finer: Sequence[int], width: int | None = None, upsample: str = "deconvolution"
    ) -> None:
        super().__init__()
        choice("upsample", upsample, ("deconvolution", *RESIZING))
        self.channels = positive("channels", channels)
        self.finer = whole_numbers("finer", finer)
        if len(self.finer) > 3:
            raise ValueError(f"finer={finer!r}: at most three finer maps are needed, as an encoder has")
        self.pyramid: nn.Module
        self.steps = nn.ModuleList()
        if upsample == "deconvolution":
            if width is not None:
                raise ValueError(f"width={width!r}: None is needed with upsample='deconvolution'")
            self.pyramid = FeaturePyramidAttention(channels)
            coarse = channels
            for i, number in enumerate(self.finer):
                way = "deconvolution" if i else "projection"
                self.steps.append(GlobalAttentionUpsample(number, gate_channels=coarse, upsample=way))
                coarse = number
        else:
            out = self.finer[-1] if width is None else positive("width", width)
            self.pyramid = FeaturePyramidAttention(channels, out_channels=out, upsample="bilinear")
            for number in self.finer:
                step = GlobalAttentionUpsample(
                    number, gate_channels=out, out_channels=out, upsample=upsample, gate="sigmoid"
                )
                self.steps.append(step)

    def forward(self, x: Tensor, second: Tensor, third: Tensor | None = None, fourth: Tensor | None = None) -> Tensor:
        finer = [fine for fine in (second, third, fourth) if fine is not None]
        if len(finer) != len(self.finer):
            raise ValueError(f"{len(finer)} finer maps: {len(self.finer)} are needed, one for each of `finer`")
        for fine, channels in zip(finer, self.finer, strict=True):
            check_input(fine, "B F h w", B=x.shape[0], F=channels)
        y: Tensor = self.pyramid(x)
        for step, fine in zip(self.steps, finer, strict=True):
            y = step(fine, y)
        return y
