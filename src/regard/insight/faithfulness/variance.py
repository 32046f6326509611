"""What or where: how much of a map's variance over images the class explains, and how much the place of the object.

Surveys say that channel attention tells what is in an image and spatial attention where. Both are claims about how a
map varies over images, and the effect size ω² of an analysis of variance measures them (Hays, Statistics, 1963):

    ω² = (SS_between − (k − 1) MS_within) / (SS_total + MS_within),  MS_within = SS_within / (N − k)           (1)

The groups are the k classes, or the k places, of N images. The sums of squares are those of all values of the map
together, so that a value counts by how much it varies. ω² is 1 where a map is the same within each group and 0 in
expectation where the grouping means nothing; below 0 where groups differ less than chance would have them. Beside it
stands the same number with the groups shuffled over the images. The interval is the jackknife's, over the images.

The place of an object is the cell of a GRID × GRID division of the image in which the centre of mass of its region
lies. Class and place are taken one at a time: where the data tie them to each other, they share what they explain.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import stdtrit
from torch import Tensor

from regard.insight.faithfulness.measured import LEVEL, Array, finite
from regard.ops.seeds import mixed

GRID = 3
SHUFFLES = 200
MOST = 1 << 15  # values of a map that are kept of an image: of larger maps a random choice, the same for all images


@dataclass(frozen=True)
class Share:
    """What a grouping of the images explains of a map's variance.

    Args:
        value: ω².
        low, high: its 95 % interval over the images; NaN where it cannot be told.
        shuffled: the mean of ω² with shuffled groups.
        shuffled_high: what 97.5 % of the shuffles stay below.
        groups: the number of groups.
        images: the number of images.
    """

    value: float
    low: float
    high: float
    shuffled: float
    shuffled_high: float
    groups: int
    images: int

    def plain(self) -> dict[str, Any]:
        """The numbers, as JSON has them."""
        return {name: finite(value) for name, value in vars(self).items()}


def share(values: Tensor, groups: Sequence[int], seed: int, *, shuffles: int = SHUFFLES) -> Share | None:
    """Equation (1) of a map; None without two groups, an image more than there are groups, and any variance.

    Args:
        values: the map of each image.
        groups: the group of each image; below 0 it is left out.
        seed: of the shuffles.
        shuffles: their number.

    Shapes: values `N *S`.
    """
    named = np.asarray(groups)
    there = named >= 0
    names, codes = np.unique(named[there], return_inverse=True)
    flat = values.detach().double().cpu().flatten(1).numpy()[there]
    count = len(flat)
    if len(names) < 2 or count <= len(names):
        return None
    flat = flat - flat.mean(0)
    products = flat @ flat.T
    if not np.isfinite(products).all() or np.trace(products) <= 1e-24:
        return None
    member = np.eye(len(names))[codes]
    value = float(_omega(products, member))
    random = np.random.default_rng(mixed("groups", seed))
    drawn = [float(_omega(products, member[random.permutation(count)])) for _ in range(shuffles)]
    low, high = _jackknife(products, member, value)
    return Share(value, low, high, float(np.mean(drawn)), float(np.quantile(drawn, 0.975)), len(names), count)


def cells(regions: Tensor, grid: int = GRID) -> list[int]:
    """The place of each object: the cell of the centre of mass of its region, row by row; -1 without a region.

    Shapes: regions bool `N H W`.
    """
    height, width = regions.shape[1:]
    found = []
    for region in regions:
        rows, columns = torch.nonzero(region, as_tuple=True)
        if not len(rows):
            found.append(-1)
            continue
        y, x = (rows.double().mean() + 0.5) / height, (columns.double().mean() + 0.5) / width
        found.append(int(y * grid) * grid + int(x * grid))
    return found


def kept(values: Tensor, seed: int) -> Tensor:
    """The values of a map of which the variance is taken: all, or `MOST` of them. Shapes: `N *S` -> `N D`."""
    flat = values.detach().flatten(1)
    if flat.shape[1] <= MOST:
        return flat
    generator = torch.Generator().manual_seed(mixed("values", seed))
    return flat[:, torch.randperm(flat.shape[1], generator=generator)[:MOST].to(flat.device)]


def _omega(products: Array, member: Array) -> NDArray[np.float64]:
    """Equation (1) from the scalar products of the images' maps: `N N`, `N k` -> a number."""
    sizes = member.sum(0)
    within_groups = np.einsum("ng,nm,mg->g", member, products, member, optimize=True)
    return _ratio(np.trace(products), products.sum(), within_groups, sizes, len(products))


def _ratio(squares: Array, both: Array, by_group: Array, sizes: Array, count: int) -> NDArray[np.float64]:
    """Equation (1).

    Args:
        squares: the sum of the squared lengths of the maps.
        both: the sum of all scalar products.
        by_group: the same within each group, the group last.
        sizes: the number of images of each group, the group last.
        count: the number of images.
    """
    some = sizes > 0
    groups = some.sum(-1)
    total = squares - both / count
    between = np.where(some, by_group / np.maximum(sizes, 1), 0).sum(-1) - both / count
    mean = (total - between) / (count - groups)
    ratio: NDArray[np.float64] = (between - (groups - 1) * mean) / (total + mean)
    return ratio


def _jackknife(products: Array, member: Array, value: float) -> tuple[float, float]:
    """The interval of equation (1) from leaving out each image in turn; NaN where too few images are left."""
    count = len(products)
    if count - 1 <= member.shape[1]:
        return math.nan, math.nan
    own, with_all = np.diag(products), products.sum(1)
    with_group = (products @ member * member).sum(1)
    by_group = np.einsum("ng,nm,mg->g", member, products, member, optimize=True)
    left = by_group[None] - member * (2 * with_group - own)[:, None]
    found = _ratio(own.sum() - own, products.sum() - 2 * with_all + own, left, member.sum(0)[None] - member, count - 1)
    error = math.sqrt((count - 1) / count * float(((found - found.mean()) ** 2).sum()))
    half = float(stdtrit(count - 1, (1 + LEVEL) / 2)) * error
    return value - half, min(1.0, value + half)
