"""Learn To Pay Attention: positions of a local map are weighed by their fit with the global descriptor.

Learn To Pay Attention. Jetley, Lord, Lee, Torr. ICLR 2018, arXiv:1804.02391.
Official code: none for PyTorch; the port in use is SaoYan/LearnToPayAttention.

    c_i = u · (l_i + g)                                                parametrised compatibility       (1)
    c_i = l_i · g                                                      dot product                      (2)
    c_i = φ · relu(W_l l_i + W_g g_i) + b                              additive                         (3)
    a   = softmax over the N positions of c                                                             (4)
    g_a = Σ_i a_i l_i                                                                                   (5)
    g_a = 1/N Σ_i σ(c_i) l_i                                           normalise="sigmoid"              (6)

    l_i are the local features of position i, g is the global vector, which a network makes of its last map. Where their
    widths differ, l_i becomes W l_i (project="local") or g becomes W g (project="global").

Place: at two or three intermediate layers of a classifier, whose linear layer then reads the g_a of all of them, side
    by side, in place of g.
Cost: 2NC multiplications and two passes to read, O(N) memory, whatever W: since c and g_a are linear in l, W is
    applied to u and to Σ_i a_i l_i, never to the map. Additive: N k (C + 1) more, for k hidden channels.
Deviations: paper projects g to the width of l | port projects l to the width of g | default `project="local"`, as in
    the port. Paper has (1), (2) and (4) | port has (1) and (4), and adds (6), and as (3) the gate of attention-gated
    networks (arXiv:1804.05338), where g is a map of lower resolution | all are here. Under (4) the term u · g of (1)
    cancels, so that g_a does not depend on g: so it is in the paper and in the port; (2) and (6) are free of that.
Errata: SaoYan/LearnToPayAttention with normalize_attn=False computes (6), N times smaller than a sum; it is not the
    paper's.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import Tensor, nn
from torch.nn import functional as F

from regard.checks import check_input, choice, flag, positive
from regard.core import Attention
from regard.layers import Pointwise, hard_softmax
from regard.ops import pooling
from regard.ops.precision import uncast, widened

COMPATIBILITIES = ("parametrised", "dot", "additive")
NORMALISATIONS = ("softmax", "sigmoid")


class LearnToPay(Attention):
    """Sums the positions of a local map, weighed by their fit with the global descriptor.

    Args:
        channels: C of the local map.
        gate_channels: width G of the global vector; None takes C.
        compatibility: "parametrised", "dot", or "additive", whose g is a map.
        normalise: "softmax" over positions, or "sigmoid" of each and the mean.
        project: "local" brings the local features to G, "global" the global vector to C; None is "local" where G and C
            differ and nothing where they are equal. The additive compatibility projects both, to `hidden`.
        hidden: width of the additive compatibility; None takes C.
        return_compatibility: return c before g_a, as the port does.
        hard: a hard choice in place of the softmax of (4), a mode of `ops.hard_attention`; None is soft.
        top_k, temperature: k of "top-k", τ of "gumbel".

    Shapes: l `B C H W` and g `B G` or `B G 1 1` -> g_a `B G`, or `B C` where nothing or g is projected; additive: g
        `B G h w`, brought to H and W, -> `B C`. With `return_compatibility`: c `B 1 H W`, g_a.
    Maps: attention `B 1 H W`, sums to 1 (softmax), or in (0, 1).
    Raises: ValueError for unknown names, a projection of the additive compatibility, and inputs of another width.
    """

    def __init__(
        self,
        channels: int,
        *,
        gate_channels: int | None = None,
        compatibility: str = "parametrised",
        normalise: str = "softmax",
        project: str | None = None,
        hidden: int | None = None,
        return_compatibility: bool = False,
        hard: str | None = None,
        top_k: int = 4,
        temperature: float = 1.0,
    ) -> None:
        super().__init__()
        positive("channels", channels)
        gate = channels if gate_channels is None else positive("gate_channels", gate_channels)
        choice("compatibility", compatibility, COMPATIBILITIES)
        choice("normalise", normalise, NORMALISATIONS)
        choice("project", project, (None, "local", "global"))
        k = channels if hidden is None else positive("hidden", hidden)
        flag("return_compatibility", return_compatibility)
        self.choice = hard_softmax(hard, top_k, temperature)
        if hard is not None and normalise == "sigmoid":
            raise ValueError(f"hard={hard!r}: None is needed with normalise='sigmoid', which has no softmax")
        additive = compatibility == "additive"
        if additive and project is not None:
            raise ValueError(
                f"project={project!r}: None is needed with the additive compatibility, which projects both to `hidden`"
            )
        if project is None and gate != channels and not additive:
            project = "local"
        self.channels, self.gate_channels = channels, gate
        self.compatibility, self.normalise, self.side = compatibility, normalise, project
        self.return_compatibility = return_compatibility
        width = gate if project == "local" else channels
        self.local = Pointwise(channels, k, bias=False) if additive else None
        self.gate = Pointwise(gate, k, bias=False) if additive else None
        self.score = None
        if compatibility != "dot":
            self.score = nn.Linear(k if additive else width, 1, bias=additive)
        self.project = None
        if project is not None:
            self.project = nn.Linear(*((channels, gate) if project == "local" else (gate, channels)), bias=False)

    def forward(self, x: Tensor, g: Tensor) -> tuple[Tensor, Tensor] | Tensor:
        self.check(x, g)
        c = self.additive(x, g) if self.compatibility == "additive" else self.linear(x, g.flatten(1))  # [B, 1, N]
        if self.choice is not None:
            see = partial(self.acting, x.shape[2:]) if self.watched else None
            attended = self.choice.attend(c, x.flatten(2).mT, see)[:, 0]  # [B, C]
        else:
            n = c.shape[-1]
            a = self.acting(x.shape[2:], c.softmax(-1) if self.normalise == "softmax" else c.sigmoid())
            attended = pooling.weighted(x, (a if self.normalise == "softmax" else a / n).to(x.dtype))  # [B, C]
        if self.project is not None and self.side == "local":
            attended = self.project(attended)  # [B, G]
        if self.return_compatibility:
            return c.unflatten(-1, x.shape[2:]).to(x.dtype), attended
        return attended

    def acting(self, grid: Sequence[int], a: Tensor) -> Tensor:
        """Shows a, `B 1 N`, on its grid, and returns the weights that act."""
        return self.see("attention", a.unflatten(-1, grid)).flatten(2)

    def linear(self, x: Tensor, g: Tensor) -> Tensor:
        """c of Eqs. 1 and 2: `B 1 N`; it is linear in l, so that a projection of l becomes one of the query."""
        if self.project is not None and self.side == "global":
            g = self.project(g)  # [B, C]
        with uncast(x):
            g, query = widened(g), widened(g if self.score is None else self.score.weight)  # [B, G] or [1, G]
            offset = None if self.score is None else g @ query.T  # [B, 1]
            if self.project is not None and self.side == "local":
                query = query @ widened(self.project.weight)  # [B, C] or [1, C]
            c = query.expand(x.shape[0], -1)[:, None] @ widened(x.flatten(2))
            return c if offset is None else c + offset[..., None]

    def additive(self, x: Tensor, g: Tensor) -> Tensor:
        """c of Eq. 3: `B 1 N`."""
        assert self.local is not None and self.gate is not None and self.score is not None
        gate = self.gate(g.flatten(2)).unflatten(-1, g.shape[2:])
        gate = F.interpolate(gate, size=x.shape[2:], mode="bilinear", align_corners=False)
        together = (self.local(x.flatten(2)) + gate.flatten(2)).relu()  # [B, k, N]
        with uncast(x):
            bias = widened(self.score.bias)
            return widened(self.score.weight).expand(x.shape[0], 1, -1) @ widened(together) + bias

    def check(self, x: Tensor, g: Tensor) -> None:
        """Checks the widths of the inputs, which broadcasting could hide.

        Raises: ValueError if they are not those of the arguments.
        """
        free = self.compatibility == "dot" and self.project is None  # any width, the same of both
        check_input(x, "B C H W", **({} if free else {"C": self.channels}))
        vector = "B G" if g.ndim == 2 else "B G 1 1"
        axes = "B G h w" if self.compatibility == "additive" else vector
        check_input(g, axes, B=x.shape[0], G=x.shape[1] if free else self.gate_channels)
