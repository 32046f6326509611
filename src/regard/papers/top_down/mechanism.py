"""Top-down attention: a query scores the regions of an image, and takes their weighted mean.

Bottom-Up and Top-Down Attention for Image Captioning and Visual Question Answering. Anderson, He, Buehler, Teney,
Johnson, Gould, Zhang. CVPR 2018, arXiv:1707.07998. Official code: peteanderson80/Up-Down-Captioner (Caffe) for
captions; none for answers, of which hengyuan-hu/bottom-up-attention-vqa is the widely used reading.

    a_i = wᵀ tanh(W_v v_i + W_h h)                                     captions, Section 3.2           (1)
    a_i = wᵀ f([v_i, q])                                               answers, Section 3.3            (2)
    f(x) = tanh(W x + b) ⊙ σ(W' x + b')                                gated tanh, Section 3.3         (3)
    α   = softmax(a),  v̂ = Σ_i α_i v_i                                 over the regions that are there (4)

    h is the state of a decoder, q a question. hengyuan-hu has relu(W x + b) for f, or, as its better variant, scores
    wᵀ(relu(W_v v_i + b_v) ⊙ relu(W_q q + b_q)); each matrix W is g V / ‖V‖ there, with one number g and the norm of the
    whole matrix.

Place: behind a detector that gives a vector for each region, at each word of a decoder, or once for a question. W_v v
    is the same at all words: `project` it once.
Cost: k (C + D + 1) multiplications for each region, and C for the mean; `project` takes C k of them.
Deviations: paper (1) without biases | Caffe likewise, ruotianluo/ImageCaptioning.pytorch with three, one of which the
    softmax cancels | `bias`. Paper (3) | hengyuan-hu relu | `scores`. Regions that are padding are left out before the
    softmax, as in Caffe; ruotianluo multiplies the weights by the mask and divides by their sum, which is the same
    function.
Errata: ruotianluo's regions go through a layer with a ReLU first, and so does their mean: a network of its own, not
    the paper's with other names.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regard.checks import check_input, choice, flag, number, positive
from regard.core import Attention
from regard.ops.precision import uncast, wide_linear, widened

SCORES = ("additive", "gated-tanh", "rectified", "product")


class GatedTanh(nn.Module):
    """Equation (3): `B * inputs` -> `B * outputs`, in float32 at least."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.value = nn.Linear(inputs, outputs)
        self.gate = nn.Linear(inputs, outputs)
        # A gate that is half open halves what tanh lets through: with torch's own start three layers leave nothing.
        nn.init.xavier_uniform_(self.value.weight, 2 * nn.init.calculate_gain("tanh"))
        nn.init.xavier_uniform_(self.gate.weight)
        nn.init.zeros_(self.value.bias)

    def forward(self, x: Tensor) -> Tensor:
        return wide_linear(self.value, x).tanh() * wide_linear(self.gate, x).sigmoid()

    def joint(self, x: Tensor, query: Tensor) -> Tensor:
        """The layer on each `[x_i, query]`, without repeating the query: `B N C`, `B D` -> `B N outputs`."""
        value, gate = (split(layer.weight, layer.bias, x, query) for layer in (self.value, self.gate))
        return value.tanh() * gate.sigmoid()


