"""The steps of a saliency pyramid: halving, centre and surround, oriented contrast, and the operator N(·).

Every filter here keeps its mass at the borders: what falls outside of a map is left out, and the rest is divided by
the part of the filter that did not. Maps are `B C H W`, of any type that is not narrower than float32.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

HALVING = (1, 5, 10, 10, 5, 1, 1)  # over 33
GABOR = 9  # pixels along each side of an oriented filter
# GNU Octave's rounding in (sum of the filter) / (sum of the rows that lie inside), both zero but for it; only the
# vertical filter of phase 90 has rows that sum to zero one by one. Outermost row first, at the top and at the bottom.
OCTAVE_FILTER = 5  # of 0, 45, 90 and 135 degrees with two phases each
OCTAVE_TOP = (-41 / 24, -41 / 16, 41 / 8, 41 / 12)
OCTAVE_BOTTOM = (41 / 20, 41 / 32, 41 / 8, 41 / 12)


def halved(x: Tensor) -> Tensor:
    """Every second row and column of the smoothed map: `B C H W` -> `B C H//2 W//2`, where one side stays at 1.

    Three rows or columns become one with weights 1, 2, 1, two become one with 1, 1.
    """
    batch, channels, height, width = x.shape
    x = x.reshape(batch * channels, 1, height, width)
    kernel = torch.tensor(HALVING[::-1], dtype=x.dtype, device=x.device) / sum(HALVING)
    if height > 3:
        x = F.conv2d(x, kernel[:, None][None, None], stride=(2, 1), padding=(3, 0))[:, :, : height // 2]
    else:
        x = _mean(x, 2)
    if width > 3:
        x = F.conv2d(x, kernel[None, None, None], stride=(1, 2), padding=(0, 3))[..., : width // 2]
    else:
        x = _mean(x, 3)
    return (x * _inside(height, x)[:, None] * _inside(width, x)).reshape(batch, channels, *x.shape[2:])


def _mean(x: Tensor, axis: int) -> Tensor:
    if x.shape[axis] == 3:
        a, b, c = x.split(1, axis)
        return (a + 2 * b + c) / 4
    return x.mean(axis, keepdim=True)


def _inside(length: int, like: Tensor) -> Tensor:
    """For each row that `halved` leaves of `length`, the mass of the filter over the part of it that lies inside."""
    shares = like.new_ones(max(1, length // 2))
    for i in (0, 1, length // 2 - 2, length // 2 - 1) if length > 3 else ():
        if i >= 0:
            shares[i] = sum(HALVING) / sum(HALVING[k] for k in range(7) if 0 <= 2 * i + 3 - k < length)
    return shares


def pyramid(x: Tensor, depth: int) -> list[Tensor]:
    """x and what halving makes of it, at most `depth` maps; it ends where the shorter side is 1."""
    levels = [x]
    while len(levels) < depth and min(levels[-1].shape[2:]) > 1:
        levels.append(halved(levels[-1]))
    return levels


def nearest(source: int, target: int) -> list[int]:
    """For each of `target` positions the one of `source` that lies below its middle."""
    return [(2 * i + 1) * source // (2 * target) for i in range(target)]


def resized(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Nearest neighbours: `B C H W` -> `B C *size`."""
    rows, columns = (
        torch.tensor(nearest(n, m), device=x.device) for n, m in zip(x.shape[2:], size, strict=True)
    )
    return x[:, :, rows[:, None], columns]


