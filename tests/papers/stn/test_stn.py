"""What a spatial transformer shows: exact shifts, crops and splines, its start, and where its network comes from."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import interpolate
from torch import Tensor, nn
from torch.nn import functional as F

import regard
from regard.ops import sampling


def maps(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("transform", ["affine", "attention", "projective", "spline"])
@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("localisation", ["pooled", "flat"])
def test_starts_at_the_identity(transform: str, align_corners: bool, localisation: str) -> None:
    kwargs = {"transform": transform, "align_corners": align_corners, "localisation": localisation}
    module = regard.create("stn", 3, **kwargs, grid=(19, 23)).double()
    x = maps(2, 3, 19, 23)
    torch.testing.assert_close(module(x), x, rtol=1e-5, atol=1e-5)
    module(x).square().sum().backward()
    assert module.regress.weight.grad.abs().sum() > 0


def test_a_translation_by_whole_pixels_moves_the_map_and_fills_with_zeros() -> None:
    module = regard.create("stn", 2, localisation="given").double()
    x = maps(1, 2, 5, 7)
    right, down = 2 * 2 / 7, 1 * 2 / 5  # two pixels and one, as parts of a map that is 2 wide and high
    y = module(x, torch.tensor([[[1, 0, right], [0, 1, down]]], dtype=torch.float64))
    wanted = torch.zeros_like(x)
    wanted[..., :4, :5] = x[..., 1:, 2:]
    torch.testing.assert_close(y, wanted)


def test_attention_crops() -> None:
    """Half the scale, moved to the lower right: the lower right quarter."""
    module = regard.create("stn", 2, localisation="given", transform="attention", size=4).double()
    x = maps(1, 2, 8, 8)
    torch.testing.assert_close(module(x, torch.tensor([[0.5, 0.5, 0.5]], dtype=torch.float64)), x[..., 4:, 4:])


def test_bilinear_sampling_is_the_sum_over_all_pixels_of_the_paper() -> None:
    x, theta = maps(1, 2, 5, 7), torch.tensor([[[0.8, 0.3, 0.4], [-0.2, 1.1, -0.5]]], dtype=torch.float64)
    module = regard.create("stn", 2, localisation="given", align_corners=True).double()
    with regard.watch(module) as seen:
        y = module(x, theta)
    u, v = ((seen["grid"][0] + 1) / 2 * torch.tensor([6, 4])).unbind(-1)  # [1, 5, 7] in pixels
    a, b = torch.arange(7), torch.arange(5)
    columns, rows = (1 - (u[..., None] - a).abs()).clamp_min(0), (1 - (v[..., None] - b).abs()).clamp_min(0)
    torch.testing.assert_close(y, torch.einsum("bcnm,bhwn,bhwm->bchw", x, rows, columns))


@pytest.mark.parametrize("points", [2, 3, 4, 5])
def test_a_spline_passes_through_its_points_and_is_affine_where_they_are(points: int) -> None:
    at = sampling.control_points(points, like=torch.empty(0, dtype=torch.float64))
    inverse = torch.tensor(sampling.spline_inverse(points), dtype=torch.float64)
    torch.testing.assert_close(sampling.spline_weights(points, at, inverse), torch.eye(points**2).double())
    everywhere = maps(11, 2)
    weights = sampling.spline_weights(points, everywhere, inverse)
    affine = maps(2, 3)
    torch.testing.assert_close(weights @ (at @ affine[:, :2].T + affine[:, 2]),
                               everywhere @ affine[:, :2].T + affine[:, 2])  # fmt: skip


def test_a_spline_is_the_smoothest_function_through_its_points() -> None:
    """Against scipy's thin-plate interpolation."""
    module = regard.create("stn", 1, transform="spline", points=3, localisation="given", align_corners=True).double()
    at = sampling.control_points(3, like=torch.empty(0, dtype=torch.float64))
    shown = at + 0.2 * maps(9, 2)
    with regard.watch(module) as seen:
        module(maps(1, 1, 5, 7), shown[None])
    pixels = sampling.plane((5, 7), align_corners=True, like=at)
    wanted = interpolate.RBFInterpolator(at.numpy(), shown.numpy(), kernel="thin_plate_spline")(pixels.numpy())
    torch.testing.assert_close(seen["grid"][0].flatten(1, 2)[0], torch.from_numpy(wanted))
    assert seen["points"][0].shape == (1, 9, 2)


