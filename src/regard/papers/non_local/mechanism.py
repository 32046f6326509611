"""Non-local block: every position attends to every position, in space or in space and time.

Non-local Neural Networks. Wang, Girshick, Gupta, He. CVPR 2018, arXiv:1711.07971.
Official code: facebookresearch/video-nonlocal-net (Caffe2), facebookresearch/SlowFast (PyTorch).

    θ = W_θ x,  φ = W_φ x,  g = W_g x                                 C -> C', C' = C/2              (1)
    A_ij = softmax_j(x_i · x_j)                                       gaussian, Eq. 2                (2)
    A_ij = softmax_j(θ_i · φ_j)                                       embedded_gaussian, Eq. 3       (3)
    A_ij = θ_i · φ_j / N                                              dot_product, Eq. 4             (4)
    A_ij = relu(w_θ · θ_i + w_φ · φ_j) / N                            concatenation, Eq. 5           (5)
    z_i = BN(W_z Σ_j A_ij g_j) + x_i                                  block, Eq. 6                   (6)

    j runs over the N positions that are left when φ and g are max-pooled.

Place: after a residual block: five blocks in stages 3 and 4 of a video ResNet, one before the last block of stage 4 for
    detection.
Cost: no N × N matrix unless watched. (2), (3) 2N²C' multiplications, memory linear in N; (4) 2NC'² by associativity;
    (5) N log N + NC' by sorting. Pooling divides N² by 4.
Deviations: paper, Eq. 3, does not scale | official code divides the logits of (3) by √C' | default `scale=True`. Paper
    pools φ and g | official code pools x before their convolutions, popular ports (AlexHex7, mmcv) after them |
    `pool_first`. A side of length 1 is not pooled, where the official code fails. BN starts at 0, or W_z where there is
    no BN, so that the block starts as the identity, as released.
Errata: ports that multiply the logits by √C', scale by C in place of C', fix C' at 1 (a division of the reduction by
    itself), or divide the rectified affinity in place, which cannot be trained, are not this mechanism.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from torch import Tensor, nn
from torch.nn import functional as F

from regard.checks import check_input, choice, each_axis, flag, positive
from regard.core import Attention
from regard.layers import Pointwise, hard_softmax
from regard.ops import affinity as pairs
from regard.ops.precision import uncast, wide_linear, wide_norm, widened

_AFFINITIES = ("embedded_gaussian", "gaussian", "dot_product", "concatenation")


def _max_pool_1d(x: Tensor, size: Sequence[int]) -> Tensor:
    """Max pooling of a sequence as a map one position wide, because `max_pool1d` fixes the length when exported."""
    return F.max_pool2d(x[..., None], (*size, 1))[..., 0]


_AXES = {1: "B C T", 2: "B C H W", 3: "B C T H W"}
_MAX_POOL: dict[int, Callable[..., Tensor]] = {1: _max_pool_1d, 2: F.max_pool2d, 3: F.max_pool3d}


class NonLocal(Attention):
    """Every position attends to every position of a sequence, an image or a video.

    Args:
        channels: C of the input.
        hidden: C' of θ, φ and g; None takes C // 2, at least 1.
        affinity: embedded_gaussian, gaussian, dot_product or concatenation.
        dims: 1 for sequences, 2 for images, 3 for video.
        pool: size of the max pooling of φ and g on every axis, or one for each axis; 2 leaves time alone, 1 is none.
        pool_first: pool x before the convolutions (official) rather than their outputs (popular ports).
        scale: divide the embedded-gaussian logits by √C'; `True` is the official code, `False` the paper.
        norm: batch norm after W_z.
        hard: a hard choice in place of the softmax of (2) or (3), a mode of `ops.hard_attention`; None is soft.
        top_k, temperature: k of "top-k", τ of "gumbel".

    Shapes: x `B C T`, `B C H W` or `B C T H W`, returned alike. Maps: affinity `B Q K`, Q positions by K pooled ones;
        its rows sum to 1 for the two gaussians.
    Raises: ValueError for an argument out of range, a pool that does not fit `dims`, or an input of another shape.
    """

    def __init__(
        self,
        channels: int,
        *,
        hidden: int | None = None,
        affinity: str = "embedded_gaussian",
        dims: int = 2,
        pool: int | Sequence[int] = 2,
        pool_first: bool = True,
        scale: bool = True,
        norm: bool = True,
        hard: str | None = None,
        top_k: int = 4,
        temperature: float = 1.0,
    ) -> None:
        super().__init__()
        self.channels = positive("channels", channels)
        hidden = max(channels // 2, 1) if hidden is None else positive("hidden", hidden)
        choice("affinity", affinity, _AFFINITIES)
        choice("dims", dims, _MAX_POOL)
        self.pool = each_axis("pool", (1, pool, pool) if dims == 3 and isinstance(pool, int) else pool, dims)
        self.pool_first = flag("pool_first", pool_first)
        flag("norm", norm)
        self.affinity = affinity
        self.choice = hard_softmax(hard, top_k, temperature)
        if hard is not None and "gaussian" not in affinity:
            raise ValueError(f"hard={hard!r}: None is needed with affinity={affinity!r}, which has no softmax")
        self.scale = hidden**-0.5 if flag("scale", scale) and affinity == "embedded_gaussian" else 1.0
        embedded = affinity != "gaussian"
        self.theta = Pointwise(channels, hidden) if embedded else None
        self.phi = Pointwise(channels, hidden) if embedded else None
        self.g = Pointwise(channels, hidden)
        self.relate = Pointwise(2 * hidden, 1, bias=False) if affinity == "concatenation" else None
        self.out = Pointwise(hidden, channels)
        self.norm = nn.BatchNorm1d(channels) if norm else None
        self._initialise()

    def _initialise(self) -> None:
        for layer in (self.theta, self.phi, self.g, self.out):
            if layer is not None:
                nn.init.normal_(layer.weight, std=0.01)
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        nn.init.zeros_(self.out.weight if self.norm is None else self.norm.weight)

    def pooled(self, x: Tensor) -> Tensor:
        """Max-pools every axis that is long enough: `B C *grid` -> `B C *smaller`."""
        sizes = [min(size, length) for size, length in zip(self.pool, x.shape[2:], strict=True)]
        return x if all(size == 1 for size in sizes) else _MAX_POOL[len(sizes)](x, sizes)

    def embed(self, layer: Pointwise, x: Tensor, pooled: Tensor) -> Tensor:
        """Projects and pools, from x `B C *grid` or its pooled positions `B C K` -> `B K C'`."""
        if self.pool_first:
            return layer.tokens(pooled)
        return self.pooled(layer(x.flatten(2)).unflatten(-1, x.shape[2:])).flatten(2).mT

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, _AXES[len(self.pool)], C=self.channels)
        n = x.flatten(2)
        pooled = self.pooled(x).flatten(2) if self.pool_first or self.phi is None else n
        theta = n.mT.contiguous() if self.theta is None else self.theta.tokens(n)  # [B, Q, C']
        if self.phi is not None:
            phi = self.embed(self.phi, x, pooled)  # [B, K, C']
        else:
            phi = theta if max(self.pool) == 1 else pooled.mT
        g = self.embed(self.g, x, pooled)  # [B, K, C']
        if "gaussian" in self.affinity:
            z = self.out(self.attend(theta, phi, g, x).mT)  # [B, C, N]
            z = z if self.norm is None else self.norm(z)
            total: Tensor = z.unflatten(-1, x.shape[2:]) + x
            return total
        with uncast(x):  # products that are not averaged leave half precision
            y = self.attend(widened(theta), widened(phi), widened(g), x)  # [B, Q, C']
            z = self.out(y.mT) if self.out.weight.dtype == y.dtype else wide_linear(self.out, y).mT  # type: ignore[arg-type]
            z = z if self.norm is None else wide_norm(self.norm, z)
            wide: Tensor = z.unflatten(-1, x.shape[2:]) + x
            return wide.to(x.dtype)

    def attend(self, theta: Tensor, phi: Tensor, g: Tensor, x: Tensor) -> Tensor:
        """Σ_j A_ij g_j; A itself is formed only when it is watched."""
        if self.relate is not None:
            w_theta, w_phi = widened(self.relate.weight[0]).chunk(2)
            theta, phi = theta @ w_theta, phi @ w_phi  # [B, Q], [B, K]
        if self.choice is not None:
            see = partial(self.acting, x) if self.watched else None
            return self.choice.attend(pairs.logits(theta, phi, scale=self.scale), g, see)
        if self.watched:
            return self.acting(x, self.weights(theta, phi)) @ g
        if self.affinity == "dot_product":
            return pairs.product_attend(theta, phi, g)
        if self.affinity == "concatenation":
            return pairs.sum_attend(theta, phi, g)
        return pairs.softmax_attend(theta, phi, g, scale=self.scale)

    def acting(self, x: Tensor, a: Tensor) -> Tensor:
        """Shows A, `B Q K`, with the grids of the map x, and returns the weights that act."""
        return self.see("affinity", a, **self.grids(x))

    def weights(self, theta: Tensor, phi: Tensor) -> Tensor:
        """A of Eqs. 2 to 5: `B Q K`."""
        if self.affinity == "dot_product":
            return pairs.product_weights(theta, phi)
        if self.affinity == "concatenation":
            return pairs.sum_weights(theta, phi)
        return pairs.softmax_weights(theta, phi, scale=self.scale)

    def grids(self, x: Tensor) -> dict[str, tuple[int, ...]]:
        """The grids that Q and K flatten."""
        grid = tuple(x.shape[2:])
        return {"Q": grid, "K": tuple(n // min(size, n) for size, n in zip(self.pool, grid, strict=True))}
