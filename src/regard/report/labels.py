"""Placing the labels of the points of a plot."""

from __future__ import annotations

import math
from collections.abc import Sequence

LETTER, LINE = 7.5, 13.0  # a bold letter's width and a label's height, in the widest of the usual fonts

Box = tuple[float, float, float, float]


def place(
    names: Sequence[str],
    centres: Sequence[tuple[float, float]],
    bars: Sequence[Box],
    room: Box,
    others: Sequence[tuple[float, float]] = (),
) -> list[tuple[float, float]]:
    """Top left corners for the labels of points, so that labels cover neither each other nor a point.

    Greedy, from the most crowded point on: of places around the point, near ones first, the one that covers least;
    covering a label or a point is far worse than being nearer to another point than to its own, that worse than
    crossing an error bar, and that worse than being far away.

    Args:
        names: the labels.
        centres: the points.
        bars: left, top, right, bottom ends of each point's error bars.
        room: left, top, right, bottom of where labels may be.
        others: points without a label, which none may cover either.
    """
    dots = [(cx - 6, cy - 6, cx + 6, cy + 6) for cx, cy in (*centres, *others)]
    lines = [
        line for (cx, cy), (a, b, c, d) in zip(centres, bars, strict=True) for line in ((a, cy, c, cy), (cx, b, cx, d))
    ]
    crowd = [sum(math.dist(one, other) < 60 for other in centres) for one in centres]
    taken: list[Box] = []
    spots: dict[int, tuple[float, float]] = {}
    for index in sorted(range(len(names)), key=lambda index: -crowd[index]):
        (cx, cy), width = centres[index], len(names[index]) * LETTER
        best, least = (cx, cy), math.inf
        for radius in (9, 14, 20, 28, 38, 50, 64, 80, 100, 124):
            for step in range(16):
                angle = -math.pi / 8 + step * math.pi / 8
                reach = (cx + radius * math.cos(angle), cy + radius * math.sin(angle))
                left = reach[0] - width * (0.5 - 0.5 * math.cos(angle))
                top = reach[1] - LINE * (0.5 - 0.5 * math.sin(angle))
                box = (left, top, left + width, top + LINE)
                outside = box[0] < room[0] or box[1] < room[1] or box[2] > room[2] or box[3] > room[3]
                cost = radius + 1e6 * outside
                cost += 1e4 * sum(_overlap(box, other) > 0 for other in (*taken, *dots))
                own = _away(box, (cx, cy))
                cost += 300 * any(_away(box, other) < own for other in (*centres, *others) if other != (cx, cy))
                cost += 12 * sum(_overlap(box, line, 1.0) > 0 for line in lines)
                if cost < least:
                    best, least = (left, top), cost
        spots[index] = best
        taken.append((best[0], best[1], best[0] + width, best[1] + LINE))
    return [spots[index] for index in range(len(names))]


def _away(box: Box, point: tuple[float, float]) -> float:
    """The distance of a point from a box."""
    x, y = point
    return math.dist((min(max(x, box[0]), box[2]), min(max(y, box[1]), box[3])), (x, y))


def _overlap(one: Box, other: Box, margin: float = 0.0) -> float:
    wide = min(one[2], other[2]) - max(one[0], other[0]) + margin
    tall = min(one[3], other[3]) - max(one[1], other[1]) + margin
    return max(0.0, wide) * max(0.0, tall)
