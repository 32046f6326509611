"""Metrics of salient object detection: scores of a saliency map against a mask.

    MAE       mean |p − g|                                                                          (1)
    F_β       (1 + β²) P R / (β² P + R), β² = 0.3, at 256 thresholds                                (2)
    F_β^w     (2) of errors weighted by where they lie, β² = 1                                      (3)
    S         α S_object + (1 − α) S_region, α = 0.5                                                (4)
    E         Σ (1 + φ)² / 4 / (N − 1), φ = 2 a b / (a² + b²), a = p − mean p, b = g − mean g       (5)

(1) Perazzi et al., CVPR 2012, doi:10.1109/CVPR.2012.6247743. (2) Achanta et al., CVPR 2009,
doi:10.1109/CVPR.2009.5206596. (3) Margolin, Zelnik-Manor, Tal, CVPR 2014, doi:10.1109/CVPR.2014.39. (4) Fan, Cheng,
Liu, Li, Borji, ICCV 2017, arXiv:1708.00786. (5) Fan et al., IJCAI 2018, arXiv:1805.10421.
Official code: lartpang/PySODMetrics, which reproduces the authors' MATLAB.

A map is scaled to 0..1 before it is scored (a constant map is not), and thresholded at 256 levels in descending order.
The adaptive threshold is twice the mean of the map, at most 1. E is divided by N − 1, as in the code, and can exceed 1;
for a single pixel it is divided by 1 (the code: by 2⁻⁵²). Over several images, the curves are averaged before the
maximum is taken. If the mask is empty, F is 0, S is 1 − mean p, and E is the share of pixels below the threshold; if it
is full, S is mean p, and E is the share of pixels above the threshold.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import convolve, distance_transform_edt

from regard.checks import number
from regard.ops.arrays import as_array

EPS = float(np.spacing(1))
LEVELS = 256

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


def prepared(prediction: Any, truth: Any) -> tuple[Array, Mask]:
    """The map scaled to 0..1 and the mask as bool.

    Args:
        prediction: bytes from 0 to 255, or fractions in 0..1.
        truth: bool, or bytes of which those above 128 are the object.

    Shapes: prediction, truth `H W` -> the same.
    Raises: ValueError for other shapes, types or values.
    """
    p, g = as_array(prediction), as_array(truth)
    if p.ndim != 2 or p.shape != g.shape or not p.size:
        raise ValueError(f"a map of {p.shape} and a mask of {g.shape}: H W of one size are needed")
    if g.dtype not in (np.dtype(bool), np.dtype(np.uint8)):
        raise ValueError(
            f"the mask is of type {g.dtype}: bool, or bytes of which those above 128 are the object, is needed"
        )
    if p.dtype == np.uint8:
        p = p / 255
    elif p.dtype.kind != "f" or not (p.min() >= 0 and p.max() <= 1):
        raise ValueError(
            f"the map is of type {p.dtype}, from {p.min()} to {p.max()}: bytes, or fractions in 0..1, are needed"
        )
    p = p.astype(np.float64)
    if p.max() != p.min():
        p = (p - p.min()) / (p.max() - p.min())
    return p, g if g.dtype == bool else g > 128


@dataclass(frozen=True)
class Measures:
    """All scores of an image, or their means over images; the thresholds of the curves are in descending order.

    Args:
        mae, adaptive_f, weighted_f, s_measure, adaptive_e: equations (1) to (5).
        precision, recall, f_curve, e_curve: curves of 256 values.
    """

    mae: float
    adaptive_f: float
    weighted_f: float
    s_measure: float
    adaptive_e: float
    precision: Array
    recall: Array
    f_curve: Array
    e_curve: Array

    def scores(self) -> dict[str, float]:
        """The numbers that papers report: `mae`, `s_measure`, `weighted_f`, `max_f`, `mean_e`, `adaptive_f`, …"""
        curves = {"f": self.f_curve, "e": self.e_curve}
        ends = {f"{how}_{name}": float(getattr(x, how)()) for name, x in curves.items() for how in ("max", "mean")}
        plain = ("mae", "adaptive_f", "weighted_f", "s_measure", "adaptive_e")
        return {name: float(getattr(self, name)) for name in plain} | ends


def measures(prediction: Any, truth: Any, *, beta2: float = 0.3, alpha: float = 0.5) -> Measures:
    """Computes all scores of a map.

    Args:
        prediction, truth: as in `prepared`.
        beta2: β² of equation (2).
        alpha: α of equation (4).

    Shapes: prediction, truth `H W`.
    Raises: ValueError for other shapes, types or values.
    """
    number("beta2", beta2, above=0)
    number("alpha", alpha, least=0, most=1)
    p, g = prepared(prediction, truth)
    levels = (p * 255).astype(np.uint8)
    # Pixels at or above each threshold, inside and outside the object; the highest threshold first.
    hit, wrong = (np.bincount(levels[part], minlength=LEVELS)[::-1].cumsum() for part in (g, ~g))
    precision, recall, f = _f(hit, wrong, int(g.sum()), beta2)
    above = p >= min(2 * p.mean(), 1)
    found, false = int((above & g).sum()), int((above & ~g).sum())
    return Measures(
        mae=float(np.abs(p - g).mean()),
        adaptive_f=float(_f(np.array(found), np.array(false), int(g.sum()), beta2)[2]),
        weighted_f=weighted_f(p, g),
        s_measure=s_measure(p, g, alpha=alpha),
        adaptive_e=float(_e(np.array(found), np.array(false), g)),
        precision=precision,
        recall=recall,
        f_curve=f,
        e_curve=_e(hit, wrong, g),
    )


def averaged(several: Iterable[Measures]) -> Measures:
    """The means of all scores over images, pointwise for curves.

    Raises: ValueError if there are no images.
    """
    found = list(several)
    if not found:
        raise ValueError("no images: at least one is needed")
    return Measures(
        **{field.name: np.mean([getattr(one, field.name) for one in found], 0) for field in fields(Measures)}
    )


def weighted_f(p: Array, g: Mask, *, beta2: float = 1.0) -> float:
    """Weighted F-measure, equation (3): errors near correct pixels of the object count less, far from the object more.

    Shapes: p `H W` in 0..1, g `H W`, bool.
    """
    if not g.any():
        return 0.0
    distance, nearest = distance_transform_edt(~g, return_indices=True)
    error = np.abs(p - g)
    spread = error[nearest[0], nearest[1]]  # outside the object: the error of the nearest pixel of the object
    y, x = np.ogrid[-3:4, -3:4]
    kernel = np.exp(-(x * x + y * y) / 50)  # 7×7, σ = 5
    smooth = convolve(spread, kernel / kernel.sum(), mode="constant")
    error = np.where(g & (smooth < error), smooth, error)
    error = error * np.where(g, 1.0, 2 - np.exp(np.log(0.5) / 5 * distance))
    right = g.sum() - error[g].sum()
    recall = 1 - error[g].mean()
    precision = right / (right + error[~g].sum() + EPS)
    return float((1 + beta2) * recall * precision / (recall + beta2 * precision + EPS))


def s_measure(p: Array, g: Mask, *, alpha: float = 0.5) -> float:
    """S-measure, equation (4): structural similarity of the object, and of the four regions around its centre.

    Shapes: p `H W` in 0..1, g `H W`, bool.
    """
    share = g.mean()
    if share in (0, 1):
        return float(p.mean() if share else 1 - p.mean())
    as_object = _object(p[g]) * share + _object(1 - p[~g]) * (1 - share)
    height, width = g.shape
    row, column = (int(c) + 1 for c in np.argwhere(g).mean(0).round())  # one more, as counting from 1 does
    weight = [row * column, row * (width - column), (height - row) * column]
    shares = [w / g.size for w in weight]
    shares.append(1 - sum(shares))
    quarters = [(slice(0, row), slice(0, column)), (slice(0, row), slice(column, None))]
    quarters += [(slice(row, None), slice(0, column)), (slice(row, None), slice(column, None))]
    as_region = sum(w * _ssim(p[at], g[at]) for w, at in zip(shares, quarters, strict=True) if g[at].size)
    return float(max(0, alpha * as_object + (1 - alpha) * as_region))


def _object(x: Array) -> float:
    mean = x.mean()
    return float(2 * mean / (mean**2 + 1 + (x.std(ddof=1) if x.size > 1 else 0) + EPS))


def _ssim(p: Array, g: Mask) -> float:
    x, y, n = p.mean(), g.mean(), p.size - 1 + EPS
    a, b = p - x, g - y
    top = 4 * x * y * ((a * b).sum() / n)
    bottom = (x * x + y * y) * ((a * a).sum() / n + (b * b).sum() / n)
    if top != 0:
        return float(top / (bottom + EPS))
    return float(bottom == 0)


def _f(hit: NDArray[np.int64], wrong: NDArray[np.int64], size: int, beta2: float) -> tuple[Array, Array, Array]:
    precision = hit / np.maximum(hit + wrong, 1)
    recall = hit / max(size, 1)
    top = (1 + beta2) * precision * recall
    return precision, recall, top / np.where(top == 0, 1, beta2 * precision + recall)


def _e(hit: NDArray[np.int64], wrong: NDArray[np.int64], g: Mask) -> Array:
    """Equation (5) from the numbers of marked pixels inside and outside the object, since φ has only four values."""
    size, inside = g.size, int(g.sum())
    marked = hit + wrong
    if inside == 0:
        total = (size - marked).astype(np.float64)
    elif inside == size:
        total = marked.astype(np.float64)
    else:
        p, share = marked / size, inside / size
        total = np.zeros(np.shape(marked))
        cases = (
            (hit, 1 - p, 1 - share),
            (wrong, 1 - p, -share),
            (inside - hit, -p, 1 - share),
            (size - inside - wrong, -p, -share),
        )
        for count, a, b in cases:
            total = total + count * (2 * a * b / (a * a + b * b + EPS) + 1) ** 2 / 4
    shares: Array = total / max(size - 1, 1)
    return shares


class ObjectScores:
    """The numbers of `Measures.scores` for the means over images.

    `update` takes a sequence of maps and one of masks, `H W` each; pairs may differ in size.

    Raises: ValueError, in `compute`, without images.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Removes all images."""
        self.sums: dict[str, Any] = {}
        self.images = 0

    def update(self, maps: Iterable[Any], truths: Iterable[Any]) -> None:
        """Args: maps, truths as `prediction` and `truth` of `measures`."""
        for p, g in zip(maps, truths, strict=True):
            found = measures(p, g)
            self._add({field.name: getattr(found, field.name) for field in fields(found)}, 1)

    def merge_state(self, incoming_state: ObjectScores) -> None:
        """Adds the images of another metric."""
        if incoming_state.images:
            self._add(incoming_state.sums, incoming_state.images)

    def _add(self, values: Mapping[str, Any], images: int) -> None:
        self.sums = {name: self.sums.get(name, 0.0) + value for name, value in values.items()}
        self.images += images

    def compute(self) -> dict[str, float]:
        if not self.images:
            raise ValueError("no images: at least one is needed to compute scores")
        return Measures(**{name: total / self.images for name, total in self.sums.items()}).scores()
