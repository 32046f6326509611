"""Distances between all features of two sets, `N C` and `M C` -> `N M`, in float32 at least.

euclidean   √|a - b|², through |a|² + |b|² - 2 a·b, with a gradient of zero where a = b
cosine      1 - a·b / (|a| |b|)
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from regard.checks import choice
from regard.ops.precision import uncast, widened

COMPARED = ("euclidean", "cosine")
SMALLEST = 1e-12  # of a squared distance: its root has a finite gradient


def distances(a: Tensor, b: Tensor, compared: str) -> Tensor:
    """The distances between the features of two sets.

    Args:
        a, b: the features.
        compared: `"euclidean"` or `"cosine"`.

    Shapes: a `N C`, b `M C` -> `N M`.
    Raises: ValueError for another word, or features that do not fit each other.
    """
    choice("compared", compared, COMPARED)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise ValueError(f"features of shapes {tuple(a.shape)} and {tuple(b.shape)}: N C and M C are needed")
    with uncast(a):  # sums of products leave the range of half precision
        a, b = widened(a), widened(b)
        if compared == "cosine":
            return 1 - functional.normalize(a) @ functional.normalize(b).mT
        squares = a.square().sum(1)[:, None] + b.square().sum(1)
        return squares.addmm(a, b.mT, alpha=-2).clamp_min(SMALLEST).sqrt()
