"""REINFORCE: gradients of choices from a reward that cannot be differentiated.

Simple Statistical Gradient-Following Algorithms for Connectionist Reinforcement Learning. Williams. Machine Learning
8, 1992, doi:10.1007/BF00992696.
"""

from __future__ import annotations

import math

from torch import Tensor


def log_normal(value: Tensor, mean: Tensor, std: float) -> Tensor:
    """log N(value; mean, std² I) over the last axis: `... D` twice -> `...`."""
    squared = ((value - mean) / std).square().sum(-1)
    return -0.5 * squared - value.shape[-1] * (math.log(std) + 0.5 * math.log(2 * math.pi))


def reinforce(log_policy: Tensor, reward: Tensor, baseline: Tensor) -> Tensor:
    """-Σ_t log π_t (R_t - b_t), averaged over the batch; only the policy gets a gradient.

    Shapes: log_policy, baseline `B T`; reward `B T` or `B 1` -> a number.
    """
    advantage = (reward - baseline).detach()
    return -(log_policy * advantage).sum(1).mean()