class Normed(nn.Module):
    """A linear layer with the weight g V / ‖V‖, ‖V‖ the norm of the whole matrix, in float32 at least."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        layer = nn.Linear(inputs, outputs)
        self.direction = nn.Parameter(layer.weight.detach().clone())
        self.size = nn.Parameter(torch.linalg.vector_norm(layer.weight.detach()))
        self.bias = nn.Parameter(layer.bias.detach().clone())

    @property
    def weight(self) -> Tensor:
        """g V / ‖V‖: `outputs inputs`."""
        direction = widened(self.direction)
        length: Tensor = widened(self.size) / torch.linalg.vector_norm(direction)
        return direction * length

    def forward(self, x: Tensor) -> Tensor:
        with uncast(x):
            return F.linear(widened(x), self.weight, widened(self.bias))

    def joint(self, x: Tensor, query: Tensor) -> Tensor:
        """The layer on each `[x_i, query]`, with a ReLU: `B N C`, `B D` -> `B N outputs`."""
        return split(self.weight, self.bias, x, query).relu()


def split(weight: Tensor, bias: Tensor, x: Tensor, query: Tensor) -> Tensor:
    """W [x_i, query] + b for every i, as W_x x_i + (W_q query + b): `B N C`, `B D` -> `B N outputs`."""
    wide, width = widened(weight), x.shape[-1]
    with uncast(x):
        shared = F.linear(widened(query), wide[:, width:], widened(bias))
        return F.linear(widened(x), wide[:, :width]) + shared[:, None]


class TopDownAttention(Attention):
    """Attention of a query over the regions of an image.

    Args:
        channels: C of the regions.
        query_channels: D of the query, the state of a decoder or a question.
        hidden: k, the width in which scores are formed.
        scores: "additive" (1), "gated-tanh" (2, 3), or hengyuan-hu's: "rectified" (2, with a ReLU) or "product".
        bias: biases in the three matrices of (1), as in ruotianluo; the other scores have the authors'.
        dropout: of the product, with `scores="product"`, in training.

    Shapes: query `B D`, regions `B N C`, visible `B N` of booleans, True where there is a region, and projected
        `B N k` from `project`, both of them optional -> `B C`. No region at all gives zeros.
    Maps: attention `B N`, sums to 1.
    Raises: ValueError for an argument out of range, `bias` or `dropout` with other scores, inputs of other shapes, or
        a mask of another type.
    """

    def __init__(
        self,
        channels: int,
        *,
        query_channels: int = 1000,
        hidden: int = 512,
        scores: str = "additive",
        bias: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.channels, self.width = positive("channels", channels), positive("query_channels", query_channels)
        positive("hidden", hidden)
        self.scores = choice("scores", scores, SCORES)
        if flag("bias", bias) and scores != "additive":
            raise ValueError(f"bias={bias!r}: False is needed with scores={scores!r}, which has the authors' biases")
        if number("dropout", dropout, least=0) >= 1 or (dropout and scores != "product"):
            raise ValueError(f"dropout={dropout!r}: a number from 0 to below 1 is needed, and 0 without a product")
        if scores == "additive":
            self.region = nn.Linear(channels, hidden, bias=bias)
            self.query = nn.Linear(query_channels, hidden, bias=bias)
            self.score: nn.Module = nn.Linear(hidden, 1, bias=bias)
        elif scores == "product":
            self.of_region, self.of_query = Normed(channels, hidden), Normed(query_channels, hidden)
            self.dropout = nn.Dropout(dropout)
            self.score = Normed(hidden, 1)
        else:
            gated = scores == "gated-tanh"
            self.joint: GatedTanh | Normed = (GatedTanh if gated else Normed)(channels + query_channels, hidden)
            self.score = nn.Linear(hidden, 1, bias=False) if gated else Normed(hidden, 1)

    def project(self, regions: Tensor) -> Tensor:
        """The part of the scores that every query shares: W_v v of (1), `B * C` -> `B * k`.

        Of "product" the rectified layer of the regions; the others share nothing, and give the regions as they are.
        """
        if self.scores == "additive":
            return wide_linear(self.region, regions)
        return self.of_region(regions).relu() if self.scores == "product" else regions

    def forward(
        self, query: Tensor, regions: Tensor, visible: Tensor | None = None, projected: Tensor | None = None
    ) -> Tensor:
        check_input(query, "B D", D=self.width)
        check_input(regions, "B N C", B=query.shape[0], C=self.channels)
        if projected is None:
            projected = self.project(regions)
        else:
            check_input(projected, "B N D", B=query.shape[0], N=regions.shape[1])
        alpha = self.see("attention", self.weights(query, projected, visible))
        return mean(regions, alpha).to(regions.dtype)

    def weights(self, query: Tensor, projected: Tensor, visible: Tensor | None = None) -> Tensor:
        """α of (4), without showing it: `B D`, `B N k` -> `B N`, in float32 at least.

        Raises: ValueError for a mask of another shape or type.
        """
        if self.scores == "additive":
            assert isinstance(self.score, nn.Linear)
            e = wide_linear(self.score, (wide_linear(self.query, query)[:, None] + projected).tanh())
        elif self.scores == "gated-tanh":
            assert isinstance(self.score, nn.Linear)
            e = wide_linear(self.score, self.joint.joint(projected, query))
        elif self.scores == "rectified":
            e = self.score(self.joint.joint(projected, query))
        else:
            e = self.score(self.dropout(projected * self.of_query(query).relu()[:, None]))
        e = e[..., 0]
        if visible is None:
            return e.softmax(-1)
        check_mask(visible, e.shape)
        return e.masked_fill(~visible, torch.finfo(e.dtype).min).softmax(-1).masked_fill(~visible, 0)


def check_mask(visible: Tensor, shape: torch.Size) -> None:
    """Checks that a mask of regions has booleans of the given shape. Raises: ValueError otherwise."""
    if visible.dtype is not torch.bool:
        raise ValueError(f"mask of {visible.dtype}: booleans are needed, True where there is a region")
    if visible.shape != shape:
        raise ValueError(f"mask of shape {tuple(visible.shape)}: one value for each region is needed, {tuple(shape)}")


def mean(regions: Tensor, weights: Tensor) -> Tensor:
    """Σ_i α_i v_i: `B N C`, `B N` -> `B C`, in float32 at least."""
    with uncast(regions):
        return torch.bmm(weights[:, None], widened(regions))[:, 0]
