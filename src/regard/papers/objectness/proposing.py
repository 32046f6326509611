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

from regard.checks import number, positive
from regard.ops.arrays import as_array
from regard.ops.boxes import suppressed
from regard.ops.windows import sliding, sums

RATIOS = (0.4, 0.67, 1.0, 1.5, 2.5)
SIDES = (0.15, 0.22, 0.32, 0.45, 0.65, 0.9)
STRIDE = 0.25

Array = NDArray[np.float64]


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
    search.setMaxBoxes(positive("first", first))
    for name, value in options.items():
        setter = getattr(search, f"set{name[:1].upper()}{name[1:]}", None)
        if setter is None:
            raise ValueError(f"EdgeBoxes has no option {name!r}")
        setter(number(name, value))
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