def test_a_projective_transform_shows_a_quadrangle_as_the_whole_map() -> None:
    """Against the homography through four points, solved by numpy; corners of the output show the quadrangle's."""
    corners = np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
    quadrangle = np.array([[-0.7, -0.9], [0.8, -0.5], [0.6, 0.9], [-0.9, 0.4]])
    rows, wanted = [], []
    for (x, y), (u, v) in zip(corners, quadrangle, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        wanted += [u, v]
    theta = torch.from_numpy(np.linalg.solve(np.array(rows), np.array(wanted)))[None]
    module = regard.create("stn", 2, transform="projective", localisation="given", align_corners=True).double()
    with regard.watch(module) as seen:
        module(maps(1, 2, 5, 7), theta)
    grid = seen["grid"][0][0]
    found = torch.stack([grid[0, 0], grid[0, -1], grid[-1, -1], grid[-1, 0]])
    torch.testing.assert_close(found, torch.from_numpy(quadrangle))
    assert seen["theta"][0].shape == (1, 3, 3) and seen["theta"][0][0, 2, 2] == 1
    # straight lines stay straight: the middle of the map shows where the quadrangle's diagonals cross
    p, q = quadrangle, quadrangle[[2, 3]]
    t = np.linalg.solve(np.stack([q[0] - p[0], p[1] - q[1]], 1), p[1] - p[0])[0]
    torch.testing.assert_close(grid[2, 3], torch.from_numpy(p[0] + t * (q[0] - p[0])))


def test_a_projective_transform_without_perspective_is_the_affine_one() -> None:
    theta = maps(2, 6)
    x = maps(2, 3, 5, 7)
    flat = torch.cat([theta, torch.zeros(2, 2, dtype=torch.float64)], 1)
    projective = regard.create("stn", 3, transform="projective", localisation="given").double()
    affine = regard.create("stn", 3, localisation="given").double()
    torch.testing.assert_close(projective(x, flat), affine(x, theta))
    with pytest.raises(ValueError, match=r"theta of shape \(2, 6\): 8 numbers"):
        projective(x, theta)


def test_points_on_the_horizon_stay_finite() -> None:
    """w = 1 + x is 0 at the left edge, and gradients are finite there as well."""
    module = regard.create("stn", 1, transform="projective", localisation="given", align_corners=True).double()
    theta = torch.tensor([[1.0, 0, 0, 0, 1, 0, 1, 0]], dtype=torch.float64, requires_grad=True)
    with regard.watch(module) as seen:
        module(maps(1, 1, 5, 7), theta).square().sum().backward()
    assert seen["grid"][0].isfinite().all() and theta.grad.isfinite().all()
    assert seen["grid"][0].abs().max() == 1000


@pytest.mark.filterwarnings("ignore:Since version 1.3.0, affine_grid")
@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("size", [(5, 7), (1, 6), (1, 1)])
def test_grids_are_those_of_torch(size: tuple[int, int], align_corners: bool) -> None:
    theta = maps(2, 2, 3)
    wanted = F.affine_grid(theta, [2, 1, *size], align_corners)
    torch.testing.assert_close(sampling.affine_grid(theta, size, align_corners=align_corners), wanted)
    points = sampling.plane(size, align_corners=align_corners, like=theta)
    torch.testing.assert_close((points @ theta[0, :, :2].T + theta[0, :, 2]).unflatten(0, size), wanted[0])


def test_half_precision_keeps_the_places_of_a_wide_map() -> None:
    module = regard.create("stn", 1, localisation="given").bfloat16()
    x = torch.arange(2000.0).remainder(2).expand(1, 1, 2, -1).bfloat16()
    theta = torch.tensor([[[1, 0, 0], [0, 1, 0]]], dtype=torch.bfloat16)
    torch.testing.assert_close(module(x, theta), x, rtol=0, atol=0.01)


def test_takes_a_network_of_ones_own() -> None:
    class Means(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.mean((2, 3))

    module = regard.create("stn", 3, localisation=Means(), hidden=3)
    assert list(module.state_dict()) == ["regress.weight", "regress.bias"]
    assert module(torch.randn(2, 3, 5, 7)).shape == (2, 3, 5, 7)
    wide = regard.create("stn", 3, localisation=Means(), hidden=4)
    with pytest.raises(ValueError, match=r"returns shape \(2, 3\): B × hidden=4"):
        wide(torch.randn(2, 3, 5, 7))


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"transform": "perspective"}, "transform='perspective': 'affine', 'attention', 'projective' or 'spline'"),
        ({"padding": "wrap"}, "padding='wrap': 'zeros'"),
        ({"interpolation": "linear"}, "interpolation='linear': 'bilinear'"),
        ({"localisation": "flat"}, "grid=None: a height and a width"),
        ({"localisation": "flat", "grid": (17, 30)}, r"grid=\(17, 30\).*at least 18"),
        ({"localisation": "none"}, "localisation='none'"),
        ({"points": 1}, "points=1: a whole number of at least 2"),
        ({"size": (3, 4, 5)}, r"size=\(3, 4, 5\): 2 values"),
        ({"size": 0}, "size=0"),
    ],
)
def test_refuses(kwargs: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        regard.create("stn", 3, **kwargs)


def test_refuses_other_inputs() -> None:
    x = torch.randn(2, 3, 19, 18)
    with pytest.raises(ValueError, match=r"\(2, 3, 19, 18\).*H=18, W=19"):
        regard.create("stn", 3, localisation="flat", grid=(18, 19))(x)
    given = regard.create("stn", 3, localisation="given")
    with pytest.raises(ValueError, match="theta=None: a tensor"):
        given(x)
    with pytest.raises(ValueError, match=r"theta of shape \(2, 3\): 6 numbers"):
        given(x, torch.randn(2, 3))
    with pytest.raises(ValueError, match=r"theta of shape \(3, 2, 3\)"):
        given(x, torch.randn(3, 2, 3))
    with pytest.raises(ValueError, match="theta: None is needed unless"):
        regard.create("stn", 3)(x, torch.randn(2, 2, 3))
