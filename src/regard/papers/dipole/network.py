"""Dipole: the diagnoses of a patient's next visit, predicted from the visits so far.

Dipole: Diagnosis Prediction in Healthcare via Attention-based Bidirectional Recurrent Neural Networks. Ma, Chitta,
Zhou, You, Sun, Gao. KDD 2017, arXiv:1706.05764. Official code: none; the best known port is sunlabuiuc/PyHealth.

    v_t = ReLU(W_v x_t + b_v)                                         x_t: which codes visit t has            (1)
    h_i = [→h_i; ←h_i],  →h_i = GRU(→h_{i−1}, v_i),  ←h_i = GRU(←h_{i+1}, v_i),  i = t … 1                    (2)
    c_t = Σ_i<t α_ti h_i                                              see `dipole`                            (3)
    h̃_t = tanh(W_c [c_t; h_t])                                                                                (4)
    ŷ_t = softmax(W_s h̃_t + b_s)                                      the categories of visit t + 1           (5)

Place: a whole system; the attention is `dipole`.
Cost: of T visits, mF + 3p(2m + p) + r(4p + K) multiplications each and, since the way back begins anew at every t,
    3p²T²/2 + 4pT² together; 2pT² numbers of memory. 1.0 million parameters at 2,000 codes and 300 categories.
Deviations: paper predicts visit t + 1 from visits 1 … t, so that ←h_i depends on t | PyHealth's port passes once over
    all visits, and predicts each t from states that have read the future; also its padding runs through the GRU |
    `causal=False`, for its checkpoints only. Paper has the ReLU of (1) and no bias in (4) | port has no ReLU, biases in
    (4) and in the scores, and [h_t; c_t] | `rectified=False`, `bias=True`. The width r of (4), the width of
    concatenation's scores and where the paper drops out are not known; here it is h̃. The first visit has none before
    it: c is 0. Controls: `score="uniform"` weighs all visits before alike, `score=None` has no context, and
    `bidirectional=False` has no way back.
Errata: a network that is given a whole history and scored at every visit does not predict: see the port.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regard.checks import check_input, choice, flag, number, positive
from regard.core import Attention
from regard.papers.dipole.mechanism import DipoleAttention

SCORES = ("location", "general", "concatenation", "uniform")


class DipoleNetwork(Attention):
    """Dipole, a bidirectional GRU over a patient's visits, and attention of the last one over those before it.

    Args:
        codes: F, the codes that a visit may have.
        categories: K, the categories of diagnoses that are predicted.
        embedding: m, width of a visit's embedding.
        hidden: p, width of the state of each direction.
        width: r, width of the layer before the softmax.
        score: how the attention scores a visit: location, general, concatenation; uniform for equal weights, None for
            no context.
        attention: width of the tanh of concatenation's scores.
        bidirectional: whether there is a GRU on the way back.
        dropout: of h̃.
        causal: predicts every visit from the visits before it alone; without it from all of them, as in the port.
        rectified: the ReLU of (1).
        bias: the port's biases, in (4) and in the scores.
        epsilon: what the port adds to the sum of exponentials; 0 is the paper.

    Shapes: visits `B T F`, 1 for a code that the visit has and 0 for others, and visible `bool B T`, true where there
        is a visit (None: everywhere) -> scores `B T K` of the categories of the visit after each, before the softmax;
        0 where there is no visit.
    Maps: temporal `B T S`, row t the weights of the visits before t when the visit after t is predicted; rows sum to 1,
        or to 0 where no visit is before. None without a context.
    Raises: ValueError for an argument out of range, inputs of other shapes, or a mask of another type.
    """

    def __init__(
        self,
        *,
        codes: int,
        categories: int,
        embedding: int = 256,
        hidden: int = 128,
        width: int = 256,
        score: str | None = "location",
        attention: int = 128,
        bidirectional: bool = True,
        dropout: float = 0.5,
        causal: bool = True,
        rectified: bool = True,
        bias: bool = False,
        epsilon: float = 0.0,
    ) -> None:
        super().__init__()
        self.codes = positive("codes", codes)
        positive("categories", categories)
        positive("embedding", embedding)
        self.hidden = positive("hidden", hidden)
        positive("width", width)
        self.score = choice("score", score, (*SCORES, None))
        positive("attention", attention)
        flag("bidirectional", bidirectional)
        number("dropout", dropout, least=0, most=1)
        self.causal, self.rectified = flag("causal", causal), flag("rectified", rectified)
        flag("bias", bias)
        number("epsilon", epsilon, least=0)
        self.embed = nn.Linear(codes, embedding)
        self.ahead = nn.GRUCell(embedding, hidden)
        self.back = nn.GRUCell(embedding, hidden) if bidirectional else None
        channels = 2 * hidden if bidirectional else hidden
        self.attend: DipoleAttention | None = None
        if score not in ("uniform", None):
            self.attend = DipoleAttention(channels, score=score, hidden=attention, bias=bias, epsilon=epsilon)
        self.mix = nn.Linear(channels if score is None else 2 * channels, width, bias=bias)
        self.output = nn.Linear(width, categories)
        self.dropout = nn.Dropout(dropout)

    def forward(self, visits: Tensor, visible: Tensor | None = None) -> Tensor:
        check_input(visits, "B T F", F=self.codes)
        here = torch.ones_like(visits[..., 0], dtype=torch.bool) if visible is None else visible
        if here.dtype is not torch.bool:
            raise ValueError(f"mask of {here.dtype}: booleans are needed, True where there is a visit")
        check_input(here, "B T", B=visits.shape[0], T=visits.shape[1])
        states = self.states(visits, here)  # [B, T, S, C]
        last = states.diagonal(dim1=1, dim2=2).mT  # h_t, [B, T, C]
        read = last
        alpha = self.weights(states, here)
        if alpha is not None:
            alpha = self.see("temporal", alpha)
            read = torch.cat([(alpha.to(states.dtype)[:, :, None] @ states)[:, :, 0], last], 2)
        scores: Tensor = self.output(self.dropout(self.mix(read).tanh()))
        return scores.masked_fill(~here[..., None], 0)

    def states(self, visits: Tensor, here: Tensor) -> Tensor:
        """Equations (1) and (2): h_i for the prediction at t, `B T S C`, i on the axis S; nothing where i > t."""
        v = self.embed(visits.masked_fill(~here[..., None], 0))
        v = v.relu() if self.rectified else v
        count = v.shape[1]
        ahead = _run(self.ahead, v, here)[:, None].expand(-1, count, -1, -1)
        if self.back is None:
            return ahead
        if self.causal:
            return torch.cat([ahead, _run_back(self.back, v, here)], 3)
        back = _run(self.back, v.flip(1), here.flip(1)).flip(1)[:, None].expand(-1, count, -1, -1)
        return torch.cat([ahead, back], 3)

    def weights(self, states: Tensor, here: Tensor) -> Tensor | None:
        """α of equation (3), `B T S`; None without a context."""
        if self.score is None:
            return None
        t = torch.arange(states.shape[1], device=states.device)
        seen = (t < t[:, None]) & here[:, None] & here[..., None]  # [B, T, S]
        if self.attend is None:
            even = seen.to(states.dtype)
            return even / even.sum(2, keepdim=True).clamp_min(1)
        last = states.diagonal(dim1=1, dim2=2).mT
        each = (last.flatten(0, 1), states.flatten(0, 1), seen.flatten(0, 1))
        alpha: Tensor = self.attend.weights(*each).unflatten(0, last.shape[:2])
        return alpha


def _run(cell: nn.GRUCell, v: Tensor, here: Tensor) -> Tensor:
    """The state after each visit, `B T p`; where there is no visit the state stays."""
    shares = F.linear(v, cell.weight_ih, cell.bias_ih)
    h = torch.zeros_like(shares[:, 0, : cell.hidden_size])
    states = []
    for share, there in zip(shares.unbind(1), here.unbind(1), strict=True):
        h = torch.where(there[:, None], _updated(cell, share, h), h)
        states.append(h)
    return torch.stack(states, 1)


def _run_back(cell: nn.GRUCell, v: Tensor, here: Tensor) -> Tensor:
    """The state at each visit i on the way back from each visit t, `B T S p`.

    All ways go one visit further at a time: after j steps that from t is at visit t − j, if it has one.
    """
    count = v.shape[1]
    shares = F.linear(v, cell.weight_ih, cell.bias_ih)
    h = torch.zeros_like(shares[..., : cell.hidden_size])
    steps = []
    for j in range(count):
        before = h if j == 0 else h[:, 1:]  # those that have a visit left
        there = here[:, : count - j, None]
        h = torch.where(there, _updated(cell, shares[:, : count - j], before), before)  # [B, T - j, p], by visit
        steps.append(F.pad(h, (0, 0, 0, j)))
    by_step = F.pad(torch.stack(steps, 2), (0, 0, 0, 1))  # [B, S, T + 1, p], after j steps at visit i
    # Read in rows of T rather than T + 1, row i has moved by i: its place j is now i + j, which is t.
    by_time: Tensor = by_step.flatten(1, 2)[:, : count * count].unflatten(1, (count, count))
    return by_time.transpose(1, 2)


def _updated(cell: nn.GRUCell, share: Tensor, h: Tensor) -> Tensor:
    """torch's GRU, of which `share` is what comes of the input: `… 3p`, h `… p`."""
    reset, update, candidate = share.chunk(3, -1)
    r, z, n = F.linear(h, cell.weight_hh, cell.bias_hh).chunk(3, -1)
    update = (update + z).sigmoid()
    candidate = (candidate + (reset + r).sigmoid() * n).tanh()
    after: Tensor = candidate + update * (h - candidate)
    return after
