"""The tutorial's classifier of digits behind a spatial transformer, which turns each digit upright.

Spatial Transformer Networks. Jaderberg, Simonyan, Zisserman, Kavukcuoglu. NIPS 2015, arXiv:1506.02025.
Official code: none; the network is that of pytorch/tutorials, spatial_transformer_tutorial.

    x' = ST(x)                                                         `stn`                             (1)
    h = relu(pool(W_2 * relu(pool(W_1 * x'))))                         convolutions of 5 × 5, pooled by 2 (2)
    z = U relu(V h + b) + c                                                                             (3)

Place: MNIST distorted in training and test: rotated by up to 90° either way (the paper's R), and so on.
Cost: 28 × 28: 0.48 million multiplications for (2) and (3), and 0.29 million for (1); 22 and 6 thousand parameters.
Deviations: paper has 32 and 64 filters of 9 × 9 and 7 × 7 and a localisation of 20 filters | tutorial: 10 and 20 of
    5 × 5, dropout of half of the maps and of half of V's outputs | as the tutorial; returns scores, where the tutorial
    returns their log-softmax. Sizes but 28 × 28, and other transformers, are ours.
Errata: F.affine_grid without align_corners changed its meaning in torch 1.3; the tutorial's older results came from the
    centres of the outermost pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from regard.checks import check_input, flag, number, positive, whole_numbers
from regard.core import Attention
from regard.papers.stn.mechanism import SpatialTransformer


class TransformerClassifier(Attention):
    """Classifier of digits that a spatial transformer turns upright first.

    Args:
        channels: channels of the image.
        classes: number of classes.
        grid: height and width of the image, at least 18 × 18 where something transforms it, else 16 × 16.
        transform: "affine", "attention" (scale and translation) or "spline"; None: the same network without.
        widths: of the two convolutions.
        hidden: rows of V.
        dropout: of the second convolution's maps and of V's outputs, in training.
        align_corners: whether the transformer takes -1 and 1 as the centres of the outermost pixels.

    Shapes: `B C H W` -> `B classes`.
    Maps: theta `B 2 3`, or points `B K 2` of a spline; grid `B H W 2`, the point that each pixel shows, x before y.
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
        hidden: int = 50,
        dropout: float = 0.5,
        align_corners: bool = False,
    ) -> None:
        super().__init__()
        self.channels = positive("channels", channels)
        positive("classes", classes)
        positive("hidden", hidden)
        first, second = whole_numbers("widths", widths, count=2)
        height, width = whole_numbers("grid", grid, 16, count=2)
        if number("dropout", dropout, least=0) >= 1:
            raise ValueError(f"dropout={dropout!r}: a number of at least 0 and below 1 is needed")
        flag("align_corners", align_corners)
        self.grid = (height, width)
        self.transform = (
            None
            if transform is None
            else SpatialTransformer(
                channels, transform=transform, localisation="flat", grid=self.grid, align_corners=align_corners
            )
        )
        left = [((length - 4) // 2 - 4) // 2 for length in self.grid]
        self.first = nn.Conv2d(channels, first, 5)
        self.second = nn.Conv2d(first, second, 5)
        self.drop_maps = nn.Dropout2d(dropout)
        self.pool = nn.MaxPool2d(2)
        self.embed = nn.Linear(second * left[0] * left[1], hidden)
        self.drop = nn.Dropout(dropout)
        self.classify = nn.Linear(hidden, classes)

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, "B C H W", C=self.channels, H=self.grid[0], W=self.grid[1])
        if self.transform is not None:
            x = self.transform(x)
        y = self.pool(self.first(x)).relu()
        y = self.pool(self.drop_maps(self.second(y))).relu()
        scores: Tensor = self.classify(self.drop(self.embed(y.flatten(1)).relu()))
        return scores
