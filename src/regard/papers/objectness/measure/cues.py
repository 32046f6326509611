"""The published cues of objectness, on windows of an image.

Measuring the Objectness of Image Windows. Alexe, Deselaers, Ferrari. PAMI 2012, doi:10.1109/TPAMI.2012.28, Section 3,
with the numbers of the authors' release 2.2 (MATLAB).

    MS  Σ I_p · |{p}| / |w| over p in w with I_p ≥ θ_s                       multi-scale saliency              (1)
    CC  χ²(h(w), h(ring of w)), the ring as wide as makes the sides 1 + θ    colour contrast                   (2)
    ED  edges in w without its core, by area, times the ring's width         edge density                      (3)
    SS  1 − Σ_s min(|s in w|, |s outside w|) / |w|                           superpixel straddling             (4)

    I: spectral residual of one colour channel at s × s pixels, smoothed, from 0 to 1; h: of 4 × 8 × 8 colours in Lab.

Boxes are left, top, right and bottom in pixels, the last two exclusive. As released, a window of MS belongs to the
scale and channel on whose grid it lies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from skimage.color import rgb2gray, rgb2lab
from skimage.feature import canny
from skimage.segmentation import felzenszwalb
from skimage.transform import resize

Array = NDArray[np.float64]

SCALES = {16: 0.43, 24: 0.32, 32: 0.34, 48: 0.35, 64: 0.26}  # s -> θ_s, learned by the authors on 50 images
CONTRAST = 1.0  # θ of CC
CORE = 0.17  # θ of ED: the core's sides are those of the window divided by 1 + θ
STRADDLING = 450.0  # θ of SS: the scale of the superpixels
SUPERPIXEL = (0.5, 200)  # σ of their smoothing and their least area, for an image of 300 × 200
LEAST_SIDE = 10  # of a window, in pixels
COLOURS = (4, 8, 8)


@dataclass(frozen=True)
class Image:
    """An image as the cues see it: `H W 3`, 0..1.

    Raises: ValueError for another shape, or values outside 0..1.
    """

    pixels: Array

    @classmethod
    def of(cls, values: ArrayLike) -> Image:
        """Bytes, or numbers from 0 to 1; `H W` is repeated for three channels."""
        given = np.asarray(values)
        pixels = given.astype(np.float64) / (255 if given.dtype == np.uint8 else 1)
        pixels = np.repeat(pixels[..., None], 3, 2) if pixels.ndim == 2 else pixels
        if pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
            raise ValueError(f"image of shape {given.shape}: H W 3 is needed")
        if not ((pixels >= 0) & (pixels <= 1)).all():
            raise ValueError(f"image from {pixels.min():g} to {pixels.max():g}: bytes, or 0 to 1, are needed")
        return cls(pixels)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.pixels.shape[0], self.pixels.shape[1]


def saliency(image: Image, channel: int, side: int) -> Array:
    """The spectral residual of one channel at `side` × `side` pixels, from 0 to 1."""
    small = resize(image.pixels[..., channel], (side, side), order=1, anti_aliasing=True)
    if np.ptp(small) < 1e-6:  # whose spectrum is rounding
        return np.zeros_like(small)
    spectrum = np.fft.fft2(small)
    amplitude = np.log(np.maximum(np.abs(spectrum), 1e-12))
    residual = amplitude - ndimage.uniform_filter(amplitude, 3, mode="nearest")
    found = np.abs(np.fft.ifft2(np.exp(residual + 1j * np.angle(spectrum)))) ** 2
    found = ndimage.correlate(found, _disk(3), mode="constant")
    span = found.max() - found.min()
    scaled: Array = (found - found.min()) / span if span > 1e-12 else np.zeros_like(found)
    return scaled


def _disk(radius: int) -> Array:
    """The share of each pixel that lies in a disk around the middle; sums to 1."""
    fine = 8  # each pixel is divided into as many rows and columns
    places = (np.arange((2 * radius + 1) * fine) + 0.5) / fine - radius - 0.5
    inside = (places[:, None] ** 2 + places[None] ** 2 <= (radius + 0.25) ** 2).astype(np.float64)
    shares: Array = inside.reshape(2 * radius + 1, fine, 2 * radius + 1, fine).mean((1, 3))
    shares /= shares.sum()
    return shares


def all_windows(
    salient: Array, threshold: float, least: tuple[int, int]
) -> tuple[Array, NDArray[np.int64], NDArray[np.int64]]:
    """MS, equation (1), of every window of a square map.

    Args:
        salient: the map.
        threshold: θ.
        least: the smallest height and width.

    Shapes: -> MS `R C`, the top and bottom of the windows in each row `R 2`, the left and right of each column `C 2`.
    """
    side = len(salient)
    ends = np.stack(np.triu_indices(side + 1, 1), 1)
    rows, columns = (ends[ends[:, 1] - ends[:, 0] >= n] for n in least)
    above = salient >= threshold
    sums = []
    for integral in (_integral(salient * above), _integral(above)):
        strips = integral[rows[:, 1]] - integral[rows[:, 0]]  # [R, side + 1]
        sums.append(strips[:, columns[:, 1]] - strips[:, columns[:, 0]])
    score: Array = sums[0] * sums[1]
    score /= (rows[:, 1] - rows[:, 0])[:, None] * (columns[:, 1] - columns[:, 0])[None]
    return score, rows, columns


def salient_windows(
    image: Image, count: int, random: np.random.Generator, *, scales: Mapping[int, float] = SCALES
) -> tuple[Array, Array]:
    """Windows drawn in proportion to MS, as many from each scale and channel: boxes `n 4` in pixels, and MS `n`.

    Args:
        image: the image.
        count: how many windows about; fewer where a map is empty.
        random: draws them.
        scales: side of a map -> θ.
    """
    height, width = image.size
    each = max(1, round(count / (3 * len(scales))))
    boxes, scores = [np.zeros((0, 4))], [np.zeros(0)]
    for side, threshold in scales.items():
        least = (max(2, round(LEAST_SIDE * side / height)), max(2, round(LEAST_SIDE * side / width)))
        for channel in range(3):
            score, rows, columns = all_windows(saliency(image, channel, side), threshold, least)
            up_to = score.ravel().cumsum()
            if up_to[-1] <= 0:
                continue
            drawn = np.searchsorted(up_to, random.random(each) * up_to[-1], side="right").clip(0, len(up_to) - 1)
            row, column = np.divmod(drawn, len(columns))
            found = np.stack((columns[column, 0], rows[row, 0], columns[column, 1], rows[row, 1]), 1)
            boxes.append(found * (np.array([width, height, width, height]) / side))
            scores.append(score[row, column])
    return np.concatenate(boxes), np.concatenate(scores)


def contrast(image: Image, boxes: ArrayLike, *, theta: float = CONTRAST) -> Array:
    """CC, equation (2), from 0 to 2.

    Shapes: boxes `n 4` -> `n`.
    """
    lab = rgb2lab(image.pixels)
    spans = ((0, 100), (-128, 127), (-128, 127))
    colours = np.zeros(image.size, np.int64)
    for k, (bins, (low, high)) in enumerate(zip(COLOURS, spans, strict=True)):
        share = (lab[..., k] - low) / (high - low)
        colours = colours * bins + (share * bins).astype(np.int64).clip(0, bins - 1)
    inner = _whole(boxes, image.size)
    size = (inner[:, 2:] - inner[:, :2]) * theta / 2
    outer = _whole(np.concatenate((inner[:, :2] - size, inner[:, 2:] + size), 1), image.size)
    distance = np.zeros(len(inner))
    inside, around = (_area(inner), _area(outer))
    ring = np.maximum(around - inside, 1)
    for of in np.unique(colours):
        integral = _integral(colours == of)
        held = _sums(integral, inner)
        a, b = held / inside, (_sums(integral, outer) - held) / ring
        distance += np.divide((a - b) ** 2, a + b, out=np.zeros_like(a), where=a + b > 0)
    return distance


def edge_density(image: Image, boxes: ArrayLike, *, theta: float = CORE) -> Array:
    """ED, equation (3), of Canny's edges.

    Shapes: boxes `n 4` -> `n`.
    """
    integral = _integral(canny(rgb2gray(image.pixels)))
    outer = _whole(boxes, image.size)
    size = outer[:, 2:] - outer[:, :2]
    off = np.rint(size * (1 - 1 / (1 + theta)) / 2).astype(np.int64)
    inner = np.concatenate((outer[:, :2] + off, outer[:, 2:] - off), 1)
    ring = _area(outer) - _area(inner)
    edges = _sums(integral, outer) - _sums(integral, inner)
    density: Array = off.sum(1) / 2 * np.divide(edges, ring, out=np.zeros_like(edges), where=ring > 0)
    return density


def straddling(image: Image, boxes: ArrayLike, *, theta: float = STRADDLING) -> Array:
    """SS, equation (4), from 0 to 1: 1 for a window that cuts no superpixel.

    Shapes: boxes `n 4` -> `n`.
    """
    sigma, least = SUPERPIXEL
    grow = (image.size[0] * image.size[1] / (300 * 200)) ** 0.5
    labels = felzenszwalb(image.pixels, scale=theta, sigma=sigma * grow, min_size=round(least * grow))
    inner = _whole(boxes, image.size)
    cut = np.zeros(len(inner))
    for one, place in enumerate(ndimage.find_objects(labels + 1)):
        own = labels[place] == one
        top, left = place[0].start, place[1].start
        ends = np.array([*own.shape[::-1], *own.shape[::-1]])
        held = _sums(_integral(own), (inner - np.array([left, top, left, top])).clip(0, ends))
        cut += np.minimum(held, own.sum() - held)
    uncut: Array = 1 - cut / _area(inner)
    return uncut


CUES = {"CC": contrast, "ED": edge_density, "SS": straddling}  # those of given windows


def _whole(boxes: ArrayLike, size: tuple[int, int]) -> NDArray[np.int64]:
    """Boxes in whole pixels of the image, none of them empty."""
    height, width = size
    found = np.rint(np.asarray(boxes, np.float64)).astype(np.int64).reshape(-1, 4)
    found[:, 0::2] = found[:, 0::2].clip(0, width)
    found[:, 1::2] = found[:, 1::2].clip(0, height)
    found[:, :2] = np.minimum(found[:, :2], np.array([width, height]) - 1)
    found[:, 2:] = np.maximum(found[:, 2:], found[:, :2] + 1)
    return found


def _area(boxes: NDArray[np.int64]) -> Array:
    found: Array = (boxes[:, 2:] - boxes[:, :2]).prod(1).astype(np.float64)
    return found


def _integral(values: NDArray[np.generic]) -> Array:
    """Sums over all that lies above and to the left: `H W` -> `H+1 W+1`."""
    found = np.zeros((values.shape[0] + 1, values.shape[1] + 1))
    found[1:, 1:] = values.astype(np.float64).cumsum(0).cumsum(1)
    return found


def _sums(integral: Array, boxes: NDArray[np.int64]) -> Array:
    left, top, right, bottom = boxes.T
    held: Array = integral[bottom, right] - integral[top, right] - integral[bottom, left] + integral[top, left]
    return held
