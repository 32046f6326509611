"""Hard attention: one place, or a few, in place of a softmax over all of them.

    π    = softmax(z)                            over the N places, from logits z                               (1)
    a    = e_j,  j ~ π                           sample: e_j has a one at place j and zeros elsewhere           (2)
    a    = e_j,  j = argmax z                    argmax                                                         (3)
    a    = e_j + π - [π],  j ~ π                 straight-through; [·] is a constant                            (4)
    a    = e_j + s - [s],  s = softmax((z + g) / τ),  j = argmax s,  g_n ~ Gumbel      gumbel                   (5)
    a    = softmax of the k largest z            top-k                                                          (6)
    ∇E_π[R] = E_π[(R - b) ∇ log π_j]             for (2), from a reward R and a baseline b: `ops.reinforce`     (7)

Show, Attend and Tell. Xu, Ba, Kiros, Cho, Courville, Salakhutdinov, Zemel, Bengio. ICML 2015, arXiv:1502.03044, Section
    4.1, for (2) with (7). Estimating or Propagating Gradients Through Stochastic Neurons for Conditional Computation.
    Bengio, Léonard, Courville. 2013, arXiv:1308.3432, for (4). Categorical Reparameterization with Gumbel-Softmax.
    Jang, Gu, Poole. ICLR 2017, arXiv:1611.01144, for (5).

(2), (4) and (5) draw in training only: in evaluation they are (3). Only (6) has the gradient of what it computes.
"""

from __future__ import annotations

import torch
from torch import Tensor

MODES = ("sample", "argmax", "straight-through", "gumbel", "top-k")


def one_hot(place: Tensor, like: Tensor) -> Tensor:
    """e_j: places `... ` of whole numbers below N, and any tensor `... N` of the wanted type -> `... N`."""
    return torch.zeros_like(like).scatter(-1, place[..., None], 1.0)


def drawn(logits: Tensor) -> Tensor:
    """j ~ softmax(z), with torch's random numbers: `... N` -> `...`."""
    return (logits.detach() + gumbel_noise(logits)).argmax(-1)


def gumbel_noise(like: Tensor) -> Tensor:
    """Gumbel's distribution, in the shape and type of a tensor: argmax(z + g) has the distribution softmax(z)."""
    return -torch.empty(like.shape, dtype=like.dtype, device=like.device).exponential_().log()


def entropy(log_p: Tensor) -> Tensor:
    """-Σ π log π of log-probabilities, in nats: `... N` -> `...`; what has no probability counts nothing."""
    return -(log_p.exp() * log_p.clamp(min=-1e4)).sum(-1)


def straight_through(logits: Tensor) -> Tensor:
    """Eq. 4: `... N` -> `... N`."""
    soft = logits.softmax(-1)
    return one_hot(drawn(logits), soft) + (soft - soft.detach())


def gumbel(logits: Tensor, temperature: float) -> Tensor:
    """Eq. 5: `... N` -> `... N`."""
    soft = ((logits + gumbel_noise(logits)) / temperature).softmax(-1)
    return one_hot(soft.argmax(-1), soft) + (soft - soft.detach())


def top_k(logits: Tensor, k: int) -> Tensor:
    """Eq. 6, of all places where there are fewer than k: `... N` -> `... N`."""
    largest = logits.topk(min(k, logits.shape[-1]), -1)
    return torch.zeros_like(logits).scatter(-1, largest.indices, largest.values.softmax(-1))


def gathered(values: Tensor, place: Tensor) -> Tensor:
    """Σ_n a_n v_n for a = e_j, which reads one value and multiplies nothing: `B N E`, places `B Q` -> `B Q E`."""
    return values.gather(1, place[..., None].expand(-1, -1, values.shape[-1]))
