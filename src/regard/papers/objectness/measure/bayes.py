"""Objectness as published: windows drawn by saliency, and the cues of each joined by naive Bayes.

Measuring the Objectness of Image Windows. Alexe, Deselaers, Ferrari. PAMI 2012, doi:10.1109/TPAMI.2012.28, Sections 4
and 5, with the histograms of the authors' release 2.2 (MATLAB).

    p(obj | w) = p(obj) Π p(cue | obj) / Σ over c in {obj, bg} of p(c) Π p(cue | c)                  (1)

    p(cue | c): histogram over the windows of the training images that overlap an object by half or more, and over the
    others; p(obj): the share of the former. The best windows are taken in turn, without those that overlap a better one
    by more than half.

The released thresholds of the cues are used as they are; what is learned are the histograms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from regard.checks import choice, number, positive, sequence, whole
from regard.metrics.proposals import overlaps
from regard.ops.boxes import as_boxes, suppressed
from regard.papers.objectness.measure import cues as published

Array = NDArray[np.float64]

BINS = {"MS": (1.0, 500), "CC": (0.01, 200), "ED": (0.05, 100), "SS": (0.01, 100)}  # cue -> width and number of bins
BEST = ("MS", "CC", "SS")  # the combination that the authors release; with ED it is not better
LEAST = float(np.finfo(np.float64).eps)  # of a likelihood


@dataclass(frozen=True)
class Measure:
    """A learned objectness measure.

    Args:
        prior: p(obj).
        likelihoods: cue -> p(cue | obj) and p(cue | bg) in each bin, `2 bins`; MS is among them.
        windows: how many windows are drawn from an image.
        scales: side of a map of saliency -> threshold of MS.
    """

    prior: float
    likelihoods: Mapping[str, Array]
    windows: int
    scales: Mapping[int, float] = field(default_factory=lambda: dict(published.SCALES))

    def score(self, values: Mapping[str, Array]) -> Array:
        """p(obj | w) of windows, equation (1), from the cues of each.

        Shapes: each of `values` `n` -> `n`.
        """
        log = np.log([[self.prior], [1 - self.prior]])
        for cue, likelihood in self.likelihoods.items():
            log = log + np.log(likelihood)[:, _bin(cue, values[cue])]
        odds = log[1] - log[0]
        probability: Array = 1 / (1 + np.exp(np.minimum(odds, 700)))
        return probability

    def propose(
        self, image: ArrayLike, *, first: int = 1000, overlap: float = 0.5, seed: int = 0
    ) -> tuple[Array, Array]:
        """The best windows of an image.

        Args:
            image: bytes, or numbers from 0 to 1.
            first: how many windows at most.
            overlap: the largest intersection over union of two of them.
            seed: of the windows that are drawn.

        Shapes: image `H W 3` or `H W` -> boxes `n 4`, left, top, right and bottom in pixels, and p(obj) `n`, best
            first.
        Raises: ValueError for an image that is none, or an argument out of range.
        """
        positive("first", first)
        number("overlap", overlap, least=0, most=1)
        boxes, values = drawn(image, tuple(self.likelihoods), self.windows, seed, scales=self.scales)
        scores = self.score(values)
        best = suppressed(boxes, scores, overlap=overlap, first=first)
        return boxes[best], scores[best]


def drawn(
    image: ArrayLike, cues: Sequence[str], windows: int, seed: int, *, scales: Mapping[int, float] = published.SCALES
) -> tuple[Array, dict[str, Array]]:
    """Windows drawn from an image by saliency, and the cues of each."""
    seen = published.Image.of(image)
    random = np.random.default_rng(whole("seed", seed, 0))
    boxes, salient = published.salient_windows(seen, windows, random, scales=scales)
    return boxes, {cue: salient if cue == "MS" else published.CUES[cue](seen, boxes) for cue in cues}


def learned(
    images: Iterable[tuple[ArrayLike, ArrayLike]],
    *,
    cues: Sequence[str] = BEST,
    windows: int = 100_000,
    scales: Mapping[int, float] = published.SCALES,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Measure:
    """Learns a measure from images with the boxes of their objects.

    Args:
        images: pairs of an image and its boxes.
        cues: which cues are joined, MS among them.
        windows: how many windows are drawn from each image; the authors draw 100,000.
        scales: side of a map of saliency -> threshold of MS; those of the authors' release.
        seed: of the windows.
        progress: called with the number of finished images.

    Shapes: image `H W 3` or `H W`, boxes `n 4`.
    Raises: ValueError for an unknown cue, cues without MS, or images whose windows meet no object or nothing else.
    """
    named = [choice("cues", cue, BINS) for cue in sequence("cues", cues)]
    if "MS" not in named or len(set(named)) < len(named):
        raise ValueError(f"cues={tuple(cues)!r}: each once, and MS among them, is needed")
    positive("windows", windows)
    counts = {cue: np.zeros((2, BINS[cue][1])) for cue in named}
    found = np.zeros(2)
    for number_of, (image, truths) in enumerate(images):
        boxes, values = drawn(image, named, windows, seed + number_of, scales=scales)
        background = ~_on_objects(boxes, as_boxes(truths))
        found += np.bincount(background, minlength=2)
        for cue in named:
            np.add.at(counts[cue], (background.astype(np.int64), _bin(cue, values[cue])), 1)
        if progress is not None:
            progress(number_of + 1)
    if not found.all():
        raise ValueError(
            f"images: {found[0]:.0f} windows on objects and {found[1]:.0f} others; some of each are needed"
        )
    likelihoods = {cue: count / found[:, None] + LEAST for cue, count in counts.items()}
    prior = float(found[0] / found.sum())
    return Measure(prior=prior, likelihoods=likelihoods, windows=windows, scales=dict(scales))


def _on_objects(boxes: Array, truths: Array) -> NDArray[np.bool_]:
    """Whether each box overlaps an object by half or more."""
    if not len(truths):
        return np.zeros(len(boxes), bool)
    found: NDArray[np.bool_] = overlaps(boxes, truths).max(1) >= 0.5
    return found


def _bin(cue: str, values: Array) -> NDArray[np.int64]:
    width, bins = BINS[cue]
    place: NDArray[np.int64] = np.floor(values / width).astype(np.int64).clip(0, bins - 1)
    return place
