"""Infidelity: whether a map says how much the network loses where something is taken away.

On the (In)fidelity and Sensitivity of Explanations. Yeh, Hsieh, Suggala, Inouye, Ravikumar. NeurIPS 2019,
arXiv:1901.09392, Definition 2.1, with the perturbations of its Section 2.2 (square removal).

    I_r = 1 in the square r, 0 elsewhere;  s_r = Σ I_r Φ,  Δ_r = y(x) − y(x without the pixels of I_r)          (1)
    infidelity = mean_r (β s_r − Δ_r)²                                                                         (2)
    β = Σ_r s_r Δ_r / Σ_r s_r², at least 0                                                                     (3)
    share = infidelity / mean_r Δ_r²                                                                           (4)

A map of attention has no unit, hence (3), which the authors call optimal scaling; a map that says the opposite of what
happens is not turned round. What is reported is (4), from 0, the map says it exactly, to 1, it says nothing: a number
without a unit, so that images and networks compare. The squares are the same for all images and maps.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from regard.insight.faithfulness.imputing import Baseline
from regard.insight.faithfulness.scoring import Score
from regard.ops.seeds import mixed

SMALLEST, LARGEST = 1 / 8, 1 / 2  # side of a square, as a share of that of the image


class Infidelity(NamedTuple):
    """Equations (2) and (4) of each image, `N` each; the share is NaN where nothing that was taken away mattered."""

    value: Tensor
    share: Tensor


def rectangles(count: int, size: tuple[int, int], seed: int) -> Tensor:
    """Rectangles with the proportions of the image, of random sizes at random places. Shapes: -> bool `R H W`."""
    generator = torch.Generator().manual_seed(mixed("squares", seed))
    drawn = torch.rand(count, 3, generator=generator, dtype=torch.float64)
    found = torch.zeros(count, *size, dtype=torch.bool)
    for number, (share, down, right) in enumerate(drawn.tolist()):
        sides = [max(1, round((SMALLEST + (LARGEST - SMALLEST) * share) * side)) for side in size]
        top, left = int(down * (size[0] - sides[0] + 1)), int(right * (size[1] - sides[1] + 1))
        found[number, top : top + sides[0], left : left + sides[1]] = True
    return found


def losses(score: Score, baseline: Baseline, removed: Tensor, whole: Tensor) -> Tensor:
    """Δ of equation (1), which all maps share.

    Args:
        score: what is followed.
        baseline: what stands in place of a missing pixel.
        removed: the perturbations.
        whole: the numbers of the whole images.

    Shapes: removed bool `R H W`, whole `N` -> `N R`.
    """
    count, device = len(score.images), score.images.device
    which = torch.arange(count, device=device).repeat_interleave(len(removed))
    masks = torch.arange(len(removed)).repeat(count)
    found = []
    for mine, mask in zip(which.split(score.batch), masks.split(score.batch), strict=True):
        found.append(score(baseline.without(mine, removed[mask].to(device)), mine))
    return whole[:, None] - torch.cat(found).view(count, len(removed))


def infidelity(heat: Tensor, removed: Tensor, lost: Tensor) -> Infidelity:
    """Equations (2) to (4) of one map of each image, which is scaled to the image.

    Shapes: heat `N h w`, removed bool `R H W`, lost `N R`.
    """
    fine = F.interpolate(heat.double()[:, None], removed.shape[1:], mode="bilinear", align_corners=False).flatten(1)
    said = fine.cpu() @ removed.flatten(1).double().T  # [N, R]
    lost = lost.cpu()
    own = said.square().sum(1)
    scale = torch.where(own > 0, (said * lost).sum(1) / own, 0).clamp_min(0)
    value = (scale[:, None] * said - lost).square().mean(1)
    return Infidelity(value, value / lost.square().mean(1))
