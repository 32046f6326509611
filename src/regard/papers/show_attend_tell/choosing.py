"""How hard attention learns: the score function with a moving baseline, and the entropy of the weights.

Show, Attend and Tell. Xu et al. ICML 2015, arXiv:1502.03044, Section 4.1; the factors are those of
kelvinxu/arctic-captions. For a caption with costs −log p(y_t), their mean c̄ over its words, and drawn places s:

    ∂L/∂α_ti = (c̄ − b)/10 · s_ti/α_ti + γ (log α_ti + 1)                  of the summed cost                      (1)
    ∂L/∂α_ti = c_t/10 · s_ti/α_ti + γ (log α_ti + 1)                      of each word's own, without a baseline  (2)
    b ← 0.9 b + 0.1 · mean of all costs                                                                           (3)

In the released code (1) takes the place of every other gradient of α as an output: that of Σ(1 − Σα)² is lost, so that
the term is counted in the cost and trains nothing. The sum over captions is not divided by their number.
"""

from __future__ import annotations

import torch
from torch import Tensor

SCALE = 10.0  # by which costs are divided
DECAY = 0.9  # of the baseline


def score_function(
    alpha: Tensor,
    choice: Tensor,
    costs: Tensor,
    baseline: Tensor | float,
    *,
    entropy: float,
    summed: bool,
    mask: Tensor,
) -> Tensor:
    """A number whose gradient of α is (1), or (2) if it is not `summed`; nothing else gets one.

    Args:
        alpha: the weights `B L N`.
        choice: the weights that were used `B L N`: a one at the drawn place, or α in a soft batch.
        costs: −log p of each word `B L`, zeros at padding.
        baseline: b.
        entropy: γ.
        summed: (1) rather than (2).
        mask: which steps count, `bool B L`; (1) takes the mean over them.
    """
    fixed, used, costs = alpha.detach(), choice.detach(), costs.detach()
    reward = ((costs.sum(1) / mask.sum(1).clamp(min=1) - baseline)[:, None] if summed else costs) / SCALE
    least = torch.finfo(fixed.dtype).tiny  # a place without weight is not drawn
    fixed = fixed.clamp(min=least)
    gradient = reward[..., None] * (used / fixed) + entropy * (fixed.log() + 1)
    return (alpha * gradient * mask[..., None]).sum()


def moved(baseline: Tensor, costs: Tensor, mask: Tensor) -> Tensor:
    """The baseline after a batch, (3)."""
    return DECAY * baseline + (1 - DECAY) * costs.detach().sum() / mask.sum().clamp(min=1)