def gabor_filters(angles: Sequence[float], *, period: float = 7, deviation: float = 2.3333) -> list[list[list[float]]]:
    """Two filters for each angle in degrees, of phase 0 and 90, with mean 0 and norm 1: rows of `GABOR` numbers.

    At 0 they vary from row to row, at 90 from column to column.
    """
    reach = range(-(GABOR // 2), GABOR // 2 + 1)
    filters = []
    for angle in angles:
        cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        for shift in (0.0, math.pi / 2):
            wave = [
                [
                    math.cos(math.tau / period * (i * cosine - j * sine) + shift)
                    * math.exp(-(i * i + j * j) / (2 * deviation**2))
                    for j in reach
                ]
                for i in reach
            ]
            mean = sum(map(sum, wave)) / GABOR**2
            norm = math.sqrt(sum((value - mean) ** 2 for row in wave for value in row))
            filters.append([[(value - mean) / norm for value in row] for row in wave])
    return filters


def oriented(x: Tensor, filters: Sequence[Sequence[Sequence[float]]], size: tuple[int, int], edges: str) -> Tensor:
    """|phase 0| + |phase 90| of the filters' responses, only where `resized` to `size` would look at them.

    Args:
        x: intensity, one channel.
        filters: as `gabor_filters` gives them.
        size: height and width of the result.
        edges: what becomes of the responses whose filter reaches over the top or the bottom, but not over a side:
            "zero", "plain", or "octave", which is zero but for the vertical filter of phase 90.

    Shapes: x `B 1 H W` -> `B A *size`, A angles.
    """
    reach = GABOR // 2
    height, width = x.shape[2:]
    padded = F.pad(x[:, 0], (reach,) * 4)
    taps = torch.arange(GABOR, device=x.device)
    top, left = (torch.tensor(nearest(n, m), device=x.device) for n, m in zip((height, width), size, strict=True))
    patches = padded[:, (top[:, None] + taps)[:, None, :, None], (left[:, None] + taps)[:, None]]  # [B, h, w, 9, 9]
    bank = torch.tensor(filters, dtype=x.dtype, device=x.device).flip(1, 2)  # a convolution, not a correlation
    responses = (patches.flatten(3) @ bank.flatten(1).T).unflatten(-1, (-1, 2))  # [B, h, w, A, 2]
    if edges != "plain" and height >= reach:
        factors = _edge_factors(height, len(filters), edges, x)[top][:, None]  # [h, 1, A, 2]
        inner = ((left >= reach) & (left < width - reach))[:, None, None]
        responses = responses * torch.where(inner, factors, 1.0)
    return responses.abs().sum(-1).permute(0, 3, 1, 2)


def _edge_factors(height: int, filters: int, edges: str, like: Tensor) -> Tensor:
    """What each row's responses are multiplied by: `H A 2`."""
    factors = like.new_ones(height, filters)
    for k in range(GABOR // 2):
        for row, rounding in ((k, OCTAVE_TOP[k]), (height - 1 - k, OCTAVE_BOTTOM[k])):
            kept = factors[row, OCTAVE_FILTER] * rounding if edges == "octave" else None
            factors[row] = 0
            if kept is not None:
                factors[row, OCTAVE_FILTER] = kept
    return factors.unflatten(1, (-1, 2))


def attenuated(x: Tensor, border: int) -> Tensor:
    """The map falling off linearly towards its edges, over `border` positions, or half the map."""
    border = min(border, x.shape[2] // 2, x.shape[3] // 2)
    if border < 1:
        return x
    ramps = [
        torch.tensor([min(i + 1, length - i, border + 1) / (border + 1) for i in range(length)]) for length in x.shape[2:]
    ]
    rows, columns = (ramp.to(x) for ramp in ramps)
    return x * (rows[:, None] * columns)


def spread(x: Tensor, low: float, high: float) -> Tensor:
    """Each map from `low` at its minimum to `high` at its maximum; a constant one becomes their mean."""
    flat = x.flatten(2)
    least, most = (end[..., None] for end in (_extreme(flat, largest=False), _extreme(flat, largest=True)))
    span = most - least
    flat_map = span == 0
    scaled = (x - least) * ((high - low) / torch.where(flat_map, 1.0, span)) + low
    return torch.where(flat_map, x - most + (low + high) / 2, scaled)


def _extreme(flat: Tensor, *, largest: bool) -> Tensor:
    """The largest or smallest value of each map, its gradient to the first of equal ones: `B C N` -> `B C 1`."""
    if torch.is_grad_enabled() and flat.requires_grad:
        return (flat.max(-1, keepdim=True) if largest else flat.min(-1, keepdim=True)).values
    return flat.amax(-1, keepdim=True) if largest else flat.amin(-1, keepdim=True)


def promoted_by_maxima(x: Tensor, high: float | None) -> Tensor:
    """Multiplies each map by (M - m)², M its maximum and m the mean of its local maxima, from a tenth of M up.

    A local maximum is no smaller than its four neighbours, and not on the edge of the map. With none or one, m is 0.

    Args:
        x: maps without negative values.
        high: M where it is known; then local maxima count from high / 10 up, and else from 1 up.
    """
    centre = x[..., 1:-1, 1:-1]
    above, below, left, right = x[..., :-2, 1:-1], x[..., 2:, 1:-1], x[..., 1:-1, :-2], x[..., 1:-1, 2:]
    peak = (centre >= above) & (centre >= below) & (centre >= left) & (centre >= right)
    peak = (peak & (centre >= (1.0 if high is None else high / 10))).to(x.dtype)
    count = peak.sum((2, 3))
    mean = (centre * peak).sum((2, 3)) / count.clamp_min(1)
    most: Tensor | float = _extreme(x.flatten(2), largest=True)[..., 0] if high is None else high
    return x * (most - torch.where(count > 1, mean, 0.0)).square()[..., None, None]


def promoted_by_competition(x: Tensor, iterations: int) -> Tensor:
    """Excites each position from nearby and inhibits it from afar, `iterations` times.

    x ← max(0, x + x ∗ excitation - x ∗ inhibition - 0.02 max x)
    """
    size = x.shape[2:]
    excite, inhibit = (
        [_smoothing(length, max(size), min(size), *widths, like=x) for length in size]
        for widths in ((0.5, 0.02), (1.5, 0.25))
    )
    for _ in range(iterations):
        near = excite[0] @ x @ excite[1].mT
        far = inhibit[0] @ x @ inhibit[1].mT
        everywhere = 0.02 * _extreme(x.flatten(2), largest=True)[..., None]
        x = (x + near - far - everywhere).clamp_min(0)
    return x


def _smoothing(length: int, longer: int, shorter: int, mass: float, width: float, *, like: Tensor) -> Tensor:
    """A Gaussian along one axis, as a matrix.

    Args:
        length: of the axis.
        longer, shorter: sides of the map.
        mass: of the filter, before it is cut off at a hundredth of its peak, or near half of the shorter side.
        width: its deviation as a share of the longer side.
        like: says of which type and where.

    Shapes: -> `length length`.
    """
    deviation = width * longer
    reach = math.floor(deviation * math.sqrt(-2 * math.log(0.01)))
    limit = max(0, shorter // 2 - 1)
    reach = min(reach, limit) if limit else reach
    peak = mass / (deviation * math.sqrt(math.tau))
    taps = [peak * math.exp(-(k * k) / (2 * deviation**2)) for k in range(reach + 1)]
    places = torch.arange(length, device=like.device)
    away = (places[:, None] - places).abs().clamp_max(reach + 1)
    matrix = torch.tensor([*taps, 0.0], dtype=like.dtype, device=like.device)[away]
    return matrix * ((2 * sum(taps) - taps[0]) / matrix.sum(1, keepdim=True))
