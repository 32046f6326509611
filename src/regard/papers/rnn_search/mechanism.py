"""Additive attention: a decoder's state scores every annotation, and takes their weighted mean.

Neural Machine Translation by Jointly Learning to Align and Translate. Bahdanau, Cho, Bengio. ICLR 2015,
arXiv:1409.0473. Official code: lisa-groundhog/GroundHog (Theano).

    e_j = vᵀ tanh(W s + U h_j)                                        alignment model, A.1.2         (1)
    α_j = exp(e_j) / Σ_k exp(e_k),  over the T annotations that are no padding      Eq. 6            (2)
    c   = Σ_j α_j h_j                                                 context, Eq. 5                 (3)

Place: in a recurrent decoder at every step, from the state before it; the annotations are the states of a
    bidirectional encoder. U h is the same at all steps: `project` it once and hand it over.
Cost: C·n' multiplications for each annotation once, and at each step n'·(D + T) + C·T; T·n' memory.
Deviations: none between paper and code. v starts at 0, so that the first context is the plain mean, W and U at normal
    numbers of 0.001, as published.
Errata: the official code's exponential without subtracting the maximum overflows; the function is the same. Luong's dot
    product, ports with biases in W or U, or with the state concatenated to the annotations before one matrix, which is
    the same function with [W U] as its halves, are often called Bahdanau attention.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from regard.checks import check_input, flag, positive
from regard.core import Attention
from regard.layers import hard_softmax
from regard.ops.precision import widened


class AdditiveAttention(Attention):
    """Attention of one state over annotations, with additive scores.

    Args:
        channels: C of the annotations.
        state_channels: D of the state; None takes C // 2, as annotations have two directions.
        hidden: n', width of the alignment model; None takes D.
        return_weights: returns α `B T` too.
        hard: a hard choice in place of the softmax of (2), a mode of `ops.hard_attention`; None is soft.
        top_k, temperature: k of "top-k", τ of "gumbel".

    Shapes: state `B D`, annotations `B T C`, visible `B T` of booleans, True where there is an annotation, and
        projected `B T hidden` from `project`, both of them optional -> context `B C`. All hidden gives zeros.
    Maps: temporal `B T`, sums to 1.
    Raises: ValueError for widths that are not positive, inputs of other shapes, or a mask of another type.
    """

    def __init__(
        self,
        channels: int,
        *,
        state_channels: int | None = None,
        hidden: int | None = None,
        return_weights: bool = False,
        hard: str | None = None,
        top_k: int = 4,
        temperature: float = 1.0,
    ) -> None:
        super().__init__()
        self.channels = positive("channels", channels)
        width = max(channels // 2, 1) if state_channels is None else positive("state_channels", state_channels)
        hidden = width if hidden is None else positive("hidden", hidden)
        self.return_weights = flag("return_weights", return_weights)
        self.state = nn.Linear(width, hidden, bias=False)
        self.annotation = nn.Linear(channels, hidden, bias=False)
        self.score = nn.Linear(hidden, 1, bias=False)
        self.choice = hard_softmax(hard, top_k, temperature)
        nn.init.normal_(self.state.weight, std=0.001)
        nn.init.normal_(self.annotation.weight, std=0.001)
        nn.init.zeros_(self.score.weight)

    def project(self, annotations: Tensor) -> Tensor:
        """U h, the part of the scores that every step shares: `B T C` -> `B T hidden`."""
        projected: Tensor = self.annotation(annotations)
        return projected

    def forward(
        self,
        state: Tensor,
        annotations: Tensor,
        visible: Tensor | None = None,
        projected: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        check_input(state, "B D", D=self.state.in_features)
        check_input(annotations, "B T C", B=state.shape[0], C=self.channels)
        if visible is not None:
            check_input(visible, "B T", B=state.shape[0], T=annotations.shape[1])
        if projected is not None:
            check_input(projected, "B T D", B=state.shape[0], T=annotations.shape[1], D=self.annotation.out_features)
        projected = self.project(annotations) if projected is None else projected
        e = self.score((self.state(state).unsqueeze(1) + projected).tanh_()).squeeze(2)  # [B, T]
        if self.choice is not None:
            return self.chosen(e, annotations, visible)
        alpha = self.see("temporal", self.align(e, visible))  # [B, T]
        c = torch.bmm(alpha.unsqueeze(1).to(annotations.dtype), annotations).squeeze(1)  # [B, C]
        return (c, alpha) if self.return_weights else c

    def align(self, e: Tensor, visible: Tensor | None) -> Tensor:
        """Softmax over the visible annotations; zeros where none is visible."""
        alpha = self.logits(e, visible).softmax(-1)
        return (alpha if visible is None else alpha.masked_fill(~visible, 0)).to(e.dtype)

    def logits(self, e: Tensor, visible: Tensor | None) -> Tensor:
        """e in float32 at least, and the least number of all where no annotation is visible."""
        wide = widened(e)
        if visible is None:
            return wide
        if visible.dtype is not torch.bool:
            raise ValueError(f"mask of {visible.dtype}: booleans are needed, True where there is an annotation")
        return wide.masked_fill(~visible, torch.finfo(wide.dtype).min)

    def chosen(self, e: Tensor, annotations: Tensor, visible: Tensor | None) -> Tensor | tuple[Tensor, Tensor]:
        """The context of a hard choice, and its weights if they are asked for; zeros where none is visible."""
        assert self.choice is not None
        shown = []

        def see(alpha: Tensor) -> Tensor:
            alpha = (alpha[:, 0] if visible is None else alpha[:, 0].masked_fill(~visible, 0)).to(e.dtype)
            shown.append(self.see("temporal", alpha))
            return shown[0][:, None]

        asked = see if self.watched or self.return_weights else None
        c = self.choice.attend(self.logits(e, visible)[:, None], annotations, asked)[:, 0]  # [B, C]
        if visible is not None:
            c = c.masked_fill(~visible.any(1, keepdim=True), 0)
        return (c, shown[0]) if self.return_weights else c
