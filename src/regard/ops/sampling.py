"""Sampling of a map at the points of a grid, and the grids of transforms of the plane.

Coordinates are x before y and run from -1 to 1 over the map: between the centres of its outermost pixels with
`align_corners`, between their outer edges without.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from regard.ops.precision import uncast, widened
from regard.ops.tracing import exporting

FARTHEST = 1000.0


def coordinates(length: int, *, align_corners: bool, like: Tensor) -> Tensor:
    """Coordinates of `length` pixels in a row, in float32 at least: half precision has fewer steps than pixels."""
    twice = 2 * torch.arange(length, device=like.device, dtype=torch.promote_types(like.dtype, torch.float32))
    if align_corners:
        last = twice[-1:]  # 2 (length - 1)
        return (twice - last / 2) / (last / 2).clamp_min(1)
    return (twice + 1) / length - 1


def plane(size: tuple[int, int], *, align_corners: bool, like: Tensor) -> Tensor:
    """Coordinates of every pixel of an H × W map, row by row: `HW 2`."""
    y, x = (coordinates(length, align_corners=align_corners, like=like) for length in size)
    return torch.stack([x.expand(size[0], -1), y[:, None].expand(-1, size[1])], -1).flatten(0, 1)


def affine_grid(theta: Tensor, size: tuple[int, int], *, align_corners: bool) -> Tensor:
    """θ (x, y, 1)ᵀ at every pixel of the output: `B 2 3`, (H, W) -> `B H W 2`.

    The numbers of `F.affine_grid`, which cannot be exported with dynamic sizes.
    """
    theta = widened(theta)
    with uncast(theta):
        if not exporting() and not (align_corners and min(size) == 1):  # which torch takes, but with a warning
            return F.affine_grid(theta, [theta.shape[0], 1, *size], align_corners)
        points = plane(size, align_corners=align_corners, like=theta)
        moved = torch.baddbmm(theta[:, None, :, 2], points.expand(theta.shape[0], -1, -1), theta[:, :, :2].mT)
    grid: Tensor = moved.unflatten(1, size)
    return grid


def projective_grid(theta: Tensor, size: tuple[int, int], *, align_corners: bool) -> Tensor:
    """`projected` at every pixel of the output: `B 3 3`, (H, W) -> `B H W 2`."""
    theta = widened(theta)
    with uncast(theta):
        grid: Tensor = projected(theta, plane(size, align_corners=align_corners, like=theta)).unflatten(1, size)
    return grid


def projected(theta: Tensor, points: Tensor) -> Tensor:
    """(u / w, v / w) of (u, v, w)ᵀ = θ (x, y, 1)ᵀ at every point: `B 3 3`, `N 2` -> `B N 2`.

    Near the horizon, where w is 0, points lie at most `FARTHEST` times as far away as (u, v), so that they stay finite.
    """
    seen = points @ theta[:, :, :2].mT + theta[:, None, :, 2]  # [B, N, 3]
    w = seen[:, :, 2:]
    least = 1 / FARTHEST
    return seen[:, :, :2] / torch.where(w < 0, w.clamp_max(-least), w.clamp_min(least))


def sample(x: Tensor, grid: Tensor, *, mode: str = "bilinear", padding: str = "zeros", align_corners: bool) -> Tensor:
    """x at the points of a grid, computed in float32 at least: `B C H W`, `B h w 2` -> `B C h w`."""
    wide = widened(x)
    with uncast(x):
        sampled = F.grid_sample(wide, grid.to(wide.dtype), mode, padding, align_corners)
    return sampled.to(x.dtype)


def spline_weights(points: int, at: Tensor, inverse: Tensor) -> Tensor:
    """Weight of each control point of a thin-plate spline at every point: `N 2`, `K+3 K` -> `N K`.

    Args:
        points: control points along each side; K is their square.
        at: the points of the plane, x before y.
        inverse: what `spline_inverse` gives.
    """
    squared = (at[:, None] - control_points(points, like=at)).square().sum(-1)  # [N, K]
    kernel = squared * squared.clamp_min(torch.finfo(squared.dtype).tiny).log()  # r² log r², 0 at r = 0
    return torch.cat([kernel, torch.ones_like(at[:, :1]), at], 1) @ inverse


def control_points(points: int, *, like: Tensor) -> Tensor:
    """A regular grid of points × points control points over the whole plane: `K 2`."""
    return plane((points, points), align_corners=True, like=like)


def spline_inverse(points: int) -> list[list[float]]:
    """The first K columns of the inverse of a thin-plate spline's system, as K + 3 rows of K numbers.

    The system is [[U, P], [Pᵀ, 0]] with U_kl = r² log r², r the distance of control points k and l, and P = (1, x, y).
    It depends on nothing that is learned or given, so it is solved once.
    """
    with torch.device("cpu"):
        c = control_points(points, like=torch.empty(0, dtype=torch.float64))
        squared = (c[:, None] - c).square().sum(-1)
        affine = torch.cat([torch.ones_like(c[:, :1]), c], 1)
        upper = torch.cat([torch.xlogy(squared, squared), affine], 1)
        lower = torch.cat([affine.mT, torch.zeros(3, 3, dtype=c.dtype)], 1)
        inverse: list[list[float]] = torch.linalg.inv(torch.cat([upper, lower]))[:, : points**2].tolist()
    return inverse
