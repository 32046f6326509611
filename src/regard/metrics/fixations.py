"""Metrics of a saliency map against human fixations.

What Do Different Evaluation Metrics Tell Us About Saliency Models? Bylinskii, Judd, Oliva, Torralba, Durand. TPAMI
2019, arXiv:1604.03605. Saliency Benchmarking Made Easy. Kümmerer, Wallis, Bethge. ECCV 2018, arXiv:1704.08615.
Information gain: Kümmerer, Wallis, Bethge, PNAS 2015, doi:10.1073/pnas.1510393112.
Official code: cvzoya/saliency (MATLAB, `"mit"`), matthias-k/pysaliency (`"pysaliency"`).

With a map s over N pixels, n fixated pixels F, and the map p and the human density q, which each sum to 1:

    NSS = 1/n Σ_F (s − mean s) / std s                                                              (1)
    CC  = cov(s, d) / (std s · std d)                                                               (2)
    SIM = Σ min(p, q)                                                                               (3)
    KL  = Σ q log(ε + q / (p + ε))                                                                  (4)
    IG  = 1/n Σ_F log₂(ε + p) − log₂(ε + b)          b: a baseline, usually the centre bias         (5)
    AUC = P(s_fixated > s_other) + ½ P(s_fixated = s_other)                                         (6)

                    `"mit"` (the default)                             `"pysaliency"`
    fixations       a pixel counts once                               every fixation counts
    NSS             std of N − 1                                      std of N
    SIM, IG         maps scaled to 0..1 before they are divided       divided by their sum
    KL              ε = 2⁻⁵², as `"benchmark"`, which rounds it to    1e-20 added to both maps, ε = 0
                    2.2204e-16
    AUC (Judd)      one threshold a fixation, others without F; ties  (6), the others are all pixels
                    count against the map unless jittered
    shuffled AUC    thresholds every `step` of the scaled map         (6)

Where the codes give NaN, this is defined: a constant map gets the score of chance (NSS and CC 0, AUC 0.5; SIM, KL and
IG those of the uniform density). A map with negative values is shifted to a minimum of 0 before it is divided by its
sum, as in pysaliency. A ValueError is raised if there is no fixation.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from regard.checks import choice, number, positive, whole
from regard.ops.arrays import as_array

CONVENTIONS = ("mit", "pysaliency")
EPS = float(np.finfo(np.float64).eps)
ROUNDED_EPS = 2.2204e-16
LARGEST_SEED = 2**63 - 1

Array = NDArray[np.float64]


def nss(saliency: ArrayLike, fixations: ArrayLike, *, convention: str = "mit") -> float:
    """Normalised scanpath saliency, equation (1): 0 is chance, higher is better.

    Shapes: saliency `H W`, fixations `H W` (the number on each pixel).
    Raises: ValueError for other shapes, values that are not finite, no fixation, counts that are not whole, an unknown
        convention.
    """
    choice("convention", convention, CONVENTIONS)
    s, counts = _pair(saliency, fixations)
    if _constant(s):
        return 0.0
    return float((_at(s, counts, convention).mean() - s.mean()) / s.std(ddof=int(convention == "mit")))


def cc(saliency: ArrayLike, human: ArrayLike) -> float:
    """Pearson correlation of two maps, equation (2): from -1 to 1.

    Shapes: saliency, human `H W`.
    Raises: ValueError for other shapes or values that are not finite.
    """
    s, d = _map("saliency", saliency), _map("human", human)
    _alike(s, d)
    if _constant(s) or _constant(d):
        return 0.0
    s, d = s - s.mean(), d - d.mean()
    return float((s * d).sum() / np.sqrt((s * s).sum() * (d * d).sum()))


def similarity(saliency: ArrayLike, human: ArrayLike, *, convention: str = "mit") -> float:
    """Similarity of two densities, equation (3): from 0 to 1.

    Shapes: saliency, human `H W`.
    Raises: ValueError for other shapes, values that are not finite, an unknown convention.
    """
    choice("convention", convention, CONVENTIONS)
    s, d = _map("saliency", saliency), _map("human", human)
    _alike(s, d)
    return float(np.minimum(_shares(s, convention), _shares(d, convention)).sum())


def kl(saliency: ArrayLike, human: ArrayLike, *, convention: str = "mit") -> float:
    """Kullback-Leibler divergence of the map from the human density, equation (4), in nats: 0 is perfect.

    Args:
        saliency, human: the maps.
        convention: `"mit"`, `"benchmark"` (the MIT/Tübingen benchmark's rounded ε) or `"pysaliency"`.

    Shapes: saliency, human `H W`.
    Raises: ValueError for other shapes, values that are not finite, an unknown convention.
    """
    choice("convention", convention, (*CONVENTIONS, "benchmark"))
    s, d = _map("saliency", saliency), _map("human", human)
    _alike(s, d)
    if convention == "pysaliency":
        p, q = (_divided(_from_zero(x) + 1e-20) for x in (s, d))
        return float((q * (np.log(q) - np.log(p))).sum())
    eps = EPS if convention == "mit" else ROUNDED_EPS
    p, q = _divided(_from_zero(s)), _divided(_from_zero(d))
    return float((q * np.log(eps + q / (p + eps))).sum())


def information_gain(
    saliency: ArrayLike, fixations: ArrayLike, baseline: ArrayLike, *, convention: str = "mit"
) -> float:
    """Information gain of a map over a baseline, equation (5), in bits per fixation: 0 is the baseline's.

    Shapes: saliency, fixations, baseline `H W`.
    Raises: ValueError for other shapes, values that are not finite, no fixation, an unknown convention.
    """
    choice("convention", convention, CONVENTIONS)
    s, counts = _pair(saliency, fixations)
    b = _map("baseline", baseline)
    _alike(s, b)
    p, q = (_at(_shares(x, convention), counts, convention) for x in (s, b))
    return float((np.log2(EPS + p) - np.log2(EPS + q)).mean())


def auc(positives: ArrayLike, negatives: ArrayLike) -> float:
    """Probability that a positive is larger than a negative, ties counting half: equation (6).

    Shapes: positives `n`, negatives `m`.
    Raises: ValueError if one of them is empty or holds a NaN.
    """
    high, low = (np.sort(np.asarray(x, np.float64).ravel()) for x in (positives, negatives))
    if not high.size or not low.size or np.isnan(high).any() or np.isnan(low).any():
        raise ValueError(f"{high.size} positives, {low.size} negatives: at least one of each, and no NaN, is needed")
    below, up_to = np.searchsorted(high, low, "left"), np.searchsorted(high, low, "right")
    return float((high.size - (below + up_to) / 2).mean() / high.size)


def auc_judd(
    saliency: ArrayLike, fixations: ArrayLike, *, convention: str = "mit", jitter: float = 0.0, seed: int = 0
) -> float:
    """Area under the ROC curve for fixated against other pixels: 0.5 is chance.

    Args:
        saliency: the map.
        fixations: the number of fixations on each pixel.
        convention: `"mit"` is AUC-Judd, `"pysaliency"` its uniform AUC.
        jitter: the largest random number that is added to the map to break ties; MIT's code adds up to 1e-7.
        seed: the seed of these numbers.

    Shapes: saliency, fixations `H W`.
    Raises: ValueError for other shapes, values that are not finite, no fixation, a fixation on every pixel, an unknown
        convention.
    """
    choice("convention", convention, CONVENTIONS)
    s, counts = _pair(saliency, fixations)
    number("jitter", jitter, least=0)
    whole("seed", seed, 0, LARGEST_SEED)
    if _constant(s):
        return 0.5
    if jitter:
        s = s + jitter * np.random.default_rng(seed).random(s.shape)
    if convention == "pysaliency":
        return auc(_at(s, counts, convention), s)
    true, false = judd_curve(s, counts)
    return _area(true, false)


def judd_curve(saliency: ArrayLike, fixations: ArrayLike) -> tuple[Array, Array]:
    """The ROC curve of AUC-Judd: true and false positive rates, with a threshold at the value of each fixated pixel.

    Shapes: saliency, fixations `H W` -> `n + 2` each, from 0 to 1.
    Raises: ValueError as `auc_judd`.
    """
    s, counts = _pair(saliency, fixations)
    s, fixated = _stretched(s), counts > 0
    n, pixels = int(fixated.sum()), s.size
    if n == pixels:
        raise ValueError("fixations are on every pixel: at least one pixel without a fixation is needed")
    thresholds = np.sort(s[fixated])[::-1]
    above = pixels - np.searchsorted(np.sort(s, axis=None), thresholds, "left")
    ranks = np.arange(1, n + 1)
    return np.r_[0, ranks / n, 1], np.r_[0, (above - ranks) / (pixels - n), 1]


def auc_shuffled(
    saliency: ArrayLike,
    fixations: ArrayLike,
    others: ArrayLike,
    *,
    convention: str = "mit",
    step: float = 0.1,
    splits: int = 100,
    seed: int = 0,
) -> float:
    """Shuffled AUC: fixated pixels against pixels fixated in other images, so that a centre bias is not rewarded.

    Args:
        saliency: the map.
        fixations: the number of fixations on each pixel.
        others: the number of fixations of other images on each pixel.
        convention: `"mit"` or `"pysaliency"`.
        step: for `"mit"`, the distance of the thresholds on the map scaled to 0..1.
        splits, seed: for `"mit"`, the number and the seed of random subsets of the others, each with as many pixels as
            the fixations; not used if the others are fewer.

    Shapes: saliency, fixations, others `H W`.
    Raises: ValueError for other shapes, values that are not finite, no fixation in one of them, an unknown convention.
    """
    choice("convention", convention, CONVENTIONS)
    s, counts = _pair(saliency, fixations)
    elsewhere = _fixations(others, "others")
    _alike(s, elsewhere)
    number("step", step, above=0, most=1)
    positive("splits", splits)
    whole("seed", seed, 0, LARGEST_SEED)
    if _constant(s):
        return 0.5
    positives, negatives = _at(s, counts, convention), _at(s, elsewhere, convention)
    if convention == "pysaliency":
        return auc(positives, negatives)
    s = _stretched(s)
    positives, negatives = _at(s, counts, convention), _at(s, elsewhere, convention)
    chosen = min(len(positives), len(negatives))
    if chosen == len(negatives):  # every subset is the same
        return _stepped(positives, negatives, step)
    draw = np.random.default_rng(seed)
    areas = [_stepped(positives, draw.permutation(negatives)[:chosen], step) for _ in range(splits)]
    return float(np.mean(areas))


def _stepped(positives: Array, negatives: Array, step: float) -> float:
    top = max(positives.max(), negatives.max())
    # Multiples of the step, as MATLAB counts: a last one that exceeds the top only by rounding is included.
    thresholds = (step * np.arange(int(np.floor(top / step * (1 + 3 * EPS))) + 1))[::-1]
    rates = []
    for values in (positives, negatives):
        ordered = np.sort(values)
        rates.append(np.r_[0, (len(values) - np.searchsorted(ordered, np.minimum(thresholds, top))) / len(values), 1])
    true, false = rates
    return _area(true, false)


def _area(true: Array, false: Array) -> float:
    return float(((false[1:] - false[:-1]) * (true[1:] + true[:-1])).sum() / 2)


def _map(name: str, values: Any) -> Array:
    array = np.asarray(as_array(values), np.float64)
    if array.ndim != 2 or not array.size:
        raise ValueError(f"{name} has shape {array.shape}: a map H W is needed")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds values that are not finite: finite numbers are needed")
    return array


def _fixations(values: Any, name: str = "fixations") -> Array:
    counts = _map(name, values)
    if counts.min() < 0:
        raise ValueError(f"{name} holds {counts.min():g}: counts of at least 0 are needed")
    broken = counts[counts != np.rint(counts)]
    if broken.size:
        raise ValueError(f"{name} holds {broken[0]:g}: counts in whole numbers are needed, not a density")
    if not counts.any():
        raise ValueError(f"{name} has only zeros: at least one fixation is needed")
    return counts


def _pair(saliency: Any, fixations: Any) -> tuple[Array, Array]:
    s, counts = _map("saliency", saliency), _fixations(fixations)
    _alike(s, counts)
    return s, counts


def _alike(first: Array, second: Array) -> None:
    if first.shape != second.shape:
        raise ValueError(f"maps of {first.shape} and {second.shape}: maps of one shape are needed")


def _constant(s: Array) -> bool:
    return bool(s.max() == s.min())


def _stretched(s: Array) -> Array:
    """The map scaled to 0..1; a constant map is unchanged."""
    return s if _constant(s) else (s - s.min()) / (s.max() - s.min())


def _from_zero(s: Array) -> Array:
    return s - s.min() if s.min() < 0 else s


def _divided(s: Array) -> Array:
    total = s.sum()
    return s / total if total > 0 else np.full_like(s, 1 / s.size)


def _shares(s: Array, convention: str) -> Array:
    if _constant(s):
        return np.full_like(s, 1 / s.size)
    return _divided(_stretched(s) if convention == "mit" else _from_zero(s))


def _at(s: Array, counts: Array, convention: str) -> Array:
    """The values at the fixations: one per fixated pixel, or one per fixation."""
    if convention == "mit":
        return s[counts > 0]
    return np.repeat(s.ravel(), np.rint(counts.ravel()).astype(np.int64))


class FixationScores:
    """Means over images of `nss`, `auc_judd`, `cc`, `sim` and `kl`, which need no other images.

    `update` takes saliency maps `N H W`, human densities `N H W` and the number of fixations on each pixel `N H W`;
    images without a fixation are left out.

    Raises: ValueError, in `compute`, if no image has a fixation.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Removes all images."""
        self.sums: dict[str, float] = dict.fromkeys(("nss", "auc_judd", "cc", "sim", "kl"), 0.0)
        self.scored = self.seen = 0

    def update(self, maps: ArrayLike, human: ArrayLike, counts: ArrayLike) -> None:
        """Shapes: maps, human, counts `N H W`."""
        for p, density, fixated in zip(*(as_array(values) for values in (maps, human, counts)), strict=True):
            self.seen += 1
            if not fixated.any():
                continue
            self.scored += 1
            self.sums["nss"] += nss(p, fixated)
            self.sums["auc_judd"] += auc_judd(p, fixated)
            self.sums["cc"] += cc(p, density)
            self.sums["sim"] += similarity(p, density)
            self.sums["kl"] += kl(p, density)

    def merge_state(self, incoming_state: FixationScores) -> None:
        """Adds the images of another metric."""
        for name, value in incoming_state.sums.items():
            self.sums[name] += value
        self.scored += incoming_state.scored
        self.seen += incoming_state.seen

    def compute(self) -> dict[str, float]:
        if not self.scored:
            raise ValueError(f"none of the {self.seen} images has a fixation: at least one is needed")
        return {name: value / self.scored for name, value in self.sums.items()}
