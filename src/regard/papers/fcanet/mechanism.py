"""FcaNet: a channel gate from a few frequencies of each channel's discrete cosine transform.

FcaNet: Frequency Channel Attention Networks. Qin, Zhang, Wu, Li. ICCV 2021, arXiv:2012.11879.
Official code: cfzd/FcaNet (PyTorch).

    B_u(t) = cos(πu (t + ½) / N) / √N · (√2 if u > 0)         basis along an axis of N positions                  (1)
    z_c = Σ_hw x_chw B_u(h) B_v(w)                            (u, v) of the group of c; K groups                  (2)
    s   = σ(W₂ relu(W₁ z))                                    no biases                                           (3)
    y_c = s_c · x_c                                                                                               (4)

Place: on the residual branch of every block, after its last batch norm and before the addition, with a transform of 56,
    28, 14 or 7 positions by stage: the size of the map at 224 pixels.
Cost: one pass to transform and one to scale, 2C²/r multiplications; O(C) extra memory. The transform of a map that is
    first averaged to another size is folded into one filter per frequency, so the small map is never formed.
Deviations: frequencies are given on a 7 × 7 grid and multiplied by ⌊size / 7⌋ as released. So all of them are 0 along
    an axis of fewer than 7 positions, which leaves averages (a quirk that is kept). The release has K of 1, 2, 4, 8, 16
    or 32; here any from 1 to 32 that divides C, or pairs of one's own, which `rank_frequencies` of
    `regard.papers.fcanet.frequencies` finds by the paper's two steps.
Errata: the first frequency is √(HW) times the average, which makes (3) with K = 1 another function than
    squeeze-and-excitation with the same weights.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from regard.checks import bottleneck_width, check_input, each_axis, sequence, whole_numbers
from regard.core import Attention
from regard.ops import pooling
from regard.ops.precision import wide_linear, widened
from regard.ops.tracing import exporting

GRID = 7

# The 32 best of each choice on a 7 × 7 grid, best first, a digit each: "top" by their accuracy alone on ImageNet.
_SETS = {
    "top": ("00600114513000324635526553342261", "01052020060463526333511242113053"),
    "low": ("00110221203401301234501234561234", "01012012230043154321065432106543"),
    "bot": ("61332412445146256162243355625536", "64466314456522514350311242115333"),
}


def frequency_set(name: str) -> tuple[tuple[int, int], ...]:
    """The pairs (u, v) of a published choice: `"top16"`, the 16 best of 49 by themselves, `"low4"`, `"bot32"`.

    Raises: ValueError if there is no such choice.
    """
    match = re.fullmatch(r"(top|low|bot)([1-9]\d?)", name) if isinstance(name, str) else None
    if not match or int(match[2]) > 32:
        raise ValueError(
            f"frequencies={name!r}: top, low or bot with a number from 1 to 32, such as 'top16', is needed"
        )
    us, vs = _SETS[match[1]]
    return tuple((int(u), int(v)) for u, v in zip(us, vs, strict=True))[: int(match[2])]


def cosine(u: int, length: int) -> Tensor:
    """B_u of (1): `[length]`, in float64, of unit norm."""
    t = torch.arange(length, dtype=torch.float64)
    return torch.cos(math.pi * u * (t + 0.5) / length) * math.sqrt((2 if u else 1) / length)


class FrequencyChannel(Attention):
    """Channel gate from a few frequencies of each channel's discrete cosine transform.

    Args:
        channels: C of the input.
        frequencies: K pairs (u, v) from 0 to 6, one for each group of C / K channels, or a published choice of them:
            top, low or bot and their number.
        size: positions of the transform along H and W, or of both; another map is averaged to it first.
        reduction: r, how many times narrower the bottleneck is.
        hidden: width of the bottleneck itself, in place of `reduction`.

    Shapes: x `B C H W` -> `B C H W`. Maps: channel `B C 1 1`, in (0, 1).
    Raises: ValueError for an unknown choice, a frequency off the grid, or a number of them that does not divide C.
    """

    filters: Tensor

    def __init__(
        self,
        channels: int,
        *,
        frequencies: str | Sequence[tuple[int, int]] = "top16",
        size: int | tuple[int, int] = GRID,
        reduction: int = 16,
        hidden: int | None = None,
    ) -> None:
        super().__init__()
        hidden = bottleneck_width(channels, reduction, hidden)
        if isinstance(frequencies, str):
            pairs: tuple[tuple[int, ...], ...] = frequency_set(frequencies)
        else:
            listed = sequence("frequencies", frequencies)
            pairs = tuple(whole_numbers("frequencies", pair, 0, GRID - 1, count=2) for pair in listed)
        if channels % len(pairs):
            fit = [count for count in range(1, min(channels, 32) + 1) if channels % count == 0]
            raise ValueError(
                f"frequencies={frequencies!r}: {len(pairs)} frequencies do not divide channels={channels}; "
                f"{', '.join(map(str, fit))} of them would"
            )
        height, width = each_axis("size", size, 2)
        self.channels, self.size = channels, (height, width)
        filters = [
            torch.outer(cosine(u * (height // GRID), height), cosine(v * (width // GRID), width)) for u, v in pairs
        ]
        self.group = channels // len(pairs)
        repeated = torch.stack(filters).to(torch.get_default_dtype()).repeat_interleave(self.group, 0)
        self.register_buffer("filters", repeated)  # [C, h, w], the same within each group
        self.reduce = nn.Linear(channels, hidden, bias=False)
        self.expand = nn.Linear(hidden, channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, "B C H W", C=self.channels)
        z = self.transform(x)  # [B, C]
        s = wide_linear(self.expand, wide_linear(self.reduce, z).relu()).sigmoid()
        return x * self.see("channel", s.to(x.dtype)[:, :, None, None])

    def transform(self, x: Tensor) -> Tensor:
        """z of (2): `B C H W` -> `B C`, in float32 at least: in float16 the sum over a map overflows."""
        filters, (height, width) = self.filters, self.size
        fits = not exporting() and x.shape[2:] == self.size
        if not fits or height * width >= pooling.SMALL:
            filters = filters[:: self.group]  # [K, h, w]
        if not fits:
            rows = pooling.bin_weights(height, x.shape[2], like=filters)
            columns = pooling.bin_weights(width, x.shape[3], like=filters)
            filters = rows.mT @ filters @ columns  # Σ F·(P x) = Σ (Pᵀ F)·x
        if x.dtype is not torch.float16:
            return widened(pooling.filtered(x, filters))
        scale = math.sqrt(height * width)
        return widened(pooling.filtered(x, filters / scale)) * scale
