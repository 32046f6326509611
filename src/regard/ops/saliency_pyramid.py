"""Steps of a saliency pyramid: halving, centre and surround, oriented contrast, and the operator N(·).

Smoothing keeps its mass at the borders: what falls outside of a map is left out, and the rest is divided by the part of
the filter that did not. Maps are `B C H W`, of any type that is not narrower than float32.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce
from itertools import accumulate
from operator import add
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

HALVING = (1, 5, 10, 10, 5, 1, 1)  # over 33
GABOR = 9  # pixels along each side of an oriented filter


def halved(x: Tensor, *, exact: bool = False) -> Tensor:
    """Every second row and column of the smoothed map: `B C H W` -> `B C H//2 W//2`; a side of 1 stays.

    Three rows or columns become one with weights 1, 2, 1, two become one with 1, 1. `exact` adds up in the order of the
    released code, so that float64 agrees to the last bit.
    """
    if exact:
        return _halved_in_order(x)
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


def _halved_in_order(x: Tensor) -> Tensor:
    taps = [tap / sum(HALVING) for tap in HALVING]
    if min(x.shape[2:]) > 3:
        return _shared(_shared(_convolved(x, taps, taps), x.shape[2], 2), x.shape[3], 3)
    for axis in (3, 2):
        length = x.shape[axis]
        if length > 3:
            x = _shared(_convolved(x, *(([1.0], taps) if axis == 3 else (taps, [1.0]))), length, axis)
        else:
            x = _mean(x, axis)
    return x


def _convolved(x: Tensor, rows: list[float], columns: list[float]) -> Tensor:
    """Convolves with rows and columns of taps; an axis with several taps keeps every second value only."""
    sizes = [(len(taps) // 2, 2 if len(taps) > 1 else 1, x.shape[2 + i]) for i, taps in enumerate((rows, columns))]
    counts = [length // step for _, step, length in sizes]
    padded = F.pad(x, (sizes[1][0], sizes[1][0], sizes[0][0], sizes[0][0]))
    result = torch.zeros((), dtype=x.dtype, device=x.device)
    for j in reversed(range(len(columns))):
        across = slice(len(columns) - 1 - j, len(columns) - 1 - j + sizes[1][1] * counts[1], sizes[1][1])
        for i in range(len(rows)):
            down = slice(len(rows) - 1 - i, len(rows) - 1 - i + sizes[0][1] * counts[0], sizes[0][1])
            result = result + padded[:, :, down, across] * (rows[i] * columns[j])
    return result


def _shared(x: Tensor, length: int, axis: int) -> Tensor:
    """Divides by the filter's mass inside the map, along an axis that had `length` before it was halved."""
    taps = [tap / sum(HALVING) for tap in HALVING]
    total = reduce(add, taps)
    parts = []
    for i in range(length // 2):
        inside = [tap for k, tap in enumerate(taps) if 0 <= 2 * i + 3 - k < length]
        parts.append(reduce(add, inside if 4 * i < length else inside[::-1]))  # from the end that lies inside
    part = torch.tensor(parts, dtype=x.dtype, device=x.device)
    part = part[:, None] if axis == 2 else part
    return torch.where(part == total, x, x * total / part)


def _mean(x: Tensor, axis: int) -> Tensor:
    if x.shape[axis] == 3:
        a, b, c = x.split(1, axis)
        mean: Tensor = (a + b + b + c) / 4
        return mean
    return x.mean(axis, keepdim=True)


def _inside(length: int, like: Tensor) -> Tensor:
    """The filter's whole mass over its mass inside the map, for each row that `halved` leaves of `length`."""
    shares = [1.0] * max(1, length // 2)
    for i in (0, 1, length // 2 - 2, length // 2 - 1) if length > 3 else ():
        if i >= 0:
            shares[i] = sum(HALVING) / sum(HALVING[k] for k in range(7) if 0 <= 2 * i + 3 - k < length)
    return like.new_tensor(shares)


def pyramid(x: Tensor, depth: int, *, exact: bool = False) -> list[Tensor]:
    """x and its repeated halvings, at most `depth` maps; the last one may have a side of 1."""
    levels = [x]
    while len(levels) < depth and min(levels[-1].shape[2:]) > 1:
        levels.append(halved(levels[-1], exact=exact))
    return levels


def nearest(source: int, target: int) -> list[int]:
    """For each of `target` positions, the position of `source` at its middle."""
    return [(2 * i + 1) * source // (2 * target) for i in range(target)]


def resized(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Nearest-neighbour interpolation: `B C H W` -> `B C *size`."""
    rows, columns = (torch.tensor(nearest(n, m), device=x.device) for n, m in zip(x.shape[2:], size, strict=True))
    return x[:, :, rows[:, None], columns]


class Gabors(NamedTuple):
    """Oriented filters, two for each angle, and the released code's factors for responses cut off at an edge.

    Attributes:
        taps: of each filter, rows of `GABOR` numbers.
        edges: of each filter, for the outermost `GABOR // 2` rows at the top and for those at the bottom, from above.
    """

    taps: list[list[list[float]]]
    edges: list[tuple[list[float], list[float]]]


def gabors(angles: Sequence[float], *, period: float = 7, deviation: float = 2.3333) -> Gabors:
    """Two filters for each angle in degrees, of phase 0 and 90, with mean 0 and norm 1.

    At 0 they vary from row to row, at 90 from column to column. The released code divides the response of a filter
    that reaches over the top or the bottom by the share of its sum that lies inside. That sum is 0, so that the factor
    is nothing but rounding: about 1e-16, and between 1 and 5 where every single row sums to 0. Adding up is done in the
    order of the released code for the sake of this.
    """
    reach = range(-(GABOR // 2), GABOR // 2 + 1)
    square = 2 * deviation**2
    taps, edges = [], []
    for angle in angles:
        turn = math.pi / 180 * angle
        cosine, sine = math.cos(turn), math.sin(turn)
        for shift in (0.0, math.pi / 2):
            wave = []
            for i in reach:
                across = [(i * cosine - j * sine, -i * sine - j * cosine) for j in reach]
                wave.append(
                    [
                        math.cos(math.tau / period * x + shift) * math.exp(-(x**2) / square - y**2 / square)
                        for x, y in across
                    ]
                )
            mean = _total(wave) / GABOR**2
            wave = [[value - mean for value in row] for row in wave]
            norm = math.sqrt(_total([[value**2 for value in row] for row in wave]))
            wave = [[value / norm for value in row] for row in wave]
            taps.append(wave)
            total = _total(wave)
            edges.append((_shares(total, wave), _shares(total, [row[::-1] for row in wave[::-1]])[::-1]))
    return Gabors(taps, edges)


def _total(rows: list[list[float]]) -> float:
    return reduce(add, (row[j] for j in range(len(rows)) for row in rows))


def _shares(total: float, rows: list[list[float]]) -> list[float]:
    """The filter's sum divided by that of its first rows, from one more than half of them on."""
    parts = [reduce(add, row) for row in zip(*(accumulate(column) for column in zip(*rows, strict=True)), strict=True)]
    return [total / part if part else 0.0 for part in parts[GABOR // 2 : -1]]


def oriented(x: Tensor, filters: Gabors, size: tuple[int, int], *, exact: bool = False) -> Tensor:
    """|phase 0| + |phase 90| of the filters' responses, only at the positions that `resized` to `size` reads.

    Args:
        x: intensity, one channel.
        filters: as `gabors` gives them.
        size: height and width of the result.
        exact: as the released code: x stands in a frame of zeros, what is added up comes in its order, and responses
            whose filter reaches over the top or the bottom, but not over a side, are multiplied by what it multiplies
            them by. Else the outermost values go on beyond the borders.

    Shapes: x `B 1 H W` -> `B A *size`, A angles.
    """
    reach = GABOR // 2
    height, width = x.shape[2:]
    top, left = (torch.tensor(nearest(n, m), device=x.device) for n, m in zip((height, width), size, strict=True))
    around = torch.arange(-reach, reach + 1, device=x.device)
    rows, columns = top[:, None] + around, left[:, None] + around  # [h, 9], [w, 9]
    places = rows.clamp(0, height - 1)[:, None, :, None], columns.clamp(0, width - 1)[:, None]
    patches = x[:, 0][:, places[0], places[1]]  # [B, h, w, 9, 9]
    bank = torch.tensor(filters.taps, dtype=x.dtype, device=x.device).flip(1, 2)  # a convolution, not a correlation
    if exact:
        inside = ((rows >= 0) & (rows < height))[:, None, :, None] & ((columns >= 0) & (columns < width))[:, None]
        patches = torch.where(inside, patches, 0.0)
        responses = torch.zeros((), dtype=x.dtype, device=x.device)
        for j in range(GABOR):
            for i in reversed(range(GABOR)):
                responses = responses + patches[..., i, j, None] * bank[:, i, j]
        if height >= reach:
            factors = x.new_ones(height, len(filters.taps))
            for ends, part in ((slice(None, reach), 0), (slice(height - reach, None), 1)):
                factors[ends] *= torch.tensor([pair[part] for pair in filters.edges], dtype=x.dtype, device=x.device).T
            inner = ((left >= reach) & (left < width - reach))[:, None]
            responses = responses * torch.where(inner, factors[top][:, None], 1.0)  # [B, h, w, 2A]
    else:
        responses = patches.flatten(3) @ bank.flatten(1).T
    maps: Tensor = responses.unflatten(-1, (-1, 2)).abs().sum(-1).permute(0, 3, 1, 2)
    return maps


def attenuated(x: Tensor, border: int) -> Tensor:
    """The map, falling off linearly towards its edges over `border` positions or half the map."""
    border = min(border, x.shape[2] // 2, x.shape[3] // 2)
    if border < 1:
        return x
    rows, columns = (
        torch.tensor(
            [min(i + 1, length - i, border + 1) / (border + 1) for i in range(length)], dtype=x.dtype, device=x.device
        )
        for length in x.shape[2:]
    )
    return x * rows[:, None] * columns


def spread(x: Tensor, low: float, high: float) -> Tensor:
    """Each map scaled from `low` at its minimum to `high` at its maximum; a constant map becomes their mean."""
    flat = x.flatten(2)
    least, most = (end[..., None] for end in (_extreme(flat, largest=False), _extreme(flat, largest=True)))
    span = most - least
    flat_map = span == 0
    scaled = (x - least) / torch.where(flat_map, 1.0, span) * (high - low) + low
    return torch.where(flat_map, x - most + (low + high) / 2, scaled)


def _extreme(flat: Tensor, *, largest: bool) -> Tensor:
    """The largest or smallest value of each map: `B C N` -> `B C 1`; of equal values the first gets the gradient."""
    if torch.is_grad_enabled() and flat.requires_grad:
        return (flat.max(-1, keepdim=True) if largest else flat.min(-1, keepdim=True)).values
    return flat.amax(-1, keepdim=True) if largest else flat.amin(-1, keepdim=True)


def promoted_by_maxima(x: Tensor, high: float | None, *, others: bool = False) -> Tensor:
    """Multiplies each map by (M - m)², M its maximum and m the mean of its local maxima of at least M / 10.

    A local maximum is no smaller than its four neighbours, and not on the edge of the map. With none or one, m is 0.

    Args:
        x: maps without negative values.
        high: M where it is known; then local maxima count from high / 10 up, and else from 1 up.
        others: leaves M itself, once, out of m.
    """
    centre = x[..., 1:-1, 1:-1]
    above, below, left, right = x[..., :-2, 1:-1], x[..., 2:, 1:-1], x[..., 1:-1, :-2], x[..., 1:-1, 2:]
    peak = (centre >= above) & (centre >= below) & (centre >= left) & (centre >= right)
    peak = (peak & (centre >= (1.0 if high is None else high / 10))).to(x.dtype)
    most = _extreme(x.flatten(2), largest=True)[..., 0]
    count, total = peak.sum((2, 3)), (centre * peak).sum((2, 3))
    if others:
        found = ((centre >= most[..., None, None]).to(x.dtype) * peak).sum((2, 3)).clamp_max(1)
        mean = (total - found * most) / (count - found).clamp_min(1)
    else:
        mean = torch.where(count > 1, total / count.clamp_min(1), 0.0)
    return x * ((most if high is None else high) - mean).square()[..., None, None]


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
