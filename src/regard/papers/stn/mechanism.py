"""Spatial transformer: a small network chooses a warp of the map, and bilinear sampling applies it.

Spatial Transformer Networks. Jaderberg, Simonyan, Zisserman, Kavukcuoglu. NIPS 2015, arXiv:1506.02025.
Official code: none; best known are pytorch/tutorials (spatial_transformer_tutorial) and qassemoquab/stnbhwd (Torch 7).

    θ = f_loc(x)                                                       localisation, Section 3.1       (1)
    (u_i, v_i)ᵀ = A_θ (a_i, b_i, 1)ᵀ,  A_θ of 2 × 3                    affine, Eq. 1                   (2)
    A_θ = [[s, 0, t_x], [0, s, t_y]]                                   attention, Eq. 2                (3)
    w_i (u_i, v_i, 1)ᵀ = H_θ (a_i, b_i, 1)ᵀ,  H_θ of 3 × 3, its last number 1   projective, Section 3.2  (4)
    y_i = Σ_n x_n max(0, 1 - |u_i - a_n|) max(0, 1 - |v_i - b_n|)      bilinear sampling, Eq. 5        (5)

    (a_i, b_i) are the coordinates of output pixel i, from -1 to 1 over the map, (u_i, v_i) the point of the input that
    it shows; in (5) both are counted in pixels, and n runs over the pixels of the input. For the thin-plate spline
    (Section 3.2; Bookstein, doi:10.1109/34.24792) θ are the points that K fixed control points c_k, a regular grid over
    the output, show:

    (u, v) = Σ_k w_k U(|p - c_k|) + a₀ + a₁ p_x + a₂ p_y,  U(r) = r² log r²                            (6)
    [[U(|c_k - c_l|), P], [Pᵀ, 0]] (w; a) = (θ; 0),  row k of P = (1, c_k)                             (7)

Place: before a network, or after any layer whose map should be brought into a canonical pose; several in depth or side
    by side. With `size`, fewer pixels come out than went in.
Cost: f_loc, 36 C + 576 multiplications for each of N positions by default; one gather of 4 values for each output
    value; O(N) memory for the grid. The spline costs K N more; its system (7) is solved once, when it is built.
Deviations: paper does not say whether -1 and 1 are the centres of the outer pixels | stnbhwd and torch before 1.3 take
    the centres (`align_corners=True`), torch since then, and so the tutorial, their outer edges | default: outer edges.
    Paper has another f_loc in each experiment | tutorial: two convolutions for one size of images
    (`localisation="flat"`) | default: two convolutions, pooled to 4 × 4 so that positions survive, for any size. The
    last layer starts with zero weights at the identity, as in the tutorial. Paper does not say what a projective
    transform shows on its horizon, where w_i is 0 | |w_i| is at least 1/1000 here, so that points stay finite.
    Three-dimensional transforms are left out.
Errata: θ maps output to input coordinates, so that s < 1 enlarges. In qassemoquab/stnbhwd y stands before x, and so
    the rows and columns of θ in the other order.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from regard.checks import check_input, choice, each_axis, flag, positive, whole
from regard.core import Attention
from regard.ops import pooling, sampling
from regard.ops.precision import uncast, widened

_IDENTITY = {
    "affine": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
    "attention": [1.0, 0.0, 0.0],
    "projective": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0],
}
_TRANSFORMS = (*_IDENTITY, "spline")
_PADDINGS = ("zeros", "border", "reflection")
_POINTS = 32  # at most: the spline's system has a row for each of their square
_INTERPOLATIONS = ("bilinear", "bicubic", "nearest")


class _PooledLocalisation(nn.Module):
    """f_loc for any size, from 4 × 4 bins; θ stays bounded however large the values are."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, 16, 3, stride=2, padding=1)
        self.second = nn.Conv2d(16, 16, 3, padding=1)
        self.norm = nn.LayerNorm(256)
        self.embed = nn.Linear(256, hidden)

    def forward(self, x: Tensor) -> Tensor:
        features = self.second(self.first(x).relu()).relu()
        y: Tensor = self.embed(self.norm(pooling.adaptive_average(features, (4, 4)).flatten(1))).tanh()
        return y


