"""Boxes that may hold an object, without learning: windows ranked by a saliency map, and EdgeBoxes.

Measuring the Objectness of Image Windows. Alexe, Deselaers, Ferrari. PAMI 2012, doi:10.1109/TPAMI.2012.28.
Edge Boxes: Locating Object Proposals from Edges. Zitnick, Dollár. ECCV 2014, doi:10.1007/978-3-319-10602-1_26, as in
OpenCV's contributed modules (`pip install regard[proposals]`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from regard.ops.arrays import as_array
from regard.ops.windows import sliding, sums

SIDES = (0.15, 0.22, 0.32, 0.45, 0.65, 0.9)
RATIOS = (0.4, 0.67, 1.0, 1.5, 2.5)
STRIDE = 0.25

Array = NDArray[np.float64]


def as_boxes(values: Any) -> Array:
    """Boxes as float64, one a row.

    Shapes: values `n 4`, or nothing at all -> `n 4`.
    Raises: ValueError for other shapes, values that are not finite, or a right or bottom end before the left or top.
    """
    boxes = np.asarray(as_array(values), np.float64)
    if boxes.size == 0:
        boxes = boxes.reshape(0, 4)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"boxes of shape {boxes.shape}: n rows of left, top, right, bottom are needed")
    if not np.isfinite(boxes).all() or (boxes[:, 2:] < boxes[:, :2]).any():
        raise ValueError("a box goes from a smaller left, top to a larger right, bottom, in finite numbers")
    return boxes


def suppressed(boxes: ArrayLike, scores: ArrayLike, *, overlap: float = 0.7, first: int = 1000) -> NDArray[np.int64]:
    """Positions of the best boxes, best first, without those that overlap a better one too much.

    Args:
        boxes: left, top, right, bottom.
        scores: of each; of equal ones the first is the better.
        overlap: largest intersection over union of two that stay.
        first: how many stay at most.

    Shapes: boxes `n 4`, scores `n` -> at most `first`.
    Raises: ValueError for boxes that are none, other shapes, scores that are NaN, an `overlap` outside 0..1, or `first`
        below 1.
    """
    b, s = as_boxes(boxes), np.asarray(as_array(scores), np.float64)
    if s.shape != b.shape[:1] or np.isnan(s).any():
        raise ValueError(f"boxes {b.shape} and scores {s.shape}: n 4 and n numbers are needed")
    if not 0 <= overlap <= 1 or first < 1:
        raise ValueError(f"overlap={overlap!r}, first={first!r}: a share in 0..1 and at least 1 are needed")
    order = np.argsort(-s, kind="stable")
    area = (b[:, 2:] - b[:, :2]).prod(1)
    kept: list[int] = []
    while order.size and len(kept) < first:
        best, order = order[0], order[1:]
        kept.append(int(best))
        low, high = np.maximum(b[best, :2], b[order, :2]), np.minimum(b[best, 2:], b[order, 2:])
        both = (high - low).clip(0).prod(1)
        order = order[both <= overlap * (area[best] + area[order] - both)]
    return np.array(kept, np.int64)


def by_saliency(saliency: ArrayLike, *, overlap: float = 0.7, first: int = 1000) -> tuple[Array, Array]:
    """Windows ranked by how much more of a saliency map they hold than of the image's area.

    Args:
        saliency: a map, of attention for example; negative values are shifted to start at 0.
        overlap, first: as in `suppressed`.

    Shapes: saliency `H W` -> boxes `n 4` and scores `n`, above -1 and below 1, best first.
    Raises: ValueError for another shape or values that are not finite.
    """
    s = np.asarray(as_array(saliency), np.float64)
    if s.ndim != 2 or not s.size or not np.isfinite(s).all():
        raise ValueError(f"saliency of shape {s.shape}: a map H W of finite numbers is needed")
    s = s - min(s.min(), 0)
    shares = s / s.sum() if s.sum() > 0 else np.full_like(s, 1 / s.size)
    windows = torch.tensor(sliding(*s.shape, sides=SIDES, ratios=RATIOS, stride=STRIDE))
    held = sums(torch.from_numpy(shares)[None, None], windows)[0, 0].numpy()
    boxes = windows.double().numpy()
    scores = held - (boxes[:, 2:] - boxes[:, :2]).prod(1) / s.size
    best = suppressed(boxes, scores, overlap=overlap, first=first)
    return boxes[best], scores[best]


def gradients(image: ArrayLike) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Strength in 0..1 and direction in 0..π of the edges of an image, by Sobel's filters on its blurred grey values.

    It stands in for the trained structured edges of the paper, whose model OpenCV does not bring.

    Shapes: image `H W 3`, bytes or 0..1 -> `H W` each.
    Raises: ImportError without OpenCV; ValueError for another shape or values that are not finite.
    """
    cv = _opencv()
    pixels = np.asarray(as_array(image), np.float32)
    if pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size or not np.isfinite(pixels).all():
        raise ValueError(f"an image of shape {pixels.shape}: H W 3 of finite numbers is needed")
    grey = cv.GaussianBlur(pixels.mean(2), (0, 0), 1.0)
    x, y = cv.Sobel(grey, cv.CV_32F, 1, 0), cv.Sobel(grey, cv.CV_32F, 0, 1)
    strength = np.hypot(x, y)
    return strength / max(float(strength.max()), 1e-12), np.mod(np.arctan2(y, x), np.pi).astype(np.float32)


def edge_boxes(
    strength: ArrayLike, direction: ArrayLike, *, first: int = 1000, **options: float
) -> tuple[Array, Array]:
    """EdgeBoxes as OpenCV computes them.

    Args:
        strength, direction: of the edges, as `gradients` gives them.
        first: how many boxes at most.
        options: OpenCV's own, by its names: alpha, beta, eta, minScore, edgeMinMag, edgeMergeThr, clusterMinMag,
            maxAspectRatio, minBoxArea, gamma, kappa.

    Shapes: strength, direction `H W` -> boxes `n 4` and scores `n`, best first.
    Raises: ImportError without OpenCV's contributed modules; ValueError for maps that do not fit or are not finite, or
        an option that it does not have.
    """
    cv = _opencv()
    e, o = (np.ascontiguousarray(as_array(x), np.float32) for x in (strength, direction))
    if e.ndim != 2 or e.shape != o.shape or not e.size or not np.isfinite(e).all() or not np.isfinite(o).all():
        raise ValueError(f"maps of {e.shape} and {o.shape}: one size H W of finite numbers is needed")
    search = cv.ximgproc.createEdgeBoxes()
    search.setMaxBoxes(first)
    for name, value in options.items():
        setter = getattr(search, f"set{name[:1].upper()}{name[1:]}", None)
        if setter is None:
            raise ValueError(f"EdgeBoxes has no option {name!r}")
        setter(value)
    found, scores = search.getBoundingBoxes(e, o)
    boxes = np.asarray(found, np.float64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]  # from width and height
    return boxes, np.asarray([] if scores is None else scores, np.float64).ravel()  # None where it finds none


def has_opencv() -> bool:
    """Whether OpenCV with its contributed modules is installed."""
    try:
        _opencv()
    except ImportError:
        return False
    return True


def _opencv() -> Any:
    try:
        import cv2
    except ImportError as error:
        raise ImportError(
            "EdgeBoxes needs OpenCV with its contributed modules: pip install 'regard[proposals]'"
        ) from error
    if not hasattr(cv2, "ximgproc"):
        raise ImportError("this OpenCV lacks the contributed modules: pip install 'regard[proposals]'")
    return cv2
