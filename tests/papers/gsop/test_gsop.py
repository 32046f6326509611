"""Second-order statistics: what the laws and the recorded cases do not reach."""

from __future__ import annotations

import pytest
import torch

from regard import create
from regard.ops import second_order


def test_covariance_is_the_textbook_one() -> None:
    x = torch.randn(3, 5, 7, dtype=torch.float64)
    wanted = torch.stack([torch.cov(sample, correction=0) for sample in x])
    torch.testing.assert_close(second_order.covariance(x), wanted)


def test_the_square_root_squares_to_the_matrix() -> None:
    x = torch.randn(2, 5, 40, dtype=torch.float64)
    s = second_order.covariance(x)
    root = second_order.square_root(s, iterations=20)
    torch.testing.assert_close(root @ root, s)


def test_one_iteration_is_the_first_of_newton_and_schulz() -> None:
    s = torch.diag(torch.tensor([3.0, 1.0]))[None]
    a = torch.tensor([0.75, 0.25])
    wanted = torch.diag(2 * a * (3 - a) / 2)[None]  # √tr = 2
    torch.testing.assert_close(second_order.square_root(s, iterations=1), wanted)


@pytest.mark.parametrize("triangle, wanted", [("upper", [0, 1, 2, 4, 5, 8]), ("lower", [0, 3, 4, 6, 7, 8])])
def test_a_triangle_is_written_row_by_row(triangle: str, wanted: list[int]) -> None:
    module = create("isqrt_covariance", channels=3, hidden=None, triangle=triangle)
    matrix = torch.arange(9.0).reshape(1, 3, 3)
    assert module.written_out(matrix)[0].tolist() == wanted


def test_a_map_without_variance_has_a_root_and_gradients() -> None:
    x = torch.full((2, 3, 4, 5), 7.0, requires_grad=True)
    y = create("isqrt_covariance", channels=3, hidden=None)(x)
    y.sum().backward()
    assert (y == 0).all() and x.grad is not None and (x.grad == 0).all()


@pytest.mark.parametrize("height, width", [(11, 7), (2, 3), (4, 4)])
def test_pooling_first_gives_the_position_gate_of_projecting_first(height: int, width: int) -> None:
    module = create("gsop", channels=6, hidden=5, fusion="position", size=4).double().eval()
    x = torch.randn(2, 6, height, width, dtype=torch.float64)
    cheap = module(x)
    module.training = True  # the order of training, with norms that use their running statistics
    torch.testing.assert_close(module(x), cheap)


def test_the_released_constants_centre_only_as_many_channels_as_positions() -> None:
    y = torch.randn(2, 9, 9, dtype=torch.float64)
    released, exact = (create("gsop", channels=6, fusion="position", size=3, centred=way) for way in (False, True))
    torch.testing.assert_close(released.position_statistics(y), exact.position_statistics(y))
    assert not torch.allclose(released.position_statistics(y[:, :5]), exact.position_statistics(y[:, :5]))


def test_the_stride_follows_the_width() -> None:
    assert create("gsop", channels=256).stride == 2
    assert create("gsop", channels=257).stride == 1
    assert create("gsop", channels=256, stride=3).stride == 3


def test_concatenation_has_groups_of_64_and_longer_kernels_for_fewer() -> None:
    sizes = {}
    for channels in (12, 64, 256, 2048):
        with torch.device("meta"):
            conv = create("gsop", channels=channels, fusion="concat").channel_concat
        sizes[channels] = (conv.groups, conv.kernel_size)
    assert sizes == {12: (1, (15, 1)), 64: (1, (15, 1)), 256: (4, (11, 1)), 2048: (32, (5, 1))}
    with pytest.raises(ValueError, match="channels=193: 3 groups"):
        create("gsop", channels=193, fusion="concat")


def test_wrong_settings_are_named() -> None:
    for entry, wrong, message in (
        ("gsop", {"fusion": "average"}, "fusion='average'"),
        ("isqrt_covariance", {"iterations": -1}, "iterations=-1"),
        ("isqrt_covariance", {"triangle": "left"}, "triangle='left'"),
    ):
        with pytest.raises(ValueError, match=message):
            create(entry, channels=8, **wrong)
