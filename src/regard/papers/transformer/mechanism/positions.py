"""Sinusoidal positions: sinusoids of different frequencies encode where each position is.

Attention Is All You Need. Vaswani, Shazeer, Parmar, Uszkoreit, Jones, Gomez, Kaiser, Polosukhin. NIPS 2017,
arXiv:1706.03762. Official code: tensorflow/tensor2tensor.

    P_(t, 2i)   = sin(t / 10000^(2i/C))                               Section 3.5                    (1)
    P_(t, 2i+1) = cos(t / 10000^(2i/C))                                                              (2)
    y_t = dropout(x_t + P_t)                                                                         (3)
    P_(h, w) = [P_h; P_w], each of C/2 channels                       for maps                       (4)

Place: once, where tokens enter a stack of attention layers; a map before attention over its positions.
Cost: one addition; the table is made once for a length, in float64.
Deviations: paper interleaves sines and cosines | official code has all sines before all cosines, at the frequencies
    10000^(-i / (C/2 - 1)), and leaves a last odd channel alone | `halves=True`. The difference is a permutation of
    channels and a slightly other range of frequencies; popular ports follow the paper, and so does the default. (4) is
    the official code's form for images, and DETR's. Paper and ports drop out a tenth in training | `dropout`.
Errata: tables made in float32 are off by up to 3e-6 within a few dozen positions (annotated transformer), and by more
    for far ones. Ports that count the channel in place of 2i in the exponent of (2) give sine and cosine different
    frequencies.
"""

from __future__ import annotations

from torch import Tensor, nn

from regard.checks import check_input, choice, flag, number, positive
from regard.core import Attention
from regard.ops import positions


class Sinusoidal(Attention):
    """Adds sinusoids of the position to a sequence or to a map.

    Args:
        channels: C of the input.
        dims: 1 for sequences, 2 for maps.
        halves: all sines before all cosines, as in the official code, rather than interleaved as in the paper.
        dropout: of the sum.

    Shapes: x `B T C` (dims 1) or `B C H W` (dims 2), returned alike.
    Maps: none; it serves the attention that follows.
    Raises: ValueError for an argument out of range, or an input of another shape.
    """

    def __init__(self, channels: int, *, dims: int = 1, halves: bool = False, dropout: float = 0.0) -> None:
        super().__init__()
        self.channels = positive("channels", channels)
        choice("dims", dims, (1, 2))
        self.dims = dims
        self.halves = flag("halves", halves)
        number("dropout", dropout, least=0, most=1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, "B C H W" if self.dims == 2 else "B T C", C=self.channels)
        if self.dims == 2:
            table = positions.grid(x, x.shape[2], x.shape[3], self.channels, halves=self.halves)
        else:
            table = positions.sequence(x, x.shape[1], self.channels, halves=self.halves)
        y: Tensor = self.dropout(x + table)
        return y
