"""Mean field inference in a fully connected conditional random field, exact, in chunks.

Efficient Inference in Fully Connected CRFs with Gaussian Edge Potentials. Krähenbühl, Koltun. NIPS 2011,
arXiv:1210.5644.

    k_a(i, j) = exp(−|p_i − p_j|² / 2θ_α² − |I_i − I_j|² / 2θ_β²)           appearance: near, and alike     Eq. 3   (1)
    k_s(i, j) = exp(−|p_i − p_j|² / 2θ_γ²)                                  smoothness: near                        (2)
    Q_i(l) ∝ exp(−ψ_i(l) + Σ_m w_m Σ_{j≠i} k_m(i, j) Q_j(l))                Potts labels, Algorithm 1              (3)

With `symmetric`, each kernel is D^{-1/2} K D^{-1/2}, with D the sums of its rows without their diagonal, as the
published code normalises by default; its filter approximates the sums, and leaves the diagonal in. Positions p are in
pixels. The sum over (2) is one over rows after one over columns; that over (1) takes time N² for N pixels and memory N
times the rows of a chunk; a kernel that fits in one is made once. An image of 41 × 41 takes a fraction of a second, one
of 321 × 321 minutes on a CPU.
"""

from __future__ import annotations

import torch
from torch import Tensor

from regard.checks import flag, number, positive, whole

CHUNK = 2**24  # values of a kernel at once


def mean_field(
    logits: Tensor,
    image: Tensor,
    *,
    steps: int = 10,
    appearance: float = 10.0,
    smoothness: float = 3.0,
    far: float = 80.0,
    alike: float = 13 / 255,
    near: float = 3.0,
    symmetric: bool = True,
    chunk: int = CHUNK,
) -> Tensor:
    """Returns the marginals Q of every pixel after some steps of mean field inference.

    Args:
        logits: −ψ, such as the logarithms of a network's probabilities.
        image: of the same size, in 0..1.
        steps: updates of (3); none returns the softmax of `logits`.
        appearance, smoothness: w of both kernels; 0 leaves one out.
        far, near: θ_α and θ_γ, in pixels.
        alike: θ_β, in units of `image`.
        symmetric: normalise the kernels.
        chunk: the most values of kernel (1) that are in memory at once.

    Shapes: logits `B K H W`, image `B C H W` -> `B K H W`, probabilities.
    Raises: ValueError if shapes do not fit, or an argument is out of range.
    """
    whole("steps", steps, 0)
    for name, weight in (("appearance", appearance), ("smoothness", smoothness)):
        number(name, weight, least=0)
    for name, width in (("far", far), ("alike", alike), ("near", near)):
        number(name, width, above=0)
    flag("symmetric", symmetric)
    positive("chunk", chunk)
    if (
        logits.ndim != 4
        or image.ndim != 4
        or (logits.shape[0], *logits.shape[2:]) != (image.shape[0], *image.shape[2:])
    ):
        shapes = f"logits of shape {tuple(logits.shape)} and an image of shape {tuple(image.shape)}"
        raise ValueError(f"{shapes}: B K H W and B C H W are needed")
    each = [
        _one(scores, pixels, steps, appearance, smoothness, far, alike, near, symmetric, chunk)
        for scores, pixels in zip(logits, image, strict=True)
    ]
    return torch.stack(each) if each else logits


def _one(
    logits: Tensor,
    image: Tensor,
    steps: int,
    appearance: float,
    smoothness: float,
    far: float,
    alike: float,
    near: float,
    symmetric: bool,
    chunk: int,
) -> Tensor:
    """One image: logits `K H W`, image `C H W` -> `K H W`."""
    height, width = logits.shape[1:]
    rows, columns = (torch.arange(n, dtype=logits.dtype, device=logits.device) for n in (height, width))
    places = torch.stack((rows[:, None].expand(height, width), columns.expand(height, width))) / far
    points = torch.cat((places, image.to(logits.dtype) / alike)).flatten(1).T  # [N, 2 + C]
    kernels = [_gaussian(axis / near) for axis in (rows, columns)]

    rows_at_once = max(1, chunk // len(points))
    begins = range(0, len(points), rows_at_once)
    kept = _between(points, points) if appearance and len(begins) == 1 else None

    def alike_sum(values: Tensor) -> Tensor:
        """Σ_{j≠i} k_a(i, j) v_j: `N V` -> `N V`."""
        if kept is not None:
            return kept @ values - values
        blocks = (_between(points[begin : begin + rows_at_once], points) @ values for begin in begins)
        return torch.cat(list(blocks)) - values

    def near_sum(values: Tensor) -> Tensor:
        """Σ_{j≠i} k_s(i, j) v_j: `N V` -> `N V`."""
        grid = values.T.reshape(-1, height, width)
        summed: Tensor = (kernels[0] @ grid @ kernels[1]).flatten(1).T
        return summed - values

    used = [(w, summed) for w, summed in ((appearance, alike_sum), (smoothness, near_sum)) if w]
    one = points.new_ones(len(points), 1)
    scales = [summed(one).clamp_min(torch.finfo(one.dtype).tiny).rsqrt() if symmetric else one for _, summed in used]
    scores = logits.flatten(1).T  # [N, K]
    found = scores.softmax(1)
    for _ in range(steps):
        messages = [w * scale * summed(scale * found) for (w, summed), scale in zip(used, scales, strict=True)]
        found = (scores + sum(messages)).softmax(1)
    return found.T.reshape(logits.shape)


def _gaussian(places: Tensor) -> Tensor:
    """exp(−(p_i − p_j)² / 2): `N` -> `N N`."""
    kernel: Tensor = (-((places[:, None] - places) ** 2) / 2).exp()
    return kernel


def _between(some: Tensor, points: Tensor) -> Tensor:
    """exp(−|x_i − x_j|² / 2): `M D`, `N D` -> `M N`. Differences of coordinates, whose squares are exact at 0."""
    apart = torch.cdist(some, points, compute_mode="donot_use_mm_for_euclid_dist")
    kernel: Tensor = (-(apart**2) / 2).exp()
    return kernel
