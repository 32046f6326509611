"""Sononet's gates: spatial gates for classification from a coarser map, and their aggregation.

Attention Gated Networks: Learning to Leverage Salient Regions in Medical Images. Schlemper, Oktay, Schaap, Heinrich,
    Kainz, Glocker, Rueckert. Medical Image Analysis 2019, arXiv:1808.08114.
Official code: ozan-oktay/Attention-Gated-Networks (PyTorch).

    q = ψ relu(W_θ x + resize(W_φ g)) + b_ψ                           at every s-th position                 (1)
    α = softmax_n q | σ(q) | q / Σ q                                  softmax, sigmoid, mean                 (2)
    α = (q - min q) / Σ (q - min q) | (q - min q) / (max q - min q)   mean_flow, range                       (3)
    y = BN(W (α x))                                                   α resized to x                         (4)
    v_i = Σ_n α_in x_in,  v_0 = mean_n g_n                            for two maps x_1 and x_2               (5)
    z = U [v_1; v_2; v_0] + u                                         concat                                 (6)
    z_i = U_i v_i + u_i                                               separate; with (6), deep_supervision   (7)
    z = U [z_1; z_2; z_0] + u                                         fine_tuning                            (8)

Place: (5), (6) in place of the global average pooling of a classifier: gates on the third and fourth of five stages,
    gated by the fifth, as in AG-Sononet.
Cost: (C s² + C_g s² + 1) C'/s² multiplications for each position and C² for (4). (5) never forms α x: one product of a
    matrix with a vector, O(N) memory beyond the maps of (1).
Deviations: paper has a bias under the ReLU, and mean_flow where it leaves softmax | official code has no bias and all
    five ways | as there. The network's configuration uses mean_flow, its class has no default that runs | mean_flow. A
    map of equal scores, where (2) and (3) divide 0 by 0, gives a gate of zeros. Official concat, the default, fails
    on a misspelt name | as it is meant. b_ψ starts at 3 (sigmoid) and 10 (softmax), as released.
Errata: the gate has no dot-product form; that of the same repository is a non-local block that this network never
    uses.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regard.checks import check_input, check_norm_batch, choice, each_axis, flag, positive, whole_numbers
from regard.core import Attention
from regard.ops import pooling
from regard.ops.convolution import convolved
from regard.ops.tracing import exporting

_CONV: dict[int, type[nn.Module]] = {2: nn.Conv2d, 3: nn.Conv3d}
_NORM: dict[int, type[nn.Module]] = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
_LINEAR = {2: "bilinear", 3: "trilinear"}
NORMALIZATIONS = ("softmax", "sigmoid", "mean", "mean_flow", "range")
AGGREGATIONS = ("concat", "separate", "deep_supervision", "fine_tuning")
_BIAS = {"sigmoid": 3.0, "softmax": 10.0}


def _quotient(a: Tensor, b: Tensor) -> Tensor:
    """a / b, and zeros where b is zero."""
    return a / torch.where(b == 0, torch.ones_like(b), b) * (b != 0)


def _normalised(q: Tensor, way: str) -> Tensor:
    """Eqs. 2 and 3, over positions: `B 1 *grid`, in float32 at least."""
    if way == "sigmoid":
        return q.sigmoid()
    s = q.flatten(2).to(torch.promote_types(q.dtype, torch.float32))
    if way == "softmax":
        s = s.softmax(-1)
    elif way == "mean":
        s = _quotient(s, s.sum(-1, keepdim=True))
    else:
        s = s - s.min(-1, keepdim=True).values
        s = _quotient(s, s.sum(-1, keepdim=True) if way == "mean_flow" else s.max(-1, keepdim=True).values)
    return s.to(q.dtype).view_as(q)


class SononetGate(Attention):
    """Spatial gate for classification, from a coarser map.

    Args:
        channels: C of x.
        gate_channels: channels of g.
        hidden: C', the width in which x and g are added; None takes C // 2, at least 1.
        dims: 2 for images, 3 for volumes.
        subsample: s, for every axis or one for each; θ and φ both skip so much.
        normalization: softmax, sigmoid, mean, mean_flow or range.
        activation: relu of that sum, or None.
        theta, phi, psi: whether each projection is there; without θ, C = C' is needed, without φ as much of g, and
            without ψ there are C' scores, which only sigmoid takes when C' is C rather than 1.
        transform: the output's convolution, Eq. 4; without it y = α x.
        norm: batch norm after it.
        return_mask: return α as well.

    Shapes: x `B C H W` and g `B G h w` of any size, or `B C T H W` and `B G t h w` -> as x; with `return_mask`, (y, α).
    Maps: spatial α `B 1 H W` or `B 1 T H W`; `B C H W` for sigmoid without ψ. Before resizing it sums to 1 for softmax,
        mean and mean_flow, and reaches from 0 to 1 for range.
    Raises: ValueError for an argument out of range, widths that do not fit without a projection, or other shapes.
    """

    def __init__(
        self,
        channels: int,
        *,
        gate_channels: int,
        hidden: int | None = None,
        dims: int = 2,
        subsample: int | Sequence[int] = 1,
        normalization: str = "mean_flow",
        activation: str | None = "relu",
        theta: bool = True,
        phi: bool = True,
        psi: bool = True,
        transform: bool = True,
        norm: bool = True,
        return_mask: bool = False,
    ) -> None:
        super().__init__()
        self.channels, self.gate_channels = positive("channels", channels), positive("gate_channels", gate_channels)
        hidden = max(channels // 2, 1) if hidden is None else positive("hidden", hidden)
        choice("dims", dims, _CONV)
        choice("normalization", normalization, NORMALIZATIONS)
        choice("activation", activation, ("relu", None))
        self.factors = each_axis("subsample", subsample, dims)
        for name, value in (("theta", theta), ("phi", phi), ("psi", psi), ("transform", transform), ("norm", norm)):
            flag(name, value)
        for given, name, wide, width in (
            (theta, "theta", "channels", channels), (phi, "phi", "gate_channels", gate_channels)
        ):  # fmt: skip
            if not given and width not in (1, hidden):
                raise ValueError(
                    f"hidden={hidden}, {name}=False: hidden={width} is needed, as {wide}={width} are not projected"
                )
        if not psi and hidden != 1 and (normalization != "sigmoid" or hidden != channels):
            raise ValueError(
                f"hidden={hidden}: 1, or with normalization='sigmoid' {channels}, is needed with psi=False"
            )
        self.normalization = normalization
        self.rectify = activation == "relu"
        self.return_mask = flag("return_mask", return_mask)
        conv = _CONV[dims]

        def project(width: int) -> nn.Module:
            return conv(width, hidden, self.factors, stride=self.factors, bias=False)

        self.theta = project(channels) if theta else nn.Identity()
        self.phi = project(gate_channels) if phi else nn.Identity()
        self.psi = conv(hidden, 1, 1) if psi else nn.Identity()
        self.out = conv(channels, channels, 1) if transform else None
        self.norm = _NORM[dims](channels) if transform and norm else None
        self._initialise()

    def _initialise(self) -> None:
        for layer in (self.theta, self.phi, self.psi, self.out):
            if isinstance(layer, (nn.Conv2d, nn.Conv3d)):
                nn.init.kaiming_normal_(layer.weight)
        if isinstance(self.norm, (nn.BatchNorm2d, nn.BatchNorm3d)):
            nn.init.normal_(self.norm.weight, 1.0, 0.02)
        if self.normalization in _BIAS and isinstance(self.psi, (nn.Conv2d, nn.Conv3d)):
            nn.init.constant_(self.psi.bias, _BIAS[self.normalization])  # type: ignore[arg-type]

    def mask(self, x: Tensor, g: Tensor) -> Tensor:
        """α: `B 1 *grid of x`."""
        axes = "B C H W" if len(self.factors) == 2 else "B C T H W"
        check_input(x, axes, C=self.channels)
        check_input(g, axes, B=x.shape[0], C=self.gate_channels)
        for name, map in (("x", x), ("g", g)):
            if not exporting() and any(n < s for n, s in zip(map.shape[2:], self.factors, strict=True)):
                raise ValueError(
                    f"{name} of shape {tuple(map.shape)}: a map no smaller than subsample={self.factors} is needed"
                )
        phi = convolved(self.phi, g)  # before θ, so that the gradient of x is finished before it starts
        theta = convolved(self.theta, x)
        meeting = theta + _resized(phi, theta.shape[2:])
        alpha = _normalised(convolved(self.psi, meeting.relu_() if self.rectify else meeting), self.normalization)
        alpha = alpha if max(self.factors) == 1 else _resized(alpha, x.shape[2:])
        return self.see("spatial", alpha)

    def forward(self, x: Tensor, g: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        alpha = self.mask(x, g)
        y = alpha * x
        if self.out is not None:
            y = convolved(self.out, y)
        if self.norm is not None:
            check_norm_batch(self.norm, y)
            y = self.norm(y)
        return (y, alpha) if self.return_mask else y


def _resized(x: Tensor, grid: Sequence[int]) -> Tensor:
    """Linear interpolation along each axis; an equal size is left as it is, which an exported graph cannot know."""
    if not exporting() and x.shape[2:] == grid:
        return x
    return F.interpolate(x, grid, mode=_LINEAR[len(grid)])


class SononetAggregation(Attention):
    """Class scores from the gated sums of two finer maps and the average of the coarsest.

    Args:
        channels: C of the coarsest map g, which gates the others and is averaged.
        level_channels: channels of the two finer maps.
        classes: number of classes.
        hidden: C' of every gate; None takes C, as in AG-Sononet.
        normalization: of every gate: softmax, sigmoid, mean, mean_flow or range.
        aggregation: concat; separate, one score vector from each map; deep_supervision, concat and the separate ones;
            or fine_tuning, scores from the separate scores.

    Shapes: x1 `B C₁ H W`, x2 `B C₂ h w` and g `B C h' w'`, of any sizes -> `B classes`; three of them for separate, of
        x1, x2 and g, and four for deep_supervision, of which the first is (6).
    Maps: spatial, one of each gate, at the size of x1 and of x2.
    Raises: ValueError for an argument out of range, another number of finer maps than two, or maps of other shapes.
    """

    def __init__(
        self,
        channels: int,
        *,
        level_channels: Sequence[int],
        classes: int,
        hidden: int | None = None,
        normalization: str = "mean_flow",
        aggregation: str = "concat",
    ) -> None:
        super().__init__()
        positive("channels", channels)
        positive("classes", classes)
        level_channels = whole_numbers("level_channels", level_channels, count=2)
        if hidden is not None:
            positive("hidden", hidden)
        choice("normalization", normalization, NORMALIZATIONS)
        choice("aggregation", aggregation, AGGREGATIONS)
        self.aggregation = aggregation
        gates = [
            SononetGate(
                width,
                gate_channels=channels,
                hidden=channels if hidden is None else hidden,
                normalization=normalization,
                transform=False,
            )
            for width in level_channels
        ]
        self.gates: Iterable[SononetGate] = nn.ModuleList(gates)  # type: ignore[assignment]
        widths = [*level_channels, channels]
        joint = len(widths) * classes if aggregation == "fine_tuning" else sum(widths)
        self.classify = nn.Linear(joint, classes) if aggregation != "separate" else None
        self.separate = nn.ModuleList(nn.Linear(n, classes) for n in widths if aggregation != "concat")

    def forward(self, x1: Tensor, x2: Tensor, g: Tensor) -> Tensor | tuple[Tensor, ...]:
        gated = zip(self.gates, (x1, x2), strict=True)
        vectors = [pooling.weighted(x, gate.mask(x, g).flatten(2)) for gate, x in gated]  # [B, C_i]
        vectors.append(pooling.average(g))
        scores = tuple(layer(v) for layer, v in zip(self.separate, vectors, strict=True)) if len(self.separate) else ()
        if self.classify is None:
            return scores
        joint = self.classify(torch.cat(scores if self.aggregation == "fine_tuning" else vectors, 1))
        return (joint, *scores) if self.aggregation == "deep_supervision" else joint
