"""Attention crop: a square of the image, given by three numbers that can be learned, is enlarged.

Look Closer to See Better: Recurrent Attention Convolutional Neural Network for Fine-Grained Image Recognition. Fu,
    Zheng, Mei. CVPR 2017, doi:10.1109/CVPR.2017.476.
Official code: Jianlong-Fu/Recurrent-Attention-CNN (Caffe); known here through jeong-tae/RACNN-pytorch.

    M(x, y) = [h(x - (t_x - t_l)) - h(x - (t_x + t_l))] [the same of y],     h(z) = 1 / (1 + e^(-kz))   Eq. 3-5 (1)
    x_att   = x ⊙ M                                                                                     Eq. 6   (2)
    y       = crop of x_att to the square, enlarged by bilinear interpolation                           Eq. 7   (3)
    ∂L/∂t_x ← Σ n · (+1 in the last third of the columns, -1 in the first),     n = -Σ_c (∂L/∂y_c)²             (4)
    ∂L/∂t_l ← Σ n · (+1 along the border, a third wide, -1 in the middle)                               Section 3.3

Place: between two networks, the first of which proposes the square for the second (`ra_cnn`).
Cost: a multiplication for each pixel and four for each pixel of the result.
Deviations: paper, fractional edges in (1), pixel i of (3) shows what is at i / λ | port, edges in whole pixels and
    outermost pixels that stay outermost; its first coordinate is the row | as the port, x across; the paper's with
    gradient="mask" and align_corners=False.
Errata: the border of (4) has eight times the pixels of the middle, so that a square grows wherever n is the same; on
    drawn birds every square grew to the whole image within 50 steps. gradient="balanced" weighs both equally.
    (4) has the signs of the derivative of (1), and not its size; it is never zero where the loss has a gradient,
    while that of (1) vanishes k⁻¹ pixels away from the edges. Under (4) no gradient reaches the image.
"""

from __future__ import annotations

from functools import partial

from torch import Tensor

from regard.checks import check_input, choice, flag, number, positive
from regard.core import Attention
from regard.ops import zooming

GRADIENTS = ("rule", "balanced", "mask")


class AttentionCrop(Attention):
    """Enlarges a square of the image, given by three numbers that can be learned.

    Args:
        size: side of the result in pixels.
        gradient: of the square: `"rule"`, equation (4), `"balanced"`, (4) with border and middle of equal weight, or
            `"mask"`, the derivative of (1), and one of the image too.
        least: smallest t_l, as a share of the image's shorter side; at most 1/2.
        k: steepness of the mask's edges, for each pixel.
        align_corners: outermost pixels of the square become the outermost of the result, rather than Eq. 7.

    Shapes: x `B C H W`, square `B 3`: t_x across, t_y down, t_l half the side, in pixels -> `B C size size`.
    Maps: mask `B 1 H W`, M; glimpse `B T 4`, the square: left, top, right, bottom, from -1 to 1 between the image's
        edges.
    Raises: ValueError for an argument out of range, or squares of another shape.
    """

    def __init__(
        self,
        *,
        size: int = 224,
        gradient: str = "rule",
        least: float = 1 / 3,
        k: float = 10.0,
        align_corners: bool = True,
    ) -> None:
        super().__init__()
        self.size = positive("size", size)
        check_crop(least, k, gradient)
        flag("align_corners", align_corners)
        self.gradient, self.least, self.k, self.align_corners = gradient, least, k, align_corners

    def forward(self, x: Tensor, square: Tensor) -> Tensor:
        check_input(x, "B C H W")
        check_input(square, "B 3", B=x.shape[0])
        extent = zooming.extent_of(x).repeat(2)

        def move(box: Tensor) -> Tensor:
            own = (2 * box / extent - 1)[:, None]
            seen = self.see("glimpse", own)
            return box if seen is own else ((seen[:, 0] + 1) / 2 * extent).round()

        crop, _ = zooming.zoom(
            x, square, self.size,
            least=self.least, k=self.k, align_corners=self.align_corners, gradient=self.gradient,
            move=move if self.watched else None, veil=partial(self.see, "mask") if self.watched else None,
        )  # fmt: skip
        return crop


def check_crop(least: float, k: float, gradient: str) -> None:
    """Checks the smallest side, the steepness and the kind of gradient of a crop.

    Raises: ValueError if one of them is not accepted.
    """
    number("least", least, above=0, most=0.5)
    number("k", k, above=0)
    choice("gradient", gradient, GRADIENTS)
