"""Figures with their 95 % intervals.

A figure from several seeds has two kinds of luck in it: of the seeds (initialisation and batch order) and of the test
images. Student's t over the seeds holds the first, an interval over the images the second; the wider of the two is
shown, so that neither is left out. One seed leaves only the images.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist, fmean, median, stdev

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from regard.report import Interval

LEVEL = 0.95


def over_seeds(
    values: Sequence[float], *, level: float = LEVEL, floor: float = -math.inf, ceiling: float = math.inf
) -> Interval:
    """Student's t interval of the mean; for a single value, which has no spread, the value itself.

    Args:
        values: one for each seed.
        floor, ceiling: what the figure can be at least and at most; the interval is clipped to it.
    """
    mean = fmean(values)
    if len(values) < 2:
        return Interval(mean, mean, mean, tuple(values))
    half = float(stdtrit(len(values) - 1, (1 + level) / 2)) * stdev(values) / math.sqrt(len(values))
    return Interval(mean, max(floor, mean - half), min(ceiling, mean + half), tuple(values))


def accuracy(correct: NDArray[np.bool_], *, level: float = LEVEL) -> Interval:
    """Share of correct images: over the seeds, and over the images by Wilson's score interval.

    Shapes: correct [S, N], S seeds and N test images.
    """
    z = _quantile(level)
    count = correct.shape[1]
    p = float(correct.mean())
    centre = (p + z * z / (2 * count)) / (1 + z * z / count)
    half = z * math.sqrt(p * (1 - p) / count + z * z / (4 * count * count)) / (1 + z * z / count)
    return _wider(over_seeds(_per_seed(correct), level=level), centre - half, centre + half, floor=0, ceiling=1)


def gain(
    ours: NDArray[np.bool_ | np.floating],
    theirs: NDArray[np.bool_ | np.floating],
    *,
    level: float = LEVEL,
    reach: float = math.inf,
) -> Interval:
    """Difference of two scores, paired by seed and by image.

    Of yes or no for each image, the interval over the images gets one image more that was gained and one that was lost,
    in the manner of Agresti and Caffo (The American Statistician 54, 2000), which keeps it honest where the two hardly
    ever disagree.

    Args:
        reach: what the difference can be at most in either direction, if the score is bounded; for yes or no it is 1.

    Shapes: ours, theirs [S, N], the same seeds and images in the same order.
    """
    differences = ours.astype(float) - theirs.astype(float)
    images = differences.mean(0)
    if ours.dtype == np.bool_:
        reach = 1.0
        images = np.append(images, (1.0, -1.0))
    half = _quantile(level) * float(images.std()) / math.sqrt(len(images))
    centre = float(images.mean())
    found = over_seeds(_per_seed(differences), level=level)
    return _wider(found, centre - half, centre + half, floor=-reach, ceiling=reach)


def score(
    values: NDArray[np.bool_ | np.floating],
    *,
    level: float = LEVEL,
    floor: float = 0,
    ceiling: float = 1,
) -> Interval:
    """Mean of a score per image, for example the share of energy inside the object.

    Shapes: values [S, N].
    """
    images = values.astype(float).mean(0)
    half = _quantile(level) * float(images.std(ddof=1)) / math.sqrt(len(images)) if len(images) > 1 else 0.0
    mean = float(images.mean())
    return _wider(over_seeds(_per_seed(values), level=level), mean - half, mean + half, floor=floor, ceiling=ceiling)


def repeated(values: Sequence[float], *, level: float = LEVEL) -> Interval:
    """Median of repeated measurements with its interval from order statistics, which assumes no distribution."""
    ordered = sorted(values)
    count = len(ordered)
    reach = _quantile(level) * math.sqrt(count) / 2
    first = max(0, math.floor(count / 2 - reach))
    last = min(count - 1, math.ceil(count / 2 + reach))
    return Interval(median(ordered), ordered[first], ordered[last], ())


def _wider(seeds: Interval, low: float, high: float, floor: float = -math.inf, ceiling: float = math.inf) -> Interval:
    """The interval that contains both intervals, clipped to the possible values."""
    return Interval(seeds.mean, max(floor, min(seeds.low, low)), min(ceiling, max(seeds.high, high)), seeds.values)


def _per_seed(values: NDArray[np.bool_ | np.floating]) -> tuple[float, ...]:
    return tuple(float(value) for value in values.mean(1))


def _quantile(level: float) -> float:
    return NormalDist().inv_cdf((1 + level) / 2)
