"""Dipole: each visit of a patient's history attends to the visits before it.

Dipole: Diagnosis Prediction in Healthcare via Attention-based Bidirectional Recurrent Neural Networks. Ma, Chitta,
Zhou, You, Sun, Gao. KDD 2017, arXiv:1706.05764. Official code: none; the best known port is sunlabuiuc/PyHealth.

    a_ti = w · h_i + b                                               location-based                  (1)
    a_ti = h_tᵀ W h_i                                                general                         (2)
    a_ti = v · tanh(W_t h_t + W_i h_i)                                concatenation-based             (3)
    α_ti = exp(a_ti) / (Σ_j<t exp(a_tj) + ε),  i < t                  the paper has ε = 0             (4)
    c_t  = Σ_i<t α_ti h_i                                            context                         (5)

Place: on the states of a bidirectional GRU over the visits; h̃_t = tanh(W_c [c_t; h_t]) then predicts visit t + 1;
    `dipole_network` is the whole.
Cost: T²C multiplications, T² memory; T²·n' of both for concatenation. No T × T × C tensor as in the port.
Deviations: paper has a bias in (1) alone | the port has them in all three, and one after v | `bias`; without ε those
    of (1) and after v cancel in the softmax. Paper normalises | the port adds ε = 1e-9 for location and 1e-10 for the
    others to the sum, and its exponentials of bare scores overflow from 88 on | `epsilon`, with the same values and no
    overflow. The first visit has none before it: its context is 0, as in the port.
Errata: the port computes all t from states that have read the future; the paper predicts the last one only.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from regard.checks import check_input, choice, flag, number, positive
from regard.core import Attention
from regard.layers import hard_softmax
from regard.ops.precision import uncast

_SCORES = ("location", "general", "concatenation")


class DipoleAttention(Attention):
    """Each visit of a patient's history attends to the visits before it.

    Args:
        channels: C of the states.
        score: location, general or concatenation.
        hidden: width of the concatenation's tanh.
        bias: biases as in the port: of the score, and within the tanh.
        epsilon: what the port adds to the sum of exponentials; 0 is the paper.
        hard: a hard choice in place of the softmax of (4), a mode of `ops.hard_attention`; None is soft.
        top_k, temperature: k of "top-k", τ of "gumbel".

    Shapes: x `B T C`, and visible `B T` of booleans, True where there is a visit, optional -> contexts `B T C`.
    Maps: temporal `B T S`, S the visits attended to; rows sum to 1, or to 0 where no visit is before.
    Raises: ValueError for an unknown score, a width that is not positive, a negative epsilon, an input that is no
        sequence, or a mask of another type.
    """

    def __init__(
        self,
        channels: int,
        *,
        score: str = "location",
        hidden: int = 8,
        bias: bool = False,
        epsilon: float = 0.0,
        hard: str | None = None,
        top_k: int = 4,
        temperature: float = 1.0,
    ) -> None:
        super().__init__()
        positive("channels", channels)
        positive("hidden", hidden)
        choice("score", score, _SCORES)
        flag("bias", bias)
        self.channels, self.score = channels, score
        self.epsilon = number("epsilon", epsilon, least=0)
        self.choice = hard_softmax(hard, top_k, temperature)
        if hard is not None and epsilon > 0:
            raise ValueError(f"hard={hard!r}: None is needed with epsilon={epsilon}, which is no visit to choose")
        self.late: nn.Linear | None = None
        self.early: nn.Linear | None = None
        if score == "general":
            self.late = nn.Linear(channels, channels, bias=bias)
        elif score == "concatenation":
            self.late = nn.Linear(channels, hidden, bias=bias)
            self.early = nn.Linear(channels, hidden, bias=False)
        width = hidden if score == "concatenation" else channels
        self.value = None if score == "general" else nn.Linear(width, 1, bias=bias)

    def forward(self, x: Tensor, visible: Tensor | None = None) -> Tensor:
        check_input(x, "B T C", C=self.channels)
        if visible is not None:
            if visible.dtype is not torch.bool:
                raise ValueError(f"mask of {visible.dtype}: booleans are needed, True where there is a visit")
            check_input(visible, "B T", B=x.shape[0], T=x.shape[1])
        if self.choice is not None:
            return self.chosen(x, visible)
        a = self.scores(x, x)
        alpha = self.see("temporal", self.normalise(a, _before(a, visible)))  # [B, T, T]
        return torch.bmm(alpha.to(x.dtype), x)

    def weights(self, last: Tensor, x: Tensor, seen: Tensor) -> Tensor:
        """α `B S` of one state each, last `B C`, over the states x `B S C` where seen `bool B S`; zeros if none is."""
        return self.normalise(self.scores(last[:, None], x), seen[:, None])[:, 0]

    def scores(self, late: Tensor, x: Tensor) -> Tensor:
        """a of Eqs. 1 to 3, late the h_t `B T C` and x the h_i `B S C`: `B T S`, or `B 1 S` if it depends on no t."""
        if self.late is None:
            assert self.value is not None
            a: Tensor = self.value(x).mT
        elif self.early is None:
            late = self.late(late)
            with uncast(x):  # a product of states leaves the range of float16
                wide = torch.promote_types(x.dtype, torch.float32)
                a = late.to(wide) @ x.to(wide).mT
        else:
            assert self.value is not None
            a = self.value((self.late(late)[:, :, None] + self.early(x)[:, None]).tanh_())[..., 0]
        return a.to(torch.promote_types(a.dtype, torch.float32))

    def normalise(self, a: Tensor, seen: Tensor) -> Tensor:
        """α of Eq. 4 over the visits that are seen; ε acts as one more visit, with score log ε and no state."""
        a = torch.where(seen, a, torch.finfo(a.dtype).min)  # [B, T, S]
        if self.epsilon:
            rest = a.new_full((1, 1, 1), math.log(self.epsilon)).expand(a.shape[0], a.shape[1], 1)
            alpha = torch.cat([a, rest], -1).softmax(-1)[..., :-1]
        else:
            alpha = a.softmax(-1)
        return alpha.masked_fill(~seen, 0)

    def chosen(self, x: Tensor, visible: Tensor | None) -> Tensor:
        """c of Eq. 5 by a hard choice; zeros where no visit is before."""
        assert self.choice is not None
        a = self.scores(x, x)
        seen = _before(a, visible)
        a = torch.where(seen, a, torch.finfo(a.dtype).min)  # [B, T, S]

        def see(alpha: Tensor) -> Tensor:
            return self.see("temporal", alpha.masked_fill(~seen, 0))

        c = self.choice.attend(a, x, see if self.watched else None)
        return c.masked_fill(~seen.any(-1, keepdim=True), 0)


def _before(a: Tensor, visible: Tensor | None) -> Tensor:
    """Whether visit s is there and before visit t: `B T S`, or `1 T S` where all are there."""
    t = torch.arange(a.shape[-1], device=a.device)
    seen = (t < t[:, None])[None]
    return seen if visible is None else seen & visible[:, None]