def _flat_localisation(channels: int, hidden: int, grid: tuple[int, int]) -> nn.Sequential:
    """f_loc of the tutorial, whose linear layer reads every position."""
    height, width = (((length - 6) // 2 - 4) // 2 for length in grid)
    if min(height, width) < 1:
        raise ValueError(f"grid={grid}: at least 18 × 18 is needed with localisation='flat'; 'pooled' accepts less")
    features = (nn.Conv2d(channels, 8, 7), nn.MaxPool2d(2), nn.ReLU(), nn.Conv2d(8, 10, 5), nn.MaxPool2d(2), nn.ReLU())
    return nn.Sequential(*features, nn.Flatten(), nn.Linear(10 * height * width, hidden), nn.ReLU())


class SpatialTransformer(Attention):
    """Warps the map by bilinear sampling, as a small network chooses.

    Args:
        channels: C of the input; where θ is given, any width does.
        transform: "affine", six numbers; "attention", a scale and a translation, three; "projective", the rows of H_θ
            without its last number, eight; "spline", where `points` × `points` control points of a thin plate lie.
        localisation: f_loc without its last layer: "pooled", for any size; "flat", that of the tutorial, for one
            `grid`; "given", none: θ is a second input; or a module `B C H W` -> `B hidden`.
        hidden: width of the input of f_loc's last layer.
        size: height and width of the output, or one number for both; None keeps those of the input.
        points: control points of the spline along each side.
        padding: what lies outside of the map: "zeros", "border", its nearest pixel, or "reflection".
        interpolation: "bilinear", "bicubic" or "nearest", which passes no gradient to θ.
        align_corners: whether -1 and 1 are the centres of the outermost pixels rather than their outer edges.
        grid: height and width of the input, which localisation="flat" needs.

    Shapes: x `B C H W` -> `B C H W`, or of `size`; with localisation="given" also θ: `B 2 3`, `B 3`, `B 8` or `B K 2`.
    Maps: theta `B 2 3`, of a projective transform `B 3 3`, or points `B K 2` of a spline; grid `B H W 2`, the point
        that each output pixel shows; x is before y.
    Raises: ValueError for an argument out of range, a missing `grid`, and inputs or features of other shapes.
    """

    def __init__(
        self,
        channels: int,
        *,
        transform: str = "affine",
        localisation: str | nn.Module = "pooled",
        hidden: int = 32,
        size: int | Sequence[int] | None = None,
        points: int = 4,
        padding: str = "zeros",
        interpolation: str = "bilinear",
        align_corners: bool = False,
        grid: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        self.channels = positive("channels", channels)
        positive("hidden", hidden)
        choice("transform", transform, _TRANSFORMS)
        choice("padding", padding, _PADDINGS)
        choice("interpolation", interpolation, _INTERPOLATIONS)
        self.transform, self.padding, self.interpolation = transform, padding, interpolation
        self.align_corners, self.points = flag("align_corners", align_corners), whole("points", points, 2, _POINTS)
        self.size = _pair("size", size)
        sides = _pair("grid", grid)
        self.grid: tuple[int, int] | None = None
        self.localise: nn.Module | None
        if isinstance(localisation, nn.Module):
            self.localise = localisation
        elif localisation == "pooled":
            self.localise = _PooledLocalisation(channels, hidden)
        elif localisation == "flat":
            if sides is None:
                raise ValueError("grid=None: a height and a width are needed with localisation='flat'")
            self.grid = sides
            self.localise = _flat_localisation(channels, hidden, sides)
        elif localisation == "given":
            self.localise = None
        else:
            raise ValueError(f"localisation={localisation!r}: 'pooled', 'flat', 'given' or a module is needed")
        self.width = 2 * points**2 if transform == "spline" else len(_IDENTITY[transform])
        self.inverse = sampling.spline_inverse(points) if transform == "spline" else None
        self.hidden = hidden
        self.regress = None if self.localise is None else nn.Linear(hidden, self.width)
        self._start_at_identity()

    def _start_at_identity(self) -> None:
        if self.regress is None:
            return
        nn.init.zeros_(self.regress.weight)
        with torch.no_grad():
            if self.transform == "spline":
                self.regress.bias.copy_(sampling.control_points(self.points, like=self.regress.bias).flatten())
            else:
                self.regress.bias.copy_(torch.tensor(_IDENTITY[self.transform]))

    def forward(self, x: Tensor, theta: Tensor | None = None) -> Tensor:
        check_input(x, "B C H W", **({} if self.localise is None else {"C": self.channels}))
        if self.grid is not None:
            check_input(x, "B C H W", H=self.grid[0], W=self.grid[1])
        size = self.size or (x.shape[2], x.shape[3])
        grid = self.see("grid", self.warp(self.localised(x, theta), size))  # [B, H, W, 2]
        mode, padding = self.interpolation, self.padding
        return sampling.sample(x, grid, mode=mode, padding=padding, align_corners=self.align_corners)

    def localised(self, x: Tensor, theta: Tensor | None) -> Tensor:
        """θ as a vector, from f_loc or as given: `B P`."""
        if self.localise is None or self.regress is None:
            if theta is None:
                raise ValueError("theta=None: a tensor is needed with localisation='given'")
            shapes = {"affine": (2, 3), "spline": (self.points**2, 2)}
            axes = shapes.get(self.transform, (self.width,))
            if theta.shape[:1] != x.shape[:1] or theta.shape[1:] not in (axes, (self.width,)):
                raise ValueError(
                    f"theta of shape {tuple(theta.shape)}: {self.width} numbers for each sample are needed"
                )
            return theta.flatten(1)
        if theta is not None:
            raise ValueError("theta: None is needed unless localisation='given'")
        features = self.localise(x)  # [B, hidden]
        if features.ndim != 2 or features.shape[1] != self.hidden:
            raise ValueError(f"localisation returns shape {tuple(features.shape)}: B × hidden={self.hidden} is needed")
        y: Tensor = self.regress(features)
        return y

    def warp(self, theta: Tensor, size: tuple[int, int]) -> Tensor:
        """Eqs. 2, 3, 4 or 6: `B P` -> the source point of each output pixel, `B H W 2`."""
        if self.inverse is not None:
            shown = self.see("points", theta.unflatten(1, (-1, 2)))  # [B, K, 2]
            wide = widened(shown)
            at = sampling.plane(size, align_corners=self.align_corners, like=wide)
            inverse = torch.tensor(self.inverse, dtype=wide.dtype, device=wide.device)
            with uncast(wide):
                y: Tensor = (sampling.spline_weights(self.points, at, inverse) @ wide).unflatten(1, size)
                return y
        if self.transform == "projective":
            theta = torch.cat([theta, torch.ones_like(theta[:, :1])], 1)
            theta = self.see("theta", theta.unflatten(1, (3, 3)))
            return sampling.projective_grid(theta, size, align_corners=self.align_corners)
        if self.transform == "attention":
            s, t, none = theta[:, :1], theta[:, 1:], torch.zeros_like(theta[:, :1])
            theta = torch.cat([s, none, t[:, :1], none, s, t[:, 1:]], 1)
        theta = self.see("theta", theta.unflatten(1, (2, 3)))
        return sampling.affine_grid(theta, size, align_corners=self.align_corners)


def _pair(name: str, value: int | Sequence[int] | None) -> tuple[int, int] | None:
    if value is None:
        return None
    height, width = each_axis(name, value, 2)
    return height, width
