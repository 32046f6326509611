"""Coordinate search: weights of a score that has no gradient, one weight after the other.

Baby Talk: Understanding and Generating Simple Image Descriptions. Kulkarni et al. PAMI 2013, Section 4.4: the
weights of the field are those whose labellings have the most correct objects, attributes and prepositions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from regard.checks import positive, sequence

GRID = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 4.0)


def coordinate_search(
    score: Callable[[Sequence[float]], float], start: Sequence[float], *, grid: Sequence[float] = GRID, rounds: int = 3
) -> tuple[list[float], float]:
    """The best weights found, and their score: each weight in turn takes its best value of the grid.

    Args:
        score: of weights; higher is better.
        start: the first weights; a weight keeps its value where no other is better.
        grid: the values that are tried.
        rounds: passes over the weights at most; it ends before where a pass changes nothing.

    Raises: ValueError if there are no weights or values, or `rounds` is not positive.
    """
    weights = [float(value) for value in sequence("start", start)]
    values = [float(value) for value in sequence("grid", grid)]
    best = score(weights)
    for _ in range(positive("rounds", rounds)):
        before = best
        for at in range(len(weights)):
            for value in values:
                tried = [*weights[:at], value, *weights[at + 1 :]]
                found = score(tried)
                if found > best:
                    best, weights = found, tried
        if best == before:
            break
    return weights, best
