"""Figures with their 95 % intervals.

A figure from several seeds has two kinds of luck in it: of the seeds (initialisation and batch order) and of the test
images. Student's t over the seeds holds the first, an interval over the images the second; the wider of the two is
shown, so that neither is left out. One seed leaves only the images.

The mIoU of a set of images is no mean over them: its interval over the images is that of the bootstrap, the spread over
sets of as many images that are drawn with replacement, the same sets for every row.

So are captions and translations compared: BLEU is no mean over sentences either. Statistical Significance Tests for
Machine Translation Evaluation. Koehn. EMNLP 2004.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist, fmean, median, stdev
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from regard.report import Interval

LEVEL = 0.95
DRAWS = 1000  # sets of images that the bootstrap draws


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


class Pooled:
    """Shares of classes that are computed from the pixels of all images together, with their intervals.

    Args:
        pixels: of each seed, image and class the number of pixels that are right, true and predicted.

    Shapes: pixels [S, N, K, 3].
    """

    def __init__(self, pixels: NDArray[np.integer]) -> None:
        self.seeds = overlap(pixels.astype(float).sum(1))  # [S, K]
        random = np.random.default_rng(DRAWS)  # one sequence, so that rows are paired
        count = pixels.shape[1]
        times = random.multinomial(count, np.full(count, 1 / count), size=DRAWS).astype(float)  # [R, N]
        sums = [times @ one.reshape(count, -1).astype(float) for one in pixels]
        drawn = [overlap(one.reshape(DRAWS, *pixels.shape[2:])) for one in sums]
        self.drawn = np.stack(drawn, 1)  # [R, S, K]

    def mean(self, *, level: float = LEVEL) -> Interval:
        """mIoU: the mean over the classes that occur."""
        return _drawn(_over_classes(self.seeds), _over_classes(self.drawn), level, 0, 1)

    def gain(self, other: Pooled, *, level: float = LEVEL) -> Interval:
        """The difference of two mIoU, paired by seed and by image."""
        seeds = _over_classes(self.seeds) - _over_classes(other.seeds)
        return _drawn(seeds, _over_classes(self.drawn) - _over_classes(other.drawn), level, -1, 1)

    def of_class(self, number: int, other: Pooled | None = None) -> Interval | None:
        """The IoU of one class, or its difference to that of another row; None if it does not occur."""
        seeds, drawn = self.seeds[:, number], self.drawn[..., number]
        if other is not None:
            seeds, drawn = seeds - other.seeds[:, number], drawn - other.drawn[..., number]
        if np.isnan(seeds).any():
            return None
        drawn = drawn[~np.isnan(drawn).any(1)]  # the class may be in none of the images that are drawn
        return _drawn(seeds, drawn, LEVEL, 0 if other is None else -1, 1)


class Drawn(Protocol):
    """A metric that scores sets of its items, such as `metrics.words.captions.Captions`.

    `drawn` takes how often each item stands in each set, `R N`, and returns `R` of each score.
    """

    def drawn(self, times: NDArray[np.integer]) -> Mapping[str, NDArray[np.float64]]: ...


def paired(
    ours: Drawn, theirs: Drawn, count: int, *, draws: int = DRAWS, level: float = LEVEL, seed: int = 0
) -> dict[str, Interval]:
    """The difference of each score, ours less theirs, on the same items; its interval is the bootstrap's percentiles.

    Args:
        ours, theirs: metrics that were updated by the same items in the same order.
        count: the number of items.
        draws: the number of sets of as many items, drawn with replacement.
        level: of the interval.
        seed: of the draws.
    """
    chosen = np.random.default_rng(seed).integers(0, count, (draws, count))
    times = np.stack([np.bincount(one, minlength=count) for one in (np.arange(count), *chosen)])
    first, second = ours.drawn(times), theirs.drawn(times)
    found = {}
    for name, values in first.items():
        whole, *several = values - second[name]
        low, high = np.percentile(several, [50 * (1 - level), 50 * (1 + level)])
        found[name] = Interval(float(whole), float(low), float(high))
    return found


def compared(ours: object, theirs: object) -> dict[str, Interval]:
    """`paired` for two metrics of captions or translations.

    Raises: ValueError if they are of something else, or not of the same items.
    """
    for metric in (ours, theirs):
        if not hasattr(metric, "drawn"):
            raise ValueError(f"against: {type(metric).__name__} is of no sentences: captions and translations compare")
    if type(ours) is not type(theirs) or ours.references != theirs.references:  # type: ignore[attr-defined]
        raise ValueError("against: both runs have to write sentences for the same test data")
    return paired(ours, theirs, len(ours.references))  # type: ignore[arg-type, attr-defined]


def overlap(pixels: NDArray[np.floating]) -> NDArray[np.floating]:
    """IoU of the pixels that are right, true and predicted, [..., 3] -> [...]; NaN where there are none."""
    right, true, said = np.moveaxis(pixels, -1, 0)
    either = true + said - right
    shares: NDArray[np.floating] = np.divide(right, either, out=np.full_like(either, np.nan), where=either > 0)
    return shares


def _over_classes(shares: NDArray[np.floating]) -> NDArray[np.floating]:
    """The mean over the last axis without what is NaN; 0 if all is."""
    there = ~np.isnan(shares)
    mean: NDArray[np.floating] = np.where(there, shares, 0).sum(-1) / np.maximum(there.sum(-1), 1)
    return mean


def _drawn(
    seeds: NDArray[np.floating], drawn: NDArray[np.floating], level: float, floor: float, ceiling: float
) -> Interval:
    """The interval of the mean over the seeds: seeds [S], drawn [R, S]."""
    found = over_seeds(tuple(map(float, seeds)), level=level)
    half = _quantile(level) * float(drawn.mean(1).std()) if len(drawn) else 0.0
    return _wider(found, found.mean - half, found.mean + half, floor=floor, ceiling=ceiling)


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
