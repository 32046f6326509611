"""Deletion and insertion: what becomes of a class while the pixels that a map names are taken away, or put back.

RISE: Randomized Input Sampling for Explanation of Black-box Models. Petsiuk, Das, Saenko. BMVC 2018, arXiv:1806.07421,
Section 4.1.

    d(s) = y(x without the share s of pixels with the largest weights)                                         (1)
    i(s) = y(x with only the share s of pixels with the largest weights)                                       (2)
    area = ∫ d(s) ds over 0..1, by the trapezoid rule                                                          (3)

A small area under the deletion curve and a large one under the insertion curve speak for a map. What stands in place of
a missing pixel is a `Baseline`. Pixels with equal weights come in a random order, the same for every map.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from regard.insight.faithfulness.imputing import Baseline
from regard.insight.faithfulness.measured import Array, Measured, finite
from regard.insight.faithfulness.scoring import Score
from regard.ops.seeds import mixed


@dataclass(frozen=True, eq=False)
class Curve:
    """The curve of each image.

    Args:
        shares: of the pixels that are taken away, or put back, from 0 to 1, `S`.
        values: the number that is followed, `N S`.
    """

    shares: tuple[float, ...]
    values: Array

    @cached_property
    def area(self) -> Measured:
        """Equation (3) of each image."""
        widths = np.diff(np.asarray(self.shares))
        return Measured(((self.values[:, 1:] + self.values[:, :-1]) / 2 * widths).sum(1))

    @property
    def mean(self) -> list[float]:
        """The mean over the images at each share."""
        return [float(value) for value in self.values.mean(0)]

    def plain(self) -> dict[str, Any]:
        """Shares, mean curve and areas, as JSON has them."""
        return {
            "shares": list(self.shares),
            "mean": [finite(value) for value in self.mean],
            "area": self.area.plain(),
        }


def ranked(heat: Tensor, size: tuple[int, int], seed: int) -> Tensor:
    """The place of each pixel in the order of falling weights, from 0, of maps that are scaled to the images.

    Shapes: heat `N h w` -> whole numbers `N H W`.
    """
    fine = F.interpolate(heat.double().cpu()[:, None], size, mode="bilinear", align_corners=False).flatten(1)
    generator = torch.Generator().manual_seed(mixed("ties", seed))
    shuffled = torch.randperm(fine.shape[1], generator=generator)
    order = shuffled[fine[:, shuffled].argsort(dim=1, descending=True, stable=True)]
    ranks = torch.empty_like(order)
    ranks.scatter_(1, order, torch.arange(fine.shape[1]).expand_as(order))
    return ranks.view(len(heat), *size)


def curves(
    score: Score, baseline: Baseline, ranks: Tensor, steps: int, ends: tuple[Tensor, Tensor]
) -> tuple[Curve, Curve]:
    """Equations (1) and (2), each at `steps + 1` shares.

    Args:
        score: what is followed.
        baseline: what stands in place of a missing pixel.
        ranks: the place of each pixel in the order.
        steps: the number of steps from the whole image to nothing of it.
        ends: the numbers of the whole images, and of nothing of them, which all maps share.

    Shapes: ranks whole numbers `N H W`, ends `N` each.
    """
    pixels = ranks[0].numel()
    counts = [round(step * pixels / steps) for step in range(steps + 1)]
    shares = tuple(number / pixels for number in counts)
    limits = torch.tensor(counts[1:-1], dtype=torch.long)
    whole, nothing = (end[:, None] for end in ends)
    taken = torch.cat([whole, _at(score, baseline, ranks, limits, back=False), nothing], 1)
    put = torch.cat([nothing, _at(score, baseline, ranks, limits, back=True), whole], 1)
    return Curve(shares, taken.cpu().numpy()), Curve(shares, put.cpu().numpy())


def _at(score: Score, baseline: Baseline, ranks: Tensor, limits: Tensor, *, back: bool) -> Tensor:
    """The numbers of all images without the first pixels of the order, or with these alone, at several limits: `N L`.

    Passes are shared by several limits, so that one photograph fills a batch too.
    """
    which = torch.arange(len(ranks)).repeat_interleave(len(limits))
    found = [torch.empty(0, dtype=torch.float64)]
    for mine, limit in zip(which.split(score.batch), limits.repeat(len(ranks)).split(score.batch), strict=True):
        first = ranks[mine] < limit[:, None, None]
        removed, number = (~first if back else first).to(score.images.device), mine.to(score.images.device)
        found.append(score(baseline.without(number, removed), number))
    return torch.cat(found).view(len(ranks), len(limits))
