"""Classifiers of digits behind a spatial transformer, which brings each digit into a canonical pose.

Spatial Transformer Networks. Jaderberg, Simonyan, Zisserman, Kavukcuoglu. NIPS 2015, arXiv:1506.02025, Section 4.1.
Official code: none; the default network is that of pytorch/tutorials, spatial_transformer_tutorial.

    x' = ST(x)                                                         `stn`                             (1)
    h_l = relu(pool(W_l * h_{l-1})),  h_0 = x'                         convolutions, pooled by 2         (2)
    v_l = relu(V_l v_{l-1} + b_l)                                      fully connected layers            (3)
    z = U v + c                                                                                          (4)

    The tutorial has two convolutions of 5 × 5 and one fully connected layer; the paper's CNN two of 9 × 9 and 7 × 7 and
    none, its FCN no convolution and two fully connected layers.

Place: MNIST distorted in training and test, as by `regard.data.distorting`.
Cost: 28 × 28: 0.48 million multiplications for (2) to (4), and 0.29 million for (1); 22 and 6 thousand parameters.
Deviations: paper has 32 to 64 filters (400,000 parameters), and localisations of two layers of 20 filters on an image
    half as wide, or for its FCN of two layers of 32 units | tutorial: 10 and 20 filters, dropout of half of the maps
    and of half of V's outputs, and a localisation of 8 and 10 filters | as the tutorial, or, without convolutions, two
    layers of 32 units; returns scores, where the tutorial returns their log-softmax. The paper pools the transformer's
    output of images of 42 × 42 by 2, which is left out.
Errata: F.affine_grid without align_corners changed its meaning in torch 1.3; the tutorial's older results came from the
    centres of the outermost pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from regard.checks import check_input, flag, number, positive, whole_numbers
from regard.core import Attention
from regard.papers.stn.mechanism import SpatialTransformer

_LOCALISING = 32  # units of the localisation's layers, as in the tutorial and the paper's FCN


class TransformerClassifier(Attention):
    """Classifier of digits that a spatial transformer brings into a canonical pose first.

    Args:
        channels: channels of the image.
        classes: number of classes.
        grid: height and width of the image, at least 18 × 18 where a transformer has convolutions.
        transform: "affine", "attention" (scale and translation), "projective" or "spline" (a thin plate, by 16 points);
            with None it is the same network without.
        widths: of the convolutions; () for a network without any, whose transformer then has none either.
        kernels: sides of the convolutions' kernels.
        hidden: widths of the fully connected layers before the last; a whole number is one layer.
        dropout: of the last convolution's maps and of the fully connected layers' outputs, in training.
        align_corners: whether the transformer takes -1 and 1 as the centres of the outermost pixels.

    Shapes: `B C H W` -> `B classes`.
    Maps: theta `B 2 3`, of a projective transform `B 3 3`, or points `B K 2` of a spline; grid `B H W 2`, the point
        that each pixel shows, x before y.
    Raises: ValueError for an argument out of range, and images of another shape.
    """

    def __init__(
        self,
        channels: int = 1,
        *,
        classes: int = 10,
        grid: tuple[int, int] = (28, 28),
        transform: str | None = "affine",
        widths: Sequence[int] = (10, 20),
        kernels: Sequence[int] = (5, 5),
        hidden: int | Sequence[int] = 50,
        dropout: float = 0.5,
        align_corners: bool = False,
    ) -> None:
        super().__init__()
        self.channels = positive("channels", channels)
        positive("classes", classes)
        height, width = whole_numbers("grid", grid, count=2)
        filters = () if widths in ((), []) else whole_numbers("widths", widths)
        sides = whole_numbers("kernels", kernels)[: None if filters else 0]
        if len(sides) != len(filters):
            raise ValueError(f"widths={filters}, kernels={sides}: as many of both are needed")
        units = () if hidden in ((), []) else whole_numbers("hidden", (hidden,) if isinstance(hidden, int) else hidden)
        if number("dropout", dropout, least=0) >= 1:
            raise ValueError(f"dropout={dropout!r}: a number of at least 0 and below 1 is needed")
        flag("align_corners", align_corners)
        self.grid = (height, width)
        self.transform = None if transform is None else self._transformer(transform, bool(filters), align_corners)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(*channels_of, side)
            for channels_of, side in zip(pairwise((channels, *filters)), sides, strict=True)
        )
        left = (channels, *filters)[-1] * math.prod(_left(length, sides, grid) for length in self.grid)
        self.hidden = nn.ModuleList(nn.Linear(before, after) for before, after in pairwise((left, *units)))
        self.classify = nn.Linear((left, *units)[-1], classes)
        self.drop_maps = nn.Dropout2d(dropout)
        self.drop = nn.Dropout(dropout)
        self.pool = nn.MaxPool2d(2)

    def _transformer(self, transform: str, convolving: bool, align_corners: bool) -> SpatialTransformer:
        localisation: str | nn.Module = "flat"
        if not convolving:
            inputs = self.channels * self.grid[0] * self.grid[1]
            layers = (nn.Linear(inputs, _LOCALISING), nn.ReLU(), nn.Linear(_LOCALISING, _LOCALISING), nn.ReLU())
            localisation = nn.Sequential(nn.Flatten(), *layers)
        return SpatialTransformer(
            self.channels,
            transform=transform,
            localisation=localisation,
            hidden=_LOCALISING,
            grid=self.grid if convolving else None,
            align_corners=align_corners,
        )

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, "B C H W", C=self.channels, H=self.grid[0], W=self.grid[1])
        if self.transform is not None:
            x = self.transform(x)
        for i, layer in enumerate(self.convolutions, 1):
            x = layer(x)
            x = self.pool(self.drop_maps(x) if i == len(self.convolutions) else x).relu()
        x = x.flatten(1)
        for layer in self.hidden:
            x = self.drop(layer(x).relu())
        scores: Tensor = self.classify(x)
        return scores


def _left(length: int, kernels: Sequence[int], grid: Sequence[int]) -> int:
    """What convolutions without padding, each pooled by 2, leave of a side.

    Raises: ValueError if they leave nothing.
    """
    for kernel in kernels:
        length = (length - kernel + 1) // 2
    if length < 1:
        raise ValueError(f"grid={tuple(grid)}: more is needed, since kernels={tuple(kernels)} leave nothing of it")
    return length
